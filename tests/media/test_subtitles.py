"""subtitles: text that comes out as it went in, tracks that players find, pictures with text."""

import os
import re

import pytest

import facts
import pgs
from conftest import MEDIA, Luma

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


def test_absurd_times(luma, clips):
    """What nobody lives to read is left out, and nothing is reckoned with it."""
    most = 2**63 - 1
    text = "".join(f"[{i}][{i + 9}]line {i}\n" for i in (1, 11, 21))
    text += f"[{most - 9}][{most - 1}]later\n[{most}][]last\n"
    second = written(luma, "far.txt", text)
    outcome = luma.ok("subtitles", second, action="extract", format="srt")
    assert close(times(open(outcome.path).read()), [(0.1, 1.0), (1.1, 2.0), (2.1, 3.0)])
    for action in ("burn", "embed"):
        outcome = luma.ok("subtitles", clips["plain.mp4"], second, action=action)
        assert facts.probe(outcome.path).duration == pytest.approx(
            facts.probe(clips["plain.mp4"]).duration, abs=0.05)


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
    outcome = luma.fails("no_such_stream", "subtitles", written(luma, "a.srt", SRT),
                         clips["silent.mp4"], action="embed")
    assert "first file" in outcome.error["message"]


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
        file.write(SRT.format(*RUSSIAN).encode())
        for _ in range(100):
            file.write(b"x" * 999_999 + b"\n")
    outcome = luma.fails("limit_exceeded", "subtitles", path, action="extract")
    assert "32 MB" in outcome.error["message"]


# ---- burning ----

FAST = {"encoder_preset": "ultrafast", "crf": 10}
BRIGHT = 110  # the plain clip is darker, and text is brighter


def pictures(path):
    """The luma of all frames: (width, height, [bytes])."""
    video = facts.probe(path).video
    width, height = video.width, video.height
    data = facts.ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt",
                        "gray", "-f", "rawvideo", "-")
    size = width * height
    return width, height, [data[i:i + size] for i in range(0, len(data), size)]


