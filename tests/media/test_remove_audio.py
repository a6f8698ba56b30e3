"""remove_audio: no sound is left, and nothing else is changed by a bit."""

import pytest

import facts

# The demuxer gives some of these with other packet borders than they had.
REWRITTEN = {"gif"}


def compare(before, path, after, result):
    assert not after.of("audio")
    frame = before.video.frame
    for kind in ("video", "subtitle"):
        ours, theirs = after.of(kind), before.of(kind)
        assert [s.codec for s in ours] == [s.codec for s in theirs]
        assert [s.language for s in ours] == [s.language for s in theirs]
        for a, b in zip(ours, theirs):
            if b.codec in REWRITTEN:
                assert facts.picture_hash(result) == facts.picture_hash(path)
            else:
                assert facts.packet_hash(result, a.index) == facts.packet_hash(path, b.index)
    for ours, theirs in zip(after.of("video"), before.of("video")):
        assert ours.rotation == theirs.rotation
        assert ours.shown == theirs.shown
        assert ours.color() == theirs.color()
        length = facts.span(result, ours.index)
        assert abs(length - facts.span(path, theirs.index)) <= frame + 0.002
    assert [c["tags"].get("title") for c in after.chapters] == \
        [c["tags"].get("title") for c in before.chapters]


@pytest.mark.parametrize("name", ["clip.mp4", "rotated.mp4", "tracks.mkv", "vfr.mkv",
                                  "interlaced.ts", "silent.mp4", "short-picture.mp4",
                                  "late-sound.mkv", "hdr.mkv", "two-sizes.ts"])
def test_made(luma, clips, name):
    path = clips[name]
    before = facts.probe(path)
    outcome = luma.ok("remove_audio", path)
    after = facts.probe(outcome.path)
    compare(before, path, after, outcome.path)
    assert len(after.covers) == len(before.covers)
    assert outcome.noted("no audio" if not before.audio else "removed")
    assert after.tags.get("title") == before.tags.get("title")


def test_real(luma, real):
    before = facts.probe(real)
    if not before:
        luma.fails({"unsupported_media", "corrupt_media"}, "remove_audio", real)
    elif not before.video:
        outcome = luma.fails("no_such_stream", "remove_audio", real)
        assert "no video" in outcome.error["message"]
    else:
        outcome = luma.ok("remove_audio", real)
        compare(before, real, facts.probe(outcome.path), outcome.path)


def test_attachments_and_cover_stay(luma, clips):
    outcome = luma.ok("remove_audio", clips["tracks.mkv"])
    after = facts.probe(outcome.path)
    assert [s.kind for s in after.streams if s.kind == "attachment"] == ["attachment"]
    assert len(after.covers) == 1
    forced = [s.raw["disposition"]["forced"] for s in after.of("subtitle")]
    assert forced == [0, 1]


def test_picture_needed(luma, clips):
    luma.fails("no_such_stream", "remove_audio", clips["cover.mp3"])
