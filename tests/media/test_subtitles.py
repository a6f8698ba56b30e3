"""subtitles: text that comes out as it went in, tracks that players find."""

import os
import re

import pytest

import facts
from conftest import MEDIA

SRT = """1
00:00:00,500 --> 00:00:01,500
{0}

2
00:00:02,000 --> 00:00:02,800
{1}

"""
RUSSIAN = ("Съешь ещё этих мягких французских булок", "да выпей же чаю, пожалуйста")
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="no real media")


def written(luma, name, text, charset="utf-8"):
    path = luma.folder / name
    path.write_bytes(text.encode(charset))
    return path


def as_srt(path, stream=0):
    return facts.ffmpeg("-i", path, "-map", f"0:s:{stream}", "-f", "srt", "-").decode()


def times(text):
    """Begin and end of each event, in seconds."""
    found = re.findall(r"(\d+):(\d+):(\d+),(\d+) --> (\d+):(\d+):(\d+),(\d+)", text)
    seconds = [[int(h) * 3600 + int(m) * 60 + int(s) + int(ms) / 1000
                for h, m, s, ms in (event[:4], event[4:])] for event in found]
    return [tuple(event) for event in seconds]


def close(found, wanted):
    """To the delay of an audio encoder, by which a file may begin before 0."""
    return len(found) == len(wanted) and all(
        abs(a - b) < 0.03 for f, w in zip(found, wanted) for a, b in zip(f, w))


@pytest.mark.parametrize("form", ["srt", "ass", "vtt"])
def test_extract(luma, clips, form):
    outcome = luma.ok("subtitles", clips["tracks.mkv"], action="extract", language="en",
                      format=form)
    assert facts.probe(outcome.path).format == {"vtt": "webvtt"}.get(form, form)
    text = as_srt(outcome.path)
    assert "Hello there" in text and "Goodbye" in text
    assert close(times(text), [(0.2, 1.0), (1.5, 2.5)])
    assert outcome.noted("copied" if form == "srt" else "rewritten")


def test_extract_keeps_the_form(luma, clips):
    for track, codec in ((1, "subrip"), (2, "ass")):
        outcome = luma.ok("subtitles", clips["tracks.mkv"], action="extract", track=track)
        assert facts.probe(outcome.path).streams[0].codec == codec


def test_no_such_subtitles(luma, clips):
    for options in ({"track": 3}, {"language": "ja"}):
        outcome = luma.fails("no_such_stream", "subtitles", clips["tracks.mkv"], action="extract",
                             **options)
        assert "the file has" in outcome.error["message"]
    luma.fails("no_such_stream", "subtitles", clips["silent.mp4"], action="extract")
    luma.fails("no_such_stream", "subtitles", clips["silent.mp4"], action="embed")


def test_options_that_do_not_fit(luma, clips):
    clip = clips["tracks.mkv"]
    for options in ({"action": "extract", "title": "x"}, {"action": "extract", "forced": True},
                    {"action": "extract", "track": 1, "language": "eng"},
                    {"action": "extract", "format": "sub"}, {"action": "translate"},
                    {"action": "embed", "language": "!"}):
        luma.fails("invalid_option", "subtitles", clip, **options)
    luma.fails("invalid_option", "subtitles", clip, written(luma, "a.srt", SRT), action="extract")


@pytest.mark.parametrize("clip, codec", [("clip.mp4", "mov_text"), ("late-sound.mkv", "subrip"),
                                         ("live.webm", "webvtt")])
def test_embed(luma, clips, clip, codec):
    path = clips[clip]
    second = written(luma, "ru.srt", SRT.format(*RUSSIAN), "cp1251")
    outcome = luma.ok("subtitles", path, second, action="embed", language="ru", title="По-русски",
                      default=True)
    before, after = facts.probe(path), facts.probe(outcome.path)
    track = after.of("subtitle")[-1]
    assert (track.codec, track.language) == (codec, "rus")
    assert track.raw["disposition"]["default"] == 1
    assert track.tags.get("title", "По-русски") == "По-русски"
    text = as_srt(outcome.path)
    assert all(line in text for line in RUSSIAN)
    assert close(times(text), [(0.5, 1.5), (2.0, 2.8)][:len(times(text))])
    assert facts.packet_hash(outcome.path, "v:0") == facts.packet_hash(path, "v:0")
    assert len(after.chapters) == len(before.chapters)
    assert not facts.complaints(outcome.path)


def test_embed_among_others(luma, clips):
    """The other tracks stay; none but the new one is shown by itself."""
    second = written(luma, "new.ass", as_ass(luma, SRT.format("neu", "alt")))
    outcome = luma.ok("subtitles", clips["tracks.mkv"], second, action="embed", language="deu",
                      default=True, forced=False)
    after = facts.probe(outcome.path)
    tracks = after.of("subtitle")
    assert [track.language for track in tracks] == ["eng", "fra", "deu"]
    assert [track.raw["disposition"]["default"] for track in tracks] == [0, 0, 1]
    assert [track.codec for track in tracks] == ["subrip", "ass", "ass"]
    assert len(after.of("audio")) == 2 and len(after.chapters) == 2 and after.covers
    assert "neu" in as_srt(outcome.path, 2) and "Hello there" in as_srt(outcome.path, 0)


