"""trim: the pictures that were asked for and no others, copied wherever they can be."""

import pytest

import conftest
import cuts
import facts

QUICK = {"encoder_preset": "ultrafast", "crf": 24}
PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=4"]
SWEEP = ["-f", "lavfi", "-i", cuts.SWEEP.format(seconds=4)]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-x264-params"]
FILMS = {
    "closed.mp4": X264 + ["keyint=25:bframes=3:scenecut=0", "-c:a", "aac"],
    "open.mkv": X264 + ["open-gop=1:keyint=25:bframes=3:b-adapt=0:scenecut=0", "-c:a", "libopus"],
    "open.ts": X264 + ["open-gop=1:keyint=25:bframes=2:b-adapt=0:scenecut=0", "-c:a", "mp2"],
    "plain.mov": X264 + ["keyint=25:bframes=0:scenecut=0", "-c:a", "aac"],
    "hevc.mp4": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
                 "log-level=none:keyint=25:bframes=3:open-gop=1", "-c:a", "aac"],
    "mpeg4.mp4": ["-c:v", "mpeg4", "-q:v", "3", "-g", "25", "-bf", "2", "-c:a", "aac"],
    "mpeg2.ts": ["-c:v", "mpeg2video", "-q:v", "3", "-g", "15", "-bf", "2", "-c:a", "mp2"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25",
                 "-c:a", "libopus"],
    "av1.mkv": ["-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-svtav1-params",
                "lookahead=0", "-c:a", "libopus"],
}


@pytest.fixture(scope="session")
def films(clips):
    """Four seconds of picture and a rising tone, a keyframe about every second."""
    def make(name):
        path = clips.folder / f"film-{name}"
        if not path.exists():
            facts.ffmpeg(*PICTURE, *SWEEP, "-b:a", "96k", *FILMS[name], path)
        return str(path)
    return make


def ranges_of(options):
    """The ranges that options ask for."""
    found = []
    for part in options.get("segments") or [options]:
        start = part.get("start", 0)
        found.append((start, part.get("end", start + part.get("duration", 1000))))
    return found


def in_step(path, ranges, first=0.0, slack=0.03):
    """What is heard in the middle of each range is what belongs there."""
    offset = 0.0
    for start, stop in ranges:
        middle = (min(stop, 4) - start) / 2
        assert abs(cuts.heard(path, offset + middle) - (start + first + middle)) <= slack
        offset += stop - start


# ---- encode ----

@pytest.mark.parametrize("options", [{"start": 0.62, "end": 2.5}, {"start": 1.3}])
def test_encode_is_exact(luma, films, options):
    path = films("closed.mp4")
    outcome = luma.ok("trim", path, mode="encode", **options, **QUICK)
    [(start, stop)] = ranges = cuts.to_pictures(path, ranges_of(options))
    cuts.check(outcome.path, path, ranges)
    in_step(outcome.path, ranges)
    assert abs(facts.sound_seconds(outcome.path) - (min(stop, 4) - start)) <= 0.045
    assert outcome.noted("video", "encoded to h264", "as asked")
    assert outcome.noted("audio", "encoded to aac", "to the sample")


def test_encode_joins_segments(luma, films):
    path = films("closed.mp4")
    segments = [{"start": 0.5, "end": 1.21}, {"start": 2.13, "duration": 0.5}, {"start": 3.3}]
    outcome = luma.ok("trim", path, mode="encode", segments=segments, **QUICK)
    ranges = cuts.to_pictures(path, ranges_of({"segments": segments}))
    cuts.check(outcome.path, path, ranges)
    in_step(outcome.path, ranges)


# ---- copy ----

@pytest.mark.parametrize("name", ["open.ts", "hevc.mp4", "vp9.webm"])
def test_copy_cuts_at_keyframes(luma, films, name):
    path = films(name)
    outcome = luma.ok("trim", path, mode="copy", start=1.62, end=2.7)
    [(start, stop)] = cuts.moved(outcome)
    assert start <= 1.62 and 2.7 - 0.002 <= stop < 2.9
    cuts.check(outcome.path, path, [(start, stop)], least=90)
    for stream in ("v:0", "a:0"):
        assert cuts.copied(outcome.path, path, stream) == len(cuts.payloads(outcome.path, stream))
    in_step(outcome.path, [(start, stop)], slack=0.04)


def test_copy_joins_segments(luma, films):
    path = films("closed.mp4")
    segments = [{"start": 0.2, "end": 0.7}, {"start": 2.2, "end": 2.6}, {"start": 3.5}]
    outcome = luma.ok("trim", path, mode="copy", segments=segments)
    ranges = cuts.moved(outcome)
    assert len(ranges) == 3
    cuts.check(outcome.path, path, ranges, least=90)
    in_step(outcome.path, ranges, slack=0.04)
    # What touches becomes one.
    segments = [{"start": 0.2, "end": 1.7}, {"start": 1.8, "end": 2.6}]
    outcome = luma.ok("trim", path, mode="copy", segments=segments)
    assert len(cuts.moved(outcome)) == 1
    cuts.check(outcome.path, path, cuts.moved(outcome), least=90)


