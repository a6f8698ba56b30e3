"""convert: copied where the container holds it, encoded where it doesn't."""

import pytest

import facts

QUICK = {"encoder_preset": "ultrafast", "crf": 32}
NAMES = {"mp4": "mp4", "mov": "mov", "m4v": "mp4", "mkv": "matroska", "webm": "webm", "avi": "avi",
         "mpegts": "mpegts", "flv": "flv", "3gp": "mp4"}


def copied(outcome, kind):
    return any(note.startswith(kind) and "copied" in note for note in outcome.notes)


@pytest.mark.parametrize("form", sorted(NAMES))
def test_containers(luma, clips, form):
    path = clips["clip.mp4"]
    outcome = luma.ok("convert", path, format=form,
                      **({"encoder_preset": "ultrafast"} if form == "webm" else {}))
    before, after = facts.probe(path), facts.probe(outcome.path)
    assert NAMES[form] in after.format
    assert after.video and after.audio
    assert abs(facts.span(outcome.path, "v:0") - 3) < 0.05
    assert not facts.complaints(outcome.path)
    if form != "webm":
        assert copied(outcome, "video")
        assert facts.picture_hash(outcome.path) == facts.picture_hash(path)
    if form in ("mp4", "mov", "mkv", "m4v", "webm"):
        assert len(after.chapters) == 2
        # QuickTime knows only the other of the two codes for German
        assert after.audio.language == ("ger" if form == "mov" else "deu")
        assert after.video.color() == before.video.color()


def test_subtitles_are_rewritten(luma, clips):
    path = clips["tracks.mkv"]
    for form, codec in (("mp4", "mov_text"), ("webm", "webvtt")):
        outcome = luma.ok("convert", path, format=form, **QUICK)
        after = facts.probe(outcome.path)
        assert [s.codec for s in after.of("subtitle")] == [codec, codec]
        assert outcome.noted("rewritten")
        assert [s.language for s in after.of("subtitle")] == ["eng", "fra"]
        text = facts.ffmpeg("-i", outcome.path, "-map", "0:s:0", "-f", "srt", "-").decode()
        assert "Hello there" in text and "00:00:01,5" in text
        assert "Goodbye" in text
    outcome = luma.ok("convert", path, format="avi")
    assert outcome.noted("subtitle 1 not kept") and outcome.noted("subtitle 2 not kept")


