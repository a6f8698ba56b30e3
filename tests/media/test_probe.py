"""probe, as an operation and as a command: what luma tells is what ffprobe tells."""

import json
import math

import pytest

import facts


def close(ours, theirs, tolerance):
    return ours is not None and math.isclose(float(ours), theirs, abs_tol=tolerance)


def compare(told, media):
    # ffprobe lists fonts and other attachments as streams as well.
    assert len(told["streams"]) == len(media.streams)
    if not math.isnan(media.duration):
        assert close(told["duration"], media.duration, 0.1)
    assert len(told.get("chapters", [])) == len(media.chapters)
    for ours, theirs in zip(told["streams"], media.streams):
        if theirs.kind in ("video", "audio", "subtitle"):
            assert ours["kind"] == theirs.kind
            assert ours["codec"] == theirs.codec
            assert (ours.get("language") or "und") == theirs.language
        if theirs.kind == "video":
            assert (ours["width"], ours["height"]) == (theirs.width, theirs.height)
            assert ours["rotation"] == theirs.rotation
            assert ours["attached_picture"] == theirs.cover
            shown = (ours["display_width"], ours["display_height"])
            assert all(abs(a - b) <= 1 for a, b in zip(shown, theirs.shown)), shown
        if theirs.kind == "audio":
            assert ours["sample_rate"] == int(theirs.raw["sample_rate"])
            assert ours["channels"] == theirs.raw["channels"]


@pytest.mark.parametrize("name", ["clip.mp4", "rotated.mp4", "tracks.mkv", "anamorphic.mp4",
                                  "vfr.mkv", "cover.mp3", "deep.wav", "interlaced.ts"])
def test_made(luma, clips, name):
    outcome = luma.ok("probe", clips[name])
    assert outcome.paths == []
    compare(outcome.document["result"], facts.probe(clips[name]))


def test_real(luma, real):
    media = facts.probe(real)
    if not media:
        luma.fails({"unsupported_media", "corrupt_media"}, "probe", real)
    else:
        compare(luma.ok("probe", real).document["result"], media)


def test_hdr_is_told(luma, clips):
    color = luma.ok("probe", clips["hdr.mkv"]).document["result"]["streams"][0]["color"]
    assert color["hdr"] is True and color["transfer"] == "smpte2084"
    assert color["primaries"] == "bt2020"


def test_command(luma, clips):
    path = clips["tracks.mkv"]
    document = json.loads(luma.call("probe", "--json", path).stdout)
    compare(document, facts.probe(path))
    text = luma.call("probe", path).stdout.decode()
    for word in ("h264", "320x240", "25 fps", "vorbis", "fra", "chapter 2", "Second"):
        assert word in text, text


@pytest.mark.parametrize("name", ["garbage.bin", "empty.mp4", "truncated.mp4"])
def test_not_media(luma, clips, name):
    outcome = luma.fails({"unsupported_media", "corrupt_media"}, "probe", clips[name])
    assert str(clips.folder) not in outcome.error["message"]
    assert luma.call("probe", clips[name]).returncode == 1
