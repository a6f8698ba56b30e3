"""speed: as long as asked for, at the pitch that was asked for, everything still together."""

import array

import pytest

import facts

QUICK = {"encoder_preset": "ultrafast", "crf": 30}


def pitch(path, selector="a:0"):
    """Frequency of a tone: rising zero crossings a second, away from both ends."""
    rate = 48000
    raw = facts.samples(path, selector, "s16le", "-ac", "1", "-ar", str(rate))
    sound = array.array("h", raw)
    sound = sound[len(sound) // 5:len(sound) * 4 // 5]
    crossings = [i for i in range(1, len(sound)) if sound[i - 1] < 0 <= sound[i]]
    return (len(crossings) - 1) * rate / (crossings[-1] - crossings[0])


@pytest.fixture(scope="session")
def tones(clips):
    path = str(clips.folder / "tone.wav")
    facts.ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=4", path)
    return path


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.7, 1.25, 3, 10])
def test_duration(luma, clips, factor):
    path = clips["clip.mp4"]
    outcome = luma.ok("speed", path, factor=factor, **QUICK)
    after = facts.probe(outcome.path)
    frame = 1 / after.video.frame_rate
    assert abs(facts.span(outcome.path, "v:0") - 3 / factor) <= frame + 0.001
    assert abs(facts.sound_seconds(outcome.path) - facts.sound_seconds(path) / factor) <= 0.035
    assert after.video.codec == "h264" and after.audio.codec == "aac"
    times = facts.decoded_times(outcome.path, "v:0")
    steps = [b - a for a, b in zip(times, times[1:])]
    assert max(steps) - min(steps) < 0.0015
    assert after.audio.language == "deu"


@pytest.mark.parametrize("factor", [0.25, 0.6, 1.5, 4, 10])
def test_pitch(luma, tones, factor):
    kept = luma.ok("speed", tones, factor=factor)
    assert abs(pitch(kept.path) / 440 - 1) < 0.01
    assert abs(facts.sound_seconds(kept.path) - 4 / factor) < 0.002
    moved = luma.ok("speed", tones, factor=factor, preserve_pitch=False)
    assert abs(pitch(moved.path) / (440 * factor) - 1) < 0.01
    assert abs(facts.sound_seconds(moved.path) - 4 / factor) < 0.002
    assert facts.probe(kept.path).audio.raw["sample_rate"] == "44100"


def test_subtitles_and_chapters(luma, clips):
    path = clips["tracks.mkv"]
    before = facts.probe(path)
    outcome = luma.ok("speed", path, factor=2, **QUICK)
    after = facts.probe(outcome.path)
    assert len(after.of("audio")) == 2 and len(after.of("subtitle")) == 2
    assert len(after.covers) == len(before.covers)
    start = facts.decoded_times(path, "v:0")[0], facts.decoded_times(outcome.path, "v:0")[0]
    for ours, theirs in zip(after.of("subtitle"), before.of("subtitle")):
        assert ours.language == theirs.language and ours.codec == theirs.codec
        for a, b in zip(facts.packets(outcome.path, ours.index), facts.packets(path, theirs.index)):
            assert abs((a[0] - start[1]) - (b[0] - start[0]) / 2) < 0.05
            assert abs(a[2] - b[2] / 2) < 0.002 and a[3] == b[3]
    assert [c["tags"]["title"] for c in after.chapters] == ["First", "Second"]
    for ours, theirs in zip(after.chapters, before.chapters):
        assert abs(float(ours["end_time"]) - float(theirs["end_time"]) / 2) < 0.03
    outcome = luma.ok("speed", path, factor=2, format="mp4", **QUICK)
    ours = facts.probe(outcome.path).of("subtitle")
    assert [s.codec for s in ours] == ["mov_text", "mov_text"]
    shown = [p for p in facts.packets(outcome.path, ours[0].index) if p[3] > 2]
    assert abs(shown[0][2] - 0.4) < 0.002


def test_late_sound_stays_in_step(luma, clips):
    for factor in (0.5, 2):
        outcome = luma.ok("speed", clips["late-sound.mkv"], factor=factor, **QUICK)
        late = float(facts.probe(outcome.path).audio.raw["start_time"])
        assert abs(late - 0.5 / factor) < 0.06