def test_copy_mode(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("convert", path, format="mkv", mode="copy")
    for selector in ("v:0", "a:0"):
        assert facts.packet_hash(outcome.path, selector) == facts.packet_hash(path, selector)
    outcome = luma.fails("invalid_option", "convert", path, format="webm", mode="copy")
    assert "h264" in outcome.error["message"] and "webm" in outcome.error["message"]
    luma.fails("invalid_option", "convert", clips["tracks.mkv"], format="mp4", mode="copy")
    luma.fails("invalid_option", "convert", path, format="mp4", mode="copy", crf=20)


def test_encode_mode(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("convert", path, format="mp4", mode="encode", **QUICK)
    assert facts.packet_hash(outcome.path, "v:0") != facts.packet_hash(path, "v:0")
    assert facts.packet_hash(outcome.path, "a:0") != facts.packet_hash(path, "a:0")
    assert facts.similarity(outcome.path, path) > 0.85


def test_rotation(luma, clips):
    outcome = luma.ok("convert", clips["rotated.mp4"], format="mov")
    rotation = facts.probe(clips["rotated.mp4"]).video.rotation
    assert facts.probe(outcome.path).video.rotation == rotation != 0
    for form, mode in (("mov", "encode"), ("mkv", "auto")):
        outcome = luma.ok("convert", clips["rotated.mp4"], format=form, mode=mode, **QUICK)
        video = facts.probe(outcome.path).video
        assert (video.width, video.height, video.rotation) == (240, 320, 0)
    luma.fails("invalid_option", "convert", clips["rotated.mp4"], format="mkv", mode="copy")


def test_codec_asked_for(luma, clips):
    outcome = luma.ok("convert", clips["silent.mp4"], format="mkv", video_codec="hevc", **QUICK)
    assert facts.probe(outcome.path).video.codec == "hevc"
    luma.fails("invalid_option", "convert", clips["silent.mp4"], format="webm",
               video_codec="h264")
    luma.fails("invalid_option", "convert", clips["silent.mp4"], format="xyz")
    luma.fails("invalid_option", "convert", clips["silent.mp4"])


def test_sound_formats(luma, clips):
    for form, codec in (("mp3", "mp3"), ("flac", "flac"), ("ogg", "vorbis"), ("wav", "pcm_s16le")):
        outcome = luma.ok("convert", clips["clip.mp4"], format=form)
        after = facts.probe(outcome.path)
        assert after.audio.codec == codec and not after.video
        assert outcome.noted("video not kept")
    luma.fails("no_such_stream", "convert", clips["silent.mp4"], format="mp3")


def test_cover_stays(luma, clips):
    for form in ("mkv", "mp4", "m4a"):
        after = facts.probe(luma.ok("convert", clips["cover.mp3"], format=form).path)
        assert len(after.covers) == 1 and after.tags.get("artist") == "Nobody", form


@pytest.mark.parametrize("name", ["short-sound.mp4", "short-picture.mp4", "late-sound.mkv",
                                  "vfr.mkv", "interlaced.ts", "two-sizes.ts", "odd.mkv"])
@pytest.mark.parametrize("form", ["mkv", "mp4", "mpegts", "avi"])
def test_between(luma, clips, name, form):
    path = clips[name]
    outcome = luma.ok("convert", path, format=form, encoder_preset="ultrafast")
    before, after = facts.probe(path), facts.probe(outcome.path)
    assert len(after.of("video")) == len(before.of("video"))
    assert len(after.of("audio")) == len(before.of("audio"))
    # AVI has decoding times only, and those of irregular frames are not known exactly
    tolerance = 0.2 if form == "avi" else before.video.frame + 0.03
    assert abs(facts.span(outcome.path, "v:0") - facts.span(path, "v:0")) <= tolerance
    frames = len(facts.decoded_times(path, "v:0"))
    assert abs(len(facts.decoded_times(outcome.path, "v:0")) - frames) <= (2 if form == "avi" else 1)


def test_real_to_mkv(luma, real):
    """Matroska holds nearly everything: what was a stream is the same stream."""
    before = facts.probe(real)
    if not before:
        luma.fails({"unsupported_media", "corrupt_media"}, "convert", real, format="mkv")
        return
    if not before.video and not before.audio:
        luma.fails("no_such_stream", "convert", real, format="mkv")
        return
    outcome = luma.ok("convert", real, format="mkv", encoder_preset="ultrafast")
    after = facts.probe(outcome.path)
    for kind in ("video", "audio", "subtitle"):
        assert len(after.of(kind)) == len(before.of(kind)), (kind, outcome.notes)
        for ours, theirs in zip(after.of(kind), before.of(kind)):
            assert ours.language == theirs.language
            if copied(outcome, kind) and kind != "subtitle" and theirs.codec != "gif":
                assert facts.packet_hash(outcome.path, ours.index) == \
                    facts.packet_hash(real, theirs.index), theirs.codec
    assert len(after.covers) == len(before.covers)
    if before.video:
        frame = before.video.frame
        ours, theirs = (facts.span(outcome.path, after.video.index),
                        facts.span(real, before.video.index))
        assert abs(ours - theirs) <= frame + 0.03, (ours, theirs)
        assert after.video.shown == before.video.shown


def test_real_to_mp4(luma, real):
    before = facts.probe(real)
    if not before or not (before.video or before.audio):
        return
    if before.video and before.video.codec in ("vp8", "prores") and before.duration > 5:
        pytest.skip("a long encode; test_compress encodes this file small")
    outcome = luma.ok("convert", real, format="mp4", encoder_preset="ultrafast", crf=None)
    after = facts.probe(outcome.path)
    if before.duration < 60:
        assert not facts.complaints(outcome.path) or facts.complaints(real)
    if before.video:
        assert after.video.codec in ("h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video")
        frame = before.video.frame
        ours, theirs = (facts.span(outcome.path, after.video.index),
                        facts.span(real, before.video.index))
        assert abs(ours - theirs) <= frame + 0.03, (ours, theirs)
    if before.audio:
        assert len(after.of("audio")) == len(before.of("audio"))
        assert abs(facts.sound_seconds(outcome.path, after.audio.index)
                   - facts.sound_seconds(real, before.audio.index)) < 0.12
