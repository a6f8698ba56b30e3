"""The index of an mp4 stands in front of the media. For copies, room is left for it there."""

import pathlib
import struct

import pytest

import facts


def boxes(path):
    """Names of the boxes of a file, in their order; their sizes must add up to the file's."""
    data, position, names = path.read_bytes(), 0, []
    while position < len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        assert size >= 8, "a box without an end"
        names.append(name.decode())
        position += size
    assert position == len(data)
    return names


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """An AVI of 200 pictures, large ones: their index is small beside them."""
    path = tmp_path_factory.mktemp("index") / "noise.avi"
    facts.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=8,noise=alls=60:allf=t",
                 "-c:v", "mpeg4", "-q:v", "3", path)
    return path


def understated(path):
    """The same AVI, saying that it has 25 pictures."""
    data = bytearray(path.read_bytes())
    length = data.index(b"strh") + 8 + 32
    assert struct.unpack_from("<I", data, length) == (200,)
    struct.pack_into("<I", data, length, 25)
    other = path.with_name("understated.avi")
    other.write_bytes(data)
    return other


@pytest.mark.parametrize("lies", [False, True], ids=["room is enough", "room is too small"])
def test_copies(luma, noise, lies):
    path = understated(noise) if lies else noise
    result = pathlib.Path(luma.ok("convert", path, format="mp4").path)
    # Room that is enough ends in a box of its own, room that isn't is one as a whole.
    assert boxes(result) == ["ftyp", "moov", "free", "free", "mdat"]
    free = result.read_bytes().index(b"free") - 4
    (size,) = struct.unpack_from(">I", result.read_bytes(), free)
    assert size < result.stat().st_size / 50
    assert facts.picture_hash(result) == facts.picture_hash(path)


def test_no_room_beside_small_media(luma, clips):
    result = pathlib.Path(luma.ok("remove_audio", clips["clip.mp4"]).path)
    assert boxes(result) == ["ftyp", "moov", "free", "mdat"]
    free = result.read_bytes().index(b"free") - 4
    assert struct.unpack_from(">I", result.read_bytes(), free) == (8,)