def shown(path):
    """The runs of frames with something bright: [(first, last)]."""
    runs = []
    for number, frame in enumerate(pictures(path)[2]):
        if max(frame) < BRIGHT:
            continue
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def area(path, number):
    """Where it is bright in a frame: (left, top, right, bottom), as parts of the picture."""
    width, height, frames = pictures(path)
    spots = [i for i, value in enumerate(frames[number]) if value >= BRIGHT]
    rows, columns = [i // width for i in spots], [i % width for i in spots]
    return (min(columns) / width, min(rows) / height, (max(columns) + 1) / width,
            (max(rows) + 1) / height)


# frames of 25 a second that begin within the events of SRT
SHOWN = [(13, 37), (50, 69)]


@pytest.mark.parametrize("form", ["srt", "ass", "vtt"])
def test_burn(luma, clips, form):
    text = SRT.format("Hello there", "Goodbye")
    source = written(luma, "a.srt", text)
    if form != "srt":
        source = luma.folder / f"a.{form}"
        facts.ffmpeg("-i", written(luma, "b.srt", text), source)
    outcome = luma.ok("subtitles", clips["plain.mp4"], source, action="burn", **FAST)
    assert shown(outcome.path) == SHOWN and outcome.noted("burned in")
    left, top, right, bottom = area(outcome.path, 20)
    assert top > 0.8 and bottom < 1 and left > 0.2 and right < 0.8
    assert abs((left + right) / 2 - 0.5) < 0.03
    assert not facts.complaints(outcome.path)


def test_burn_with_style(luma, clips):
    second = written(luma, "a.srt", SRT.format("MMMM", "MMMM"), "utf-16-le")
    outcome = luma.ok("subtitles", clips["plain.mp4"], second, action="burn", **FAST, style={
        "position": "top", "size": 20, "color": "red", "outline": 0, "font": "DejaVu Sans"})
    pixels = facts.ffmpeg("-ss", "1", "-i", outcome.path, "-frames:v", "1", "-pix_fmt", "rgb24",
                          "-f", "rawvideo", "-")
    red = [i for i in range(0, len(pixels), 3) if pixels[i] > 200 and pixels[i + 1] < 70]
    rows = [i // 3 // 320 for i in red]
    assert rows and max(rows) < 60 and max(rows) - min(rows) > 15
    for style in ({"size": 90}, {"position": "left"}, {"color": "yello"}, {"font": ""}, {"x": 1}):
        luma.fails("invalid_option", "subtitles", clips["plain.mp4"], second, action="burn",
                   style=style)


def test_burn_own_track(luma, clips):
    """The track that is burned goes; the others and everything else stay."""
    path = clips["tracks.mkv"]
    outcome = luma.ok("subtitles", path, action="burn", language="fra", **FAST)
    after = facts.probe(outcome.path)
    assert [track.language for track in after.of("subtitle")] == ["eng"]
    assert len(after.of("audio")) == 2 and after.covers and len(after.chapters) == 2
    assert facts.packet_hash(outcome.path, "a:0") == facts.packet_hash(path, "a:0")
    assert outcome.noted("in the picture now")


def test_burn_keeps_depth(luma, clips):
    second = written(luma, "a.srt", SRT.format("Hello there", "Goodbye"))
    outcome = luma.ok("subtitles", clips["hdr.mkv"], second, action="burn", video_codec="hevc",
                      encoder_preset="ultrafast")
    video, before = facts.probe(outcome.path).video, facts.probe(clips["hdr.mkv"]).video
    assert video.raw["pix_fmt"] == "yuv420p10le" and video.color() == before.color()


@pytest.mark.parametrize("clip", ["rotated.mp4", "anamorphic.mp4", "odd.mkv", "interlaced.ts",
                                  "two-sizes.ts"])
def test_burn_into_anything(luma, clips, clip):
    second = written(luma, "a.srt", SRT.format("Hello there", "Goodbye"))
    outcome = luma.ok("subtitles", clips[clip], second, action="burn", **FAST)
    assert abs(facts.span(outcome.path, "v:0") - facts.span(clips[clip], "v:0")) < 0.09


def test_nothing_to_burn(luma, clips):
    second = written(luma, "a.srt", SRT.format("one", "two"))
    luma.fails("no_such_stream", "subtitles", clips["deep.wav"], second, action="burn")
    luma.fails("no_such_stream", "subtitles", clips["plain.mp4"], action="burn")
    for options in ({"format": "srt"}, {"title": "x"}, {"crf": 60}):
        luma.fails("invalid_option", "subtitles", clips["plain.mp4"], second, action="burn",
                   **options)


BURNS = """return { summary = "s", inputs = { min = 1, max = 2 }, options = {}, run = function(job)
  local video = job.inputs[1]:from(1).video
  local burned = video:burn(job.inputs[2]:from(1))
  job:output { name = "range", format = "mkv", burned:encode { codec = "ffv1" } }
  local a, b = job.inputs[1].video:split(2)
  job:output { name = "both", format = "mkv",
    a:hflip():hstack(b:format("nv12"):burn(job.inputs[2]):vflip():vflip())
      :encode { codec = "ffv1" } }
  job:output { name = "twice", format = "mkv",
    job.inputs[1].video:burn(job.inputs[2]):burn(job.inputs[2].subtitle, { position = "top" })
      :encode { codec = "ffv1" } }
  local still = job.inputs[1]:at { 0.2, 1 }:burn(job.inputs[2])
  job:output { name = "still", format = "mkv", still:encode { codec = "ffv1" } }
end }"""


def own_script(luma, text):
    folder = luma.folder / "scripts"
    folder.mkdir()
    (folder / "own.lua").write_text(text)
    other = Luma(luma.program, luma.folder)
    other.environment["LUMA_SCRIPTS"] = str(folder)
    return other


def test_burn_from_lua(luma, clips):
    """Ranges have clocks of their own; a graph may hold what is before and what is behind."""
    second = written(luma, "a.srt", SRT.format("Hello there", "Goodbye"))
    outcome = own_script(luma, BURNS).ok("own", clips["plain.mp4"], second)
    made = {os.path.basename(path).split(".")[0]: path for path in outcome.paths}
    assert shown(made["range"]) == [(0, 12), (25, 44)]
    assert shown(made["both"]) == SHOWN and area(made["both"], 20)[0] > 0.5
    _, top, _, bottom = area(made["twice"], 20)
    assert shown(made["twice"]) == SHOWN and top < 0.2 and bottom > 0.8
    assert shown(made["still"]) == [(1, 1)]


@pytest.mark.parametrize("wrong, words", [
    ("job.input.video:burn(job.input)", "no subtitles"),
    ("job.input.video:burn(job.input.video)", "subtitle stream"),
    ("job.input.video:burn('a.srt')", "subtitle stream"),
    ("job.inputs[2].subtitle:burn(job.inputs[2])", "burn can't take subtitles"),
    ("job.input.video:burn(job.inputs[2], {colour = 'red'})", "did you mean 'color'"),
    ("job.input.video:burn(job.inputs[2].subtitle:retime(2))", "retimed"),
    ("job.input.video:subtitles('a.srt')", "subtitles"),
])
def test_burn_wrongly(luma, clips, wrong, words):
    second = written(luma, "a.srt", SRT.format("one", "two"))
    script = ('return { summary = "s", inputs = 2, options = {}, run = function(job) local v = '
              + wrong + " end }")
    outcome = own_script(luma, script).fails({"script_error", "no_such_stream"}, "own",
                                             clips["plain.mp4"], second)
    assert words in outcome.error["message"], outcome.error


def test_attached_fonts(luma, clips):
    """A font that only the file has is the one that is drawn with."""
    system = "/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf"
    if not os.path.exists(system):
        pytest.skip("no DejaVu Serif on this machine")
    data = open(system, "rb").read()
    for charset in ("utf-16-be", "ascii"):
        data = data.replace("DejaVu Serif".encode(charset), "Qejavu Xerif".encode(charset))
    font = luma.folder / "own.ttf"
    font.write_bytes(data.replace(b"DejaVuSerif", b"QejavuXerif"))
    results = {}
    for name, family in (("own", "Qejavu Xerif"), ("missing", "Qejavu Xerif"),
                         ("system", "DejaVu Serif")):
        text = as_ass(luma, SRT.format("Qag Mill", "Qag Mill")).replace("Arial", family)
        path = luma.folder / f"{name}.mkv"
        attach = [] if name != "own" else ["-attach", font, "-metadata:s:t",
                                           "mimetype=application/x-truetype-font"]
        facts.ffmpeg("-i", clips["plain.mp4"], "-i", written(luma, "t.ass", text), *attach, "-map",
                     "0", "-map", "1", "-c", "copy", path)
        outcome = luma.ok("subtitles", path, action="burn", **FAST)
        results[name] = pictures(outcome.path)[2][20]
    assert results["own"] == results["system"] != results["missing"]


def test_pictures_are_burned(luma, clips):
    events = [(0.5, 1.5, 200, 300, 200, 40, 255), (2.0, 2.8, 100, 20, 60, 30, 128)]
    path = pgs.sup(luma.folder / "a.sup", (640, 360), events)
    outcome = luma.ok("subtitles", clips["plain.mp4"], path, action="burn", **FAST)
    assert shown(outcome.path) == SHOWN
    for number, (_, _, x, y, width, height, alpha) in zip((20, 60), events):
        wanted = (x / 640, y / 360, (x + width) / 640, (y + height) / 360)
        assert all(abs(a - b) < 0.015 for a, b in zip(area(outcome.path, number), wanted))
        level = max(pictures(outcome.path)[2][number])
        assert level > 225 if alpha == 255 else 130 < level < 180
    luma.fails("invalid_option", "subtitles", clips["plain.mp4"], path, action="burn",
               style={"size": 10})
    outcome = luma.fails("no_such_stream", "subtitles", path, action="extract")
    assert "pictures" in outcome.error["message"] and "burned" in outcome.error["message"]
    luma.fails("invalid_option", "subtitles", clips["plain.mp4"], path, action="embed")
    outcome = luma.ok("subtitles", clips["hdr.mkv"], path, action="embed")
    assert facts.probe(outcome.path).of("subtitle")[0].codec == "hdmv_pgs_subtitle"


@pytest.mark.parametrize("codec", ["dvdsub", "dvbsub"])
def test_other_pictures(luma, clips, codec):
    """ffmpeg moves the first to 0 when it writes them anew."""
    events = [(0.5, 1.5, 200, 300, 200, 40, 255), (2.0, 2.8, 100, 20, 60, 30, 255)]
    source = pgs.sup(luma.folder / "a.sup", (640, 360), events)
    path = luma.folder / "a.mkv"
    facts.ffmpeg("-i", clips["plain.mp4"], "-fix_sub_duration", "-i", source, "-map", "0", "-map",
                 "1", "-c:v", "copy", "-c:s", codec, path)
    outcome = luma.ok("subtitles", path, action="burn", **FAST)
    assert shown(outcome.path) == [(0, 24), (38, 57)]
    wanted = (200 / 640, 300 / 360, 400 / 640, 340 / 360)
    assert all(abs(a - b) < 0.015 for a, b in zip(area(outcome.path, 10), wanted))


ABSURD = [r"{\fs1e9}x", r"{\fscx1e12\fscy1e12}x", r"{\blur1e9\be1000000}x", r"{\bord1e9}x",
          r"{\p1}m 0 0 l 1e9 0 1e9 1e9 0 1e9{\p0}", r"{\pos(1e300,-1e300)}x", r"{\frz1e30\fax1e9}x",
          r"{\t(0,1,1e9,\fs1e9)}x", r"{\clip(-1e9,-1e9,1e9,1e9)}x", "{" * 5000, r"\N" * 3000,
          r"{\k999999999999}x", "x" * 20000]


def test_absurd_values(luma, clips):
    head = as_ass(luma, SRT.format("one", "two")).split("Dialogue:")[0]
    head = head.replace("PlayResX: 384", "PlayResX: 2147483647").replace("Arial,16", "Arial,99999")
    lines = "".join(f"Dialogue: 0,0:00:00.{n:02},0:00:00.{n + 4:02},Default,,0,0,0,,{text}\n"
                    for n, text in enumerate(ABSURD))
    lines += "Dialogue: -99999999999,9:59:59.99,0:00:00.00,Default,,1e9,-1e9,0,,back\n"
    path = written(luma, "absurd.ass", head + lines)
    short = luma.folder / "short.mp4"
    facts.ffmpeg("-i", clips["plain.mp4"], "-t", "0.2", "-c", "copy", short)
    outcome = luma.run("subtitles", short, path, action="burn", **FAST)
    assert outcome.status == 0 or outcome.code, outcome.document


def test_damaged_pictures(luma, clips):
    path = pgs.sup(luma.folder / "a.sup", (640, 360), [(0.5, 1.5, 200, 300, 200, 40, 255)])
    whole = open(path, "rb").read()
    for number in range(4):
        damaged = bytearray(whole)
        for place in range(13 + number, len(whole), 23 + 7 * number):
            damaged[place] ^= 0x5A
        path = luma.folder / f"damaged{number}.sup"
        path.write_bytes(bytes(damaged))
        outcome = luma.run("subtitles", clips["plain.mp4"], path, action="burn", **FAST)
        assert outcome.status == 0 or outcome.code, outcome.document


@needs_media
def test_real_header(luma):
    """What the header says of the fields is what the lines have."""
    outcome = luma.ok("subtitles", MEDIA / "ass-subs.mkv", action="extract")
    lines = open(outcome.path).read().split("[Events]")[1].strip().splitlines()
    names = [name.strip() for name in lines[0].partition(":")[2].split(",")]
    values = lines[1].partition(":")[2].split(",", len(names) - 1)
    assert values[names.index("Text")] == "This is the first subtitle."


@needs_media
def test_burn_real(luma):
    outcome = luma.ok("subtitles", MEDIA / "ass-subs.mkv", action="burn", **FAST)
    assert facts.similarity(outcome.path, MEDIA / "ass-subs.mkv") < 0.99
    assert abs(facts.span(outcome.path, "v:0")
               - facts.span(MEDIA / "ass-subs.mkv", "v:0")) < 0.05
    outcome = luma.ok("subtitles", MEDIA / "nasa-2video-2audio-2subs.mp4", action="burn", track=2,
                      **FAST)
    assert len(facts.probe(outcome.path).of("video")) == 2
    assert len(facts.probe(outcome.path).of("subtitle")) == 1


@needs_media
@pytest.mark.parametrize("name, text", [
    ("non-utf8.srt", "How did we end up here?"), ("utf16le.srt", "This is the second subtitle."),
    ("bom-utf8.srt", "This is the first subtitle."), ("carriage-return.srt", "strike you as"),
    ("elephants-dream-ja.vtt", "左に見えるのは"), ("different-format.ass", "Coruscant"),
])
def test_real_text(luma, name, text):
    form = "vtt" if name.endswith("srt") else "srt"
    outcome = luma.ok("subtitles", MEDIA / name, action="extract", format=form)
    assert text in as_srt(outcome.path)


@needs_media
def test_real_tracks(luma):
    outcome = luma.ok("subtitles", MEDIA / "nasa-2video-2audio-2subs.mp4", action="extract",
                      track=2, format="srt")
    source = as_srt(MEDIA / "nasa-2video-2audio-2subs.mp4", 1)
    assert open(outcome.path).read().split() == source.split()
