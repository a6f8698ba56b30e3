"""gif: animations that last as long as they should, look like their source, and repeat as told."""

import os
import re
import struct
import subprocess

import pytest

import conftest
import facts

FILM = conftest.MEDIA / "bbb-854x480-30s-51.mp4"


def frames_of(path):
    """How many pictures."""
    return len(facts.decoded_times(path, "v:0"))


def shown(path):
    """Seconds that a gif is shown, by the delays that are in it."""
    return sum(packet[2] for packet in facts.packets(path, "v:0"))


def size_of(path):
    video = facts.probe(path).video
    return video.width, video.height


def colors_of(path):
    """The most colours in one picture, transparent ones left out."""
    width, height = size_of(path)
    raw = facts.ffmpeg("-i", path, "-fps_mode", "passthrough", "-pix_fmt", "rgba", "-f",
                       "rawvideo", "-")
    picture = width * height * 4
    most = 0
    for start in range(0, len(raw), picture):
        pixels = struct.unpack(f"<{width * height}I", raw[start:start + picture])
        most = max(most, len({pixel for pixel in pixels if pixel >> 24 == 255}))
    return most


def repeats(path):
    """The count in a gif's extension for that, or None."""
    data = open(path, "rb").read()
    at = data.find(b"NETSCAPE2.0")
    return None if at < 0 else struct.unpack("<H", data[at + 13:at + 15])[0]


def chunk(path, name, skip, form):
    """What stands in a PNG's or WebP's chunk."""
    data = open(path, "rb").read()
    at = data.find(name)
    assert at > 0, name
    return struct.unpack_from(form, data, at + skip)


def alike(path, source, filters="null"):
    """SSIM, picture by picture, whatever clock each file counts with."""
    same = "settb=1/25,setpts=N,format=yuv420p"
    graph = f"[0:v:0]{same}[a];[1:v:0]{filters},{same}[b];[a][b]ssim"
    done = subprocess.run(["ffmpeg", "-nostdin", "-i", str(path), "-i", str(source),
                           "-filter_complex", graph, "-f", "null", "-"], capture_output=True,
                          check=False)
    found = re.search(r"SSIM .*All:([\d.]+)", done.stderr.decode())
    assert found, done.stderr.decode()[-2000:]
    return float(found[1])


def scaled(seconds, fps, size):
    """Filters that make of the source what the gif should look like."""
    width, height = size
    return (f"trim=duration={seconds},fps={fps},scale={width}:{height}:flags=bicubic,setsar=1,"
            "format=bgra")


@pytest.mark.parametrize("fps, duration, count, total", [
    (12, 2.5, 30, 2.5), (10, 0.35, 4, 0.4), (50, 1, 25, 1), (7, 3, 21, 3), (25, 1.2, 30, 1.2)])
def test_time(luma, clips, fps, duration, count, total):
    """No drift, though a gif counts in hundredths. The clip has 25 frames a second."""
    outcome = luma.ok("gif", clips["clip.mp4"], fps=fps, duration=duration, width=64)
    assert frames_of(outcome.path) == count
    assert abs(shown(outcome.path) - total) <= 0.0101 + abs(total - duration)
    assert outcome.noted("25 frames") == (fps == 50)


def test_variable_rate(luma, clips):
    path = clips["vfr.mkv"]
    outcome = luma.ok("gif", path, width=64, fps=20)
    length = facts.span(path, "v:0")
    assert abs(shown(outcome.path) - length) <= 0.5 / 20 + 0.01
    assert alike(outcome.path, path, "fps=20,scale=64:48:flags=bicubic") > 0.9


def test_part(luma, clips):
    """The frames are those of the range."""
    path = clips["clip.mp4"]
    outcome = luma.ok("gif", path, start=1.2, duration=1, fps=25, width=320)
    assert frames_of(outcome.path) == 25
    part = "trim=start=1.199:duration=1"
    assert alike(outcome.path, path, part) > 0.9
    luma.fails("invalid_option", "gif", path, start=60)


def test_usual_size_and_rate(luma, clips):
    outcome = luma.ok("gif", clips["silent.mp4"])
    assert size_of(outcome.path) == (320, 240) and frames_of(outcome.path) == 24
    assert repeats(outcome.path) == 0
    assert not facts.complaints(outcome.path)