def as_ass(luma, text):
    source = written(luma, "as.srt", text)
    return facts.ffmpeg("-i", source, "-f", "ass", "-").decode()


def test_embed_own_track(luma, clips):
    outcome = luma.ok("subtitles", clips["tracks.mkv"], action="embed", language="fra",
                      format="srt", title="Français")
    tracks = facts.probe(outcome.path).of("subtitle")
    assert [track.codec for track in tracks] == ["subrip", "subrip"]
    assert tracks[1].tags["title"] == "Français" and tracks[1].language == "fra"
    assert "Goodbye" in as_srt(outcome.path, 1)


def test_embed_ends_with_the_film(luma, clips):
    late = SRT.format("early", "late").replace("00:00:02,000 --> 00:00:02,800",
                                               "00:01:00,000 --> 00:01:02,000")
    outcome = luma.ok("subtitles", clips["clip.mp4"], written(luma, "a.srt", late), action="embed")
    text = as_srt(outcome.path)
    assert "early" in text and "late" not in text
    assert facts.probe(outcome.path).duration < 3.2


def test_embed_where_the_container_cannot(luma, clips):
    second = written(luma, "a.srt", SRT.format("one", "two"))
    outcome = luma.ok("subtitles", clips["interlaced.ts"], second, action="embed")
    assert "matroska" in facts.probe(outcome.path).format and outcome.noted("ts holds no subtitles")
    luma.fails("invalid_option", "subtitles", clips["clip.mp4"], second, action="embed",
               format="ass")


def test_first_subtitle_says_nothing_of_the_start(luma):
    """A file of subtitles begins at 0, whenever its first event does."""
    outcome = luma.ok("subtitles", written(luma, "a.srt", SRT.format("one", "two")),
                      action="extract", format="vtt")
    assert "00:00.500 --> 00:01.500" in open(outcome.path).read()


@pytest.mark.parametrize("name, content", [
    ("prose.srt", b"Dear diary, nothing happened today.\n" * 20), ("none.vtt", b"WEBVTT\n\n"),
    ("empty.srt", b""), ("binary.srt", bytes(range(256)) * 40),
    ("header.ass", b"[Script Info]\nPlayResX: 1\n\n[Events]\nFormat: Layer, Start, End, Text\n"),
    ("times.srt", b"1\n00:00:99 -> x\nnothing\n\n2\n--> --> -->\n\n"),
])
def test_broken_files(luma, clips, name, content):
    path = luma.folder / name
    path.write_bytes(content)
    outcome = luma.fails("corrupt_media", "subtitles", path, action="extract")
    assert name in outcome.error["message"]
    luma.fails("corrupt_media", "subtitles", clips["silent.mp4"], path, action="embed")


def test_damaged_files(luma):
    """What can still be read of them is."""
    whole = SRT.format(*RUSSIAN).encode()
    middle = whole.replace(b"00:00:00,500 --> 00:00:01,500", b"00:00:00 --> ,500")
    for number, content in enumerate((whole[:150], whole[40:], b"\x00\xff" + whole, middle)):
        path = luma.folder / f"damaged{number}.srt"
        path.write_bytes(content)
        outcome = luma.run("subtitles", path, action="extract", format="ass")
        assert outcome.status == 0 or outcome.code == "corrupt_media", outcome.document


def test_too_much_text(luma):
    path = luma.folder / "long.srt"
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(SRT.format("x" * 500000, "y" * 500000).encode())
    assert os.path.getsize(path) > 90e6
    outcome = luma.fails("limit_exceeded", "subtitles", path, action="extract")
    assert "32 MB" in outcome.error["message"]


@needs_media
@pytest.mark.parametrize("name, text", [
    ("non-utf8.srt", "How did we end up here?"), ("utf16le.srt", "This is the second subtitle."),
    ("bom-utf8.srt", "This is the first subtitle."), ("carriage-return.srt", ""),
    ("elephants-dream-ja.vtt", "左に見えるのは"), ("different-format.ass", ""),
])
def test_real_text(luma, name, text):
    for form in ("srt", "ass", "vtt"):
        outcome = luma.ok("subtitles", MEDIA / name, action="extract", format=form)
        assert text in as_srt(outcome.path)


@needs_media
def test_real_tracks(luma):
    outcome = luma.ok("subtitles", MEDIA / "nasa-2video-2audio-2subs.mp4", action="extract",
                      track=2, format="srt")
    source = as_srt(MEDIA / "nasa-2video-2audio-2subs.mp4", 1)
    assert open(outcome.path).read().split() == source.split()