# ---- smart ----

@pytest.mark.parametrize("name", FILMS)
def test_smart_joins_segments(luma, films, name):
    path = films(name)
    segments = [{"start": 0.3, "end": 1.54}, {"start": 1.9, "end": 2.13}, {"start": 2.62}]
    ranges = cuts.to_pictures(path, ranges_of({"segments": segments}))
    outcome = luma.ok("trim", path, segments=segments)
    alike = cuts.check(outcome.path, path, ranges)
    in_step(outcome.path, ranges, slack=0.05)
    if name in ("open.mkv", "open.ts"):
        assert outcome.noted("encoded to h264", "IDR")
        return
    assert cuts.copied(outcome.path, path) >= 30, outcome.notes
    assert sum(1 for one in alike if one > 60) >= 30, alike
    assert outcome.noted("video cut exactly", "copied", "encoded")
    assert cuts.copied(outcome.path, path, "a:0") == len(cuts.payloads(outcome.path, "a:0"))


@pytest.mark.parametrize("name,options,kept", [
    ("closed.mp4", {"start": 0.62, "end": 3.3}, 50),
    ("closed.mp4", {"end": 2.52}, 60),
    ("closed.mp4", {"start": 0.98, "end": 1.04}, 1),
    ("open.mkv", {"start": 1, "end": 3}, 45),
    ("open.ts", {"start": 1, "end": 2.52}, 30),
    ("hevc.mp4", {"start": 2}, 50),
])
def test_smart_at_many_places(luma, films, name, options, kept):
    path = films(name)
    outcome = luma.ok("trim", path, **options)
    cuts.check(outcome.path, path, ranges_of(options))
    assert cuts.copied(outcome.path, path) >= kept, outcome.notes


def test_smart_falls_back(luma, clips, films):
    path = clips["silent.mp4"]  # one group of pictures
    outcome = luma.ok("trim", path, start=0.5, end=1.5)
    cuts.check(outcome.path, path, [(0.5, 1.5)])
    assert outcome.noted("encoded to h264", "no keyframe lies between the cuts")
    outcome = luma.ok("trim", films("hevc.mp4"), start=0.62, end=3.3, video_codec="h264", **QUICK)
    cuts.check(outcome.path, films("hevc.mp4"), [(0.62, 3.3)])
    assert outcome.noted("encoded to h264", "as asked")


def test_picture_that_begins_late(luma, clips):
    path = str(clips.folder / "late-picture.mkv")
    facts.ffmpeg("-f", "lavfi", "-i", cuts.SWEEP.format(seconds=3), "-itsoffset", "1", *PICTURE,
                 "-map", "1", "-map", "0", *X264, "keyint=25:scenecut=0", "-c:a", "aac", path)
    for options in ({"start": 0.5, "end": 2.5}, {"end": 2.5}):
        outcome = luma.ok("trim", path, **options)
        start = options.get("start", 0)
        assert abs(cuts.shown(outcome.path)[0] - (1 - start)) <= 0.05
        assert abs(cuts.heard(outcome.path, 1) - (start + 1)) <= 0.04


# ---- what else is in a file ----

XDCAM = conftest.MEDIA / "xdcam-hd-1080i60.mov"


@pytest.mark.skipif(not XDCAM.exists(), reason="no real media (LUMA_TEST_MEDIA)")
@pytest.mark.parametrize("mode", ["smart", "encode"])
def test_pictures_before_the_first_keyframe(luma, mode):
    """It begins with two pictures that are decoded after its first keyframe, and need it alone."""
    outcome = luma.ok("trim", XDCAM, start=0.025, end=0.5, mode=mode,
                      **({} if mode == "smart" else QUICK))
    cuts.check(outcome.path, XDCAM, cuts.to_pictures(XDCAM, [(0.025, 0.5)]))


def test_no_times_in_avi(luma, clips):
    """A player of AVI shows pictures as they come, so none is encoded that is shown later."""
    result = luma.ok("trim", clips["clip.mp4"], start=0.2, mode="encode", format="avi").path
    kinds = facts.run("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
                      "frame=pict_type", "-of", "csv=p=0", result).split()
    assert len(kinds) > 20 and all(not kind.startswith(b"B") for kind in kinds)


def test_everything_is_kept(luma, clips):
    path = clips["tracks.mkv"]
    before = facts.probe(path)
    outcome = luma.ok("trim", path, start=0.6, end=2.1)
    after = facts.probe(outcome.path)
    kinds = [(s.kind, s.codec, s.language, s.cover) for s in before.streams]
    assert [(s.kind, s.codec, s.language, s.cover) for s in after.streams] == kinds
    assert [c["tags"]["title"] for c in after.chapters] == ["First", "Second"]
    times = [(float(c["start_time"]), float(c["end_time"])) for c in after.chapters]
    assert all(abs(a - b) < 0.03 for pair, due in zip(times, [(0, 0.9), (0.9, 1.5)])
               for a, b in zip(pair, due))
    shown = [p for p in facts.packets(outcome.path, "s:0") if p[3] > 2]
    assert [(round(p[0], 1), round(p[2], 1)) for p in shown] == [(0.0, 0.4), (0.9, 0.6)]