@pytest.mark.parametrize("name", ["vfr.mkv", "interlaced.ts", "odd.mkv", "rotated.mp4",
                                  "short-sound.mp4", "short-picture.mp4", "anamorphic.mp4"])
def test_unusual_video(luma, clips, name):
    before = facts.probe(clips[name])
    for factor in (0.5, 2):
        outcome = luma.ok("speed", clips[name], factor=factor, format="mp4", **QUICK)
        after = facts.probe(outcome.path)
        frame = 1 / before.video.frame_rate / min(factor, 1)
        wanted = facts.span(clips[name], "v:0") / factor
        assert abs(facts.span(outcome.path, "v:0") - wanted) <= frame * 1.5 + 0.002
        width, height = before.video.shown
        assert abs(after.video.shown[0] - width) <= 1 and abs(after.video.shown[1] - height) <= 1


@pytest.mark.parametrize("smooth", ["blend", "motion"])
def test_smooth(luma, clips, smooth):
    outcome = luma.ok("speed", clips["silent.mp4"], factor=0.5, smooth=smooth, **QUICK)
    after = facts.probe(outcome.path)
    assert abs(after.video.frame_rate - 25) < 0.01
    assert abs(facts.span(outcome.path, "v:0") - 4) <= 0.041
    assert abs(len(facts.decoded_times(outcome.path, "v:0")) - 100) <= 1
    outcome = luma.ok("speed", clips["silent.mp4"], factor=2, smooth=smooth, **QUICK)
    assert outcome.noted("smooth", "not used")


@pytest.mark.parametrize("name,codec", [("cover.mp3", "mp3"), ("deep.wav", "pcm_s24le"),
                                        ("surround.mkv", "aac")])
def test_sound_alone(luma, clips, name, codec):
    before = facts.probe(clips[name])
    outcome = luma.ok("speed", clips[name], factor=1.6)
    after = facts.probe(outcome.path)
    assert after.audio.codec == codec and not after.video
    assert after.audio.raw["channels"] == before.audio.raw["channels"]
    wanted = facts.sound_seconds(clips[name]) / 1.6
    assert abs(facts.sound_seconds(outcome.path) - wanted) < 0.04
    assert len(after.covers) == len(before.covers)


def test_own_speed_is_a_copy(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("speed", path, factor=1)
    for stream in ("v:0", "a:0"):
        assert facts.packet_hash(outcome.path, stream) == facts.packet_hash(path, stream)
    assert outcome.noted("video", "copied")


def test_motion_of_deep_pictures(luma, clips):
    outcome = luma.ok("speed", clips["hdr.mkv"], factor=0.5, smooth="motion", **QUICK)
    assert outcome.noted("8 bits")
    assert abs(facts.span(outcome.path, "v:0") - 2) <= 0.041


def test_refused(luma, clips):
    for wrong in ({}, {"factor": 0.2}, {"factor": 11}, {"factor": 2, "smooth": "magic"},
                  {"factor": 2, "crf": 60}, {"factor": 2, "format": "mp3"},
                  {"factor": 2, "format": "webm", "video_codec": "h264"}):
        luma.fails("invalid_option", "speed", clips["clip.mp4"], **wrong)


def test_real(luma, real):
    before = facts.probe(real)
    if not before or not (before.video or before.audio):
        luma.fails({"unsupported_media", "corrupt_media", "no_such_stream"}, "speed", real, factor=2)
        return
    if facts.span(real, before.video.index if before.video else before.audio.index) > 60:
        pytest.skip("long: another test has it")
    more = {"format": "mkv"} if real.endswith(".webm") else {}  # VP9 takes its time
    outcome = luma.ok("speed", real, factor=2.5, **more, **QUICK)
    after = facts.probe(outcome.path)
    assert len(after.of("video")) == len(before.of("video"))
    assert len(after.of("audio")) == len(before.of("audio"))
    if before.audio:
        wanted = facts.sound_seconds(real, before.audio.index) / 2.5
        assert abs(facts.sound_seconds(outcome.path, after.audio.index) - wanted) < 0.1
    if before.video and len(facts.decoded_times(real, "v:0")) > 2:
        wanted = facts.span(real, before.video.index) / 2.5
        assert abs(facts.span(outcome.path, "v:0") - wanted) <= 1.5 / before.video.frame_rate + 0.05