@pytest.mark.parametrize("name", ["rotated.mp4", "anamorphic.mp4", "odd.mkv", "interlaced.ts",
                                  "two-sizes.ts", "hdr.mkv"])
def test_geometry(luma, clips, name):
    path = clips[name]
    video = facts.probe(path).video
    for width in (101, 1000):
        outcome = luma.ok("gif", path, width=width, duration=0.4, fps=5)
        wanted = facts.fitted(video.shown, width)
        made = size_of(outcome.path)
        assert abs(made[0] - wanted[0]) <= 1 and abs(made[1] - wanted[1]) <= 1, (made, wanted)
        assert outcome.noted("enlarged") == (width == 1000)
        assert outcome.noted("HDR") == (name == "hdr.mkv")


def test_colors(luma, clips):
    path = clips["silent.mp4"]
    for count in (2, 9, 64):
        outcome = luma.ok("gif", path, colors=count, width=96, duration=0.5)
        assert 1 < colors_of(outcome.path) <= count
    plain = luma.ok("gif", path, colors=16, dither="none", width=96, duration=0.5)
    spread = luma.ok("gif", path, colors=16, dither="floyd_steinberg", width=96, duration=0.5)
    assert facts.packet_hash(plain.path, "0") != facts.packet_hash(spread.path, "0")


@pytest.mark.parametrize("loop, gif, webp, apng", [
    (0, 0, 0, 0), (-1, None, 1, 1), (3, 3, 4, 4)])
def test_loop(luma, clips, loop, gif, webp, apng):
    how = {"width": 32, "duration": 0.5, "loop": loop}
    path = clips["silent.mp4"]
    assert repeats(luma.ok("gif", path, **how).path) == gif
    made = luma.ok("gif", path, format="webp", **how).path
    assert chunk(made, b"ANIM", 12, "<H") == (webp,)
    made = luma.ok("gif", path, format="apng", **how).path
    assert chunk(made, b"acTL", 4, ">II") == (6, apng)