def test_subtitles_and_chapters_follow_segments(luma, clips):
    segments = [{"start": 0.4, "end": 0.8}, {"start": 1.2, "end": 2}]
    outcome = luma.ok("trim", clips["tracks.mkv"], segments=segments, mode="encode", **QUICK)
    shown = [p for p in facts.packets(outcome.path, "s:0") if p[3] > 2]
    assert [(round(p[0], 1), round(p[2], 1)) for p in shown] == [(0.0, 0.4), (0.7, 0.5)]
    times = [(float(c["start_time"]), float(c["end_time"]))
             for c in facts.probe(outcome.path).chapters]
    assert all(abs(a - b) < 0.05 for pair, due in zip(times, [(0, 0.4), (0.4, 0.7), (0.7, 1.2)])
               for a, b in zip(pair, due))


def test_rotation(luma, clips):
    path = clips["rotated.mp4"]
    outcome = luma.ok("trim", path, mode="copy", start=1, end=2)
    assert facts.probe(outcome.path).video.rotation == facts.probe(path).video.rotation != 0
    for mode in ("smart", "encode"):
        outcome = luma.ok("trim", path, mode=mode, start=0.5, end=2.5)
        assert facts.probe(outcome.path).video.shown == facts.probe(path).video.shown
        cuts.check(outcome.path, path, [(0.5, 2.5)])


@pytest.mark.parametrize("name,exact", [("cover.mp3", False), ("deep.wav", True)])
def test_sound_alone(luma, clips, name, exact):
    path = clips[name]
    outcome = luma.ok("trim", path, start=0.21, end=0.74)
    before, after = facts.probe(path), facts.probe(outcome.path)
    assert after.audio.codec == before.audio.codec
    assert len(after.covers) == len(before.covers)
    assert abs(facts.sound_seconds(outcome.path) - 0.53) <= (0.0002 if exact else 0.06)
    if exact:
        whole = facts.samples(path, "a:0", "s32le")
        part = facts.samples(outcome.path, "a:0", "s32le")
        first = round(0.21 * 96000) * 4
        assert part == whole[first:first + len(part)]
    joined = luma.ok("trim", path, segments=[{"end": 0.2}, {"start": 0.5, "end": 0.8}])
    assert abs(facts.sound_seconds(joined.path) - 0.5) <= (0.0002 if exact else 0.1)


# ---- refused ----

@pytest.mark.parametrize("options,path", [
    ({"start": 2, "end": 1}, "end"),
    ({"start": 2, "end": 2}, "end"),
    ({"start": 2, "duration": 0}, "duration"),
    ({"end": 2, "duration": 1}, "duration"),
    ({"start": 4}, "start"),
    ({"start": 99, "end": 100}, "start"),
    ({"start": -1}, "start"),
    ({"start": 1, "segments": [{"end": 1}]}, "start"),
    ({"segments": []}, "segments"),
    ({"segments": [{"start": 1, "end": 1}]}, "segments[0].end"),
    ({"segments": [{"end": 2}, {"start": 1.5}]}, "segments[1].start"),
    ({"segments": [{"start": 2, "end": 3}, {"start": 0, "end": 1}]}, "segments[1].start"),
    ({"segments": [{"start": 1}, {"start": 2}]}, "segments[0].end"),
    ({"segments": [{"end": 1}, {"start": 7}]}, "segments[1].start"),
    ({"mode": "copy", "crf": 20}, "crf"),
    ({"crf": 60}, "crf"),
    ({"mode": "magic"}, "mode"),
])
def test_refused(luma, films, options, path):
    outcome = luma.fails("invalid_option", "trim", films("closed.mp4"), **options)
    assert outcome.error["details"]["path"] == f"options.{path}"


def test_copy_that_can_not_be(luma, films, clips):
    outcome = luma.fails("invalid_option", "trim", films("mpeg2.ts"), mode="copy", start=1,
                         format="webm")
    assert outcome.error["details"]["path"] == "options.mode"
    outcome = luma.fails("invalid_option", "trim", films("open.ts"), mode="copy",
                         segments=[{"end": 0.5}, {"start": 2.5}])
    assert outcome.error["details"]["path"] == "options.mode"
    assert "IDR" in outcome.error["message"] and ".lua" not in outcome.error["message"]
    luma.fails("no_such_stream", "trim", clips.helper("only.srt", "1\n00:00:00,200 --> "
               "00:00:01,000\nHello\n"), start=0.1)