def test_webp(luma, clips):
    """Frames and their time, from the chunks: ffmpeg doesn't read these."""
    outcome = luma.ok("gif", clips["clip.mp4"], format="webp", width=160, duration=2)
    data = open(outcome.path, "rb").read()
    assert data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    assert len(data) == struct.unpack("<I", data[4:8])[0] + 8
    at, frames, milliseconds, canvas = 12, 0, 0, None
    while at + 8 <= len(data):
        name, length = data[at:at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"VP8X":
            canvas = tuple(int.from_bytes(data[at + 12 + i:at + 15 + i], "little") + 1
                           for i in (0, 3))
        elif name == b"ANMF":
            frames += 1
            milliseconds += int.from_bytes(data[at + 20:at + 23], "little")
        at += 8 + length + length % 2
    assert canvas == (160, 120) and frames == 24
    assert abs(milliseconds - 2000) <= 5
    assert outcome.document["outputs"][0]["mime"] == "image/webp"


def test_apng(luma, clips):
    """Lossless, unless a palette is asked for."""
    path = clips["clip.mp4"]
    outcome = luma.ok("gif", path, format="apng", width=160, duration=1, fps=5)
    assert frames_of(outcome.path) == 5 and size_of(outcome.path) == (160, 120)
    assert alike(outcome.path, path, scaled(1, 5, (160, 120))) > 0.99
    outcome = luma.ok("gif", path, format="apng", width=160, duration=1, fps=5, colors=8)
    assert colors_of(outcome.path) <= 8


def test_transparency(luma, tmp_path):
    """What is clear stays clear."""
    path = tmp_path / "clear.mov"
    facts.ffmpeg("-f", "lavfi", "-i", "color=red:s=64x48:d=1:r=10,format=rgba,"
                 "geq=r=255:g=0:b=0:a='255*gt(X,31)'", "-c:v", "qtrle", path)
    outcome = luma.ok("gif", path)
    raw = facts.ffmpeg("-i", outcome.path, "-pix_fmt", "rgba", "-f", "rawvideo", "-")
    assert len(raw) == 10 * 64 * 48 * 4
    for frame in range(10):
        line = raw[(frame * 48 + 20) * 64 * 4:][:64 * 4]
        assert line[3] == 0 and line[63 * 4:] == b"\xff\x00\x00\xff", frame


def test_max_size(luma, clips):
    path = clips["clip.mp4"]
    whole = luma.ok("gif", path).document["outputs"][0]["size"]
    outcome = luma.ok("gif", path, max_size=whole)
    assert not outcome.notes
    outcome = luma.ok("gif", path, max_size=whole // 4)
    assert outcome.document["outputs"][0]["size"] <= whole // 4
    assert outcome.document["outputs"][0]["name"] == "clip.gif"
    assert outcome.noted("too many", "made anew")
    assert abs(shown(outcome.path) - 3) < 0.2
    # What was asked for doesn't give way.
    outcome = luma.ok("gif", path, width=200, max_size=whole // 4)
    assert size_of(outcome.path)[0] == 200
    luma.fails("limit_exceeded", "gif", path, max_size=300)
    luma.fails("limit_exceeded", "gif", path, width=320, fps=12, colors=256, max_size=whole // 4)


def test_refusals(luma, clips):
    luma.fails("no_such_stream", "gif", clips["deep.wav"])
    luma.fails("no_such_stream", "gif", clips["cover.mp3"])
    path = clips["silent.mp4"]
    for wrong in ({"colors": 1}, {"colors": 257}, {"fps": 0}, {"fps": 51}, {"width": 0},
                  {"dither": "some"}, {"loop": -2}, {"format": "mp4"}, {"duration": 0},
                  {"format": "webp", "colors": 16}, {"format": "apng", "dither": "none"}):
        luma.fails("invalid_option", "gif", path, **wrong)


@pytest.mark.skipif(not FILM.exists(), reason="no real media (LUMA_TEST_MEDIA)")
@pytest.mark.parametrize("start", [0, 12])
def test_beside_ffmpeg(luma, start):
    """As good as the program's own palettes, and hardly larger."""
    seconds, fps, size = 2, 12, (480, 270)
    outcome = luma.ok("gif", FILM, start=start, duration=seconds)
    reference, source = luma.folder / "reference.gif", luma.folder / "source.mkv"
    part = ["-ss", start, "-t", seconds, "-i", FILM]
    facts.ffmpeg(*part, "-filter_complex", f"[0:v]{scaled(seconds, fps, size)},split[a][b];"
                 "[a]palettegen[p];[b][p]paletteuse=dither=sierra2_4a", reference)
    facts.ffmpeg(*part, "-vf", scaled(seconds, fps, size), "-c:v", "ffv1", source)
    assert frames_of(outcome.path) == frames_of(reference) == seconds * fps
    ours, theirs = (alike(path, source) for path in (outcome.path, reference))
    assert ours >= theirs, (ours, theirs)
    sizes = [os.path.getsize(path) for path in (outcome.path, reference)]
    assert sizes[0] <= 1.05 * sizes[1], sizes


def test_real(luma, real):
    before = facts.probe(real)
    if before is None:
        luma.fails({"unsupported_media", "corrupt_media"}, "gif", real, duration=1)
        return
    if not before.video:
        luma.fails("no_such_stream", "gif", real, duration=1)
        return
    outcome = luma.ok("gif", real, duration=0.5, width=80, fps=10)
    video = before.video
    wanted = facts.fitted(video.shown, 80)
    made = size_of(outcome.path)
    assert abs(made[0] - wanted[0]) <= 1 and abs(made[1] - wanted[1]) <= 1, (made, wanted)
    assert 1 <= frames_of(outcome.path) <= 6
    assert 0 < shown(outcome.path) <= 0.61


def test_nothing_is_left_behind(luma, clips):
    """Frames that were put aside have no name, however the job ends."""
    folder = luma.folder / "killed"
    folder.mkdir()
    with subprocess.Popen([luma.program, "run", "gif", clips["clip.mp4"], "--fps", "25", "-o",
                           str(folder / "a.gif")], env=luma.environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(0.4)
        except subprocess.TimeoutExpired:
            process.terminate()
    left = [path.name for path in folder.rglob("*") if path.is_file()]
    assert left in ([], ["a.gif"]), left
