"""concat: files end to end, whatever they are; what matches is copied, all stays in step."""

import array
import re

import pytest

import facts
from steps import beeps, flash, flashes

QUICK = {"encoder_preset": "ultrafast"}


def names(outcome):
    return [chapter.get("tags", {}).get("title") for chapter in facts.probe(outcome.path).chapters]


def sizes(path, selector):
    return [packet[3] for packet in facts.packets(path, selector)]


def rising(path, selector):
    times = [packet[1] for packet in facts.packets(path, selector)]
    return all(b > a for a, b in zip(times, times[1:]))


def frames(path):
    return len(facts.decoded_times(path, "v:0"))


def gaps(path):
    """The longest and the shortest distance of frames."""
    times = facts.decoded_times(path, "v:0")
    steps = [b - a for a, b in zip(times, times[1:])]
    return min(steps), max(steps)


def pictures(path):
    """A hash of each decoded picture."""
    text = facts.ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5",
                        "-").decode()
    return [line.split(",")[-1].strip() for line in text.splitlines() if line[0] != "#"]


def level(path, start, stop):
    """The loudest sample between two times, of 1."""
    data = facts.samples(path, "a:0", "s16le", "-ss", str(start), "-t", str(stop - start), "-ac",
                         "1")
    return max((abs(sample) for sample in array.array("h", data)), default=0) / 32768


# ---- copied ----

def test_what_matches_is_copied(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("concat", path, path, mode="copy")
    assert outcome.noted("video copied") and outcome.noted("audio copied")
    assert sizes(outcome.path, "v:0") == 2 * sizes(path, "v:0")
    assert rising(outcome.path, "v:0") and rising(outcome.path, "a:0")
    assert not facts.complaints(outcome.path)
    assert frames(outcome.path) == 2 * frames(path) == 150
    assert gaps(outcome.path)[1] < 0.06
    assert abs(facts.probe(outcome.path).duration - 6) < 0.06
    assert names(outcome) == ["clip", "clip"]
    assert pictures(outcome.path) == 2 * pictures(path)
    automatic = luma.ok("concat", path, path)
    assert facts.packet_hash(automatic.path, "v:0") == facts.packet_hash(outcome.path, "v:0")


@pytest.mark.parametrize("tag", [b"999999999:00:00.00", b"00:00:00.1.2000000"])
def test_absurd_tags(luma, clips, tag):
    """A tag that says where a track ends may say anything."""
    source = open(clips["tracks.mkv"], "rb").read()
    path = luma.folder / "tagged.mkv"
    path.write_bytes(re.sub(rb"\d\d:\d\d:\d\d\.\d{9}", tag, source))
    assert path.read_bytes() != source
    outcome = luma.ok("concat", path, path)
    assert facts.probe(outcome.path).duration == pytest.approx(
        2 * facts.probe(path).duration, abs=0.15)


def test_copy_is_refused_with_the_reason(luma, clips):
    for other, options, words in (("odd.mkv", {}, "codec"), ("cover.mp3", {}, "none"),
                                  ("clip.mp4", {"width": 160}, "asked")):
        outcome = luma.fails("invalid_option", "concat", clips["clip.mp4"], clips[other],
                             mode="copy", **options)
        assert outcome.error["details"]["path"] == "options.mode"
        assert words in outcome.error["message"], outcome.error


# ---- unlike ----

def test_unlike_inputs(luma, clips):
    """Another size, codec, rate, shape of pixels, turned, without sound, without a picture."""
    parts = ["clip.mp4", "rotated.mp4", "anamorphic.mp4", "silent.mp4", "cover.mp3", "surround.mkv"]
    paths = [clips[name] for name in parts]
    outcome = luma.ok("concat", *paths, mode="encode", **QUICK)
    after = facts.probe(outcome.path)
    assert (after.video.width, after.video.height) == (320, 240)
    assert not facts.complaints(outcome.path)
    lengths = [round(stop - start, 3) for start, stop in
               ((float(c["start_time"]), float(c["end_time"])) for c in after.chapters)]
    assert len(lengths) == len(parts)
    total = sum(lengths)
    assert abs(facts.span(outcome.path, "v:0") - total) < 0.05
    assert abs(facts.sound_seconds(outcome.path) - total) < 0.05
    low, high = gaps(outcome.path)
    assert low > 0.039 and high < 0.041, (low, high)
    assert outcome.noted("silence", "silent.mp4")
    start = sum(lengths[:3])
    assert level(outcome.path, start + 0.1, start + lengths[3] - 0.1) < 0.001
    assert level(outcome.path, 0.1, lengths[0] - 0.1) > 0.01
    assert facts.similarity(outcome.path, paths[0], seconds=2.9) > 0.95


def test_an_odd_size_is_kept(luma, clips):
    """Others are padded, cut or stretched to the very size of a first input that is copied."""
    first = luma.folder / "first.webm"
    facts.ffmpeg("-i", clips["odd.mkv"], "-t", "0.4", "-c:v", "libvpx-vp9", "-deadline",
                 "realtime", first)
    short = luma.folder / "short.mp4"
    facts.ffmpeg("-i", clips["clip.mp4"], "-t", "0.4", "-an", "-vf", "scale=160:80", "-c:v",
                 "libx264", short)
    for fit in ("pad", "crop"):
        outcome = luma.ok("concat", first, short, fit=fit, **QUICK)
        after = facts.probe(outcome.path)
        assert (after.video.width, after.video.height) == (161, 121)
        assert after.video.codec == "vp9" and not facts.complaints(outcome.path)
        assert frames(outcome.path) == 20


@pytest.mark.parametrize("other", ["odd.mkv", "silent.mp4", "cover.mp3"])
def test_others_are_made_like_the_first(luma, clips, other):
    """Another codec, the same in another set-up, no picture: what is like the first stays."""
    path = clips["clip.mp4"]
    outcome = luma.ok("concat", path, clips[other], path, **QUICK)
    after = facts.probe(outcome.path)
    assert (after.video.width, after.video.height) == (320, 240)
    assert not facts.complaints(outcome.path)
    assert rising(outcome.path, "v:0")
    assert outcome.noted("all other video copied")
    own, made = pictures(path), pictures(outcome.path)
    assert len(made) > 2 * len(own)
    assert made[:len(own)] == own and made[-len(own):] == own
    assert gaps(outcome.path)[1] < 0.081


def test_hdr_goes_by_the_first(luma, clips):
    outcome = luma.ok("concat", clips["clip.mp4"], clips["hdr.mkv"], **QUICK)
    video = facts.probe(outcome.path).video
    assert video.raw["pix_fmt"] == "yuv420p"
    assert video.color().get("color_transfer") != "smpte2084"


def test_sound_alone(luma, clips):
    outcome = luma.ok("concat", clips["cover.mp3"], clips["deep.wav"])
    after = facts.probe(outcome.path)
    wanted = sum(facts.sound_seconds(clips[name]) for name in ("cover.mp3", "deep.wav"))
    assert after.audio.codec == "mp3" and not after.of("video")
    assert abs(facts.sound_seconds(outcome.path) - wanted) < 0.12


def test_subtitles_and_tracks(luma, clips):
    path = clips["tracks.mkv"]
    outcome = luma.ok("concat", path, path, **QUICK)
    before, after = facts.probe(path), facts.probe(outcome.path)
    assert len(after.of("audio")) == len(before.of("audio"))
    assert [stream.language for stream in after.of("subtitle")] == ["eng", "fra"]
    starts = [packet[0] for packet in facts.packets(outcome.path, "s:0")]
    own = [packet[0] for packet in facts.packets(path, "s:0")]
    assert len(starts) == 2 * len(own)
    shift = float(after.chapters[1]["start_time"])
    for late, early in zip(starts[len(own):], own):
        assert abs(late - early - shift) < 0.05
    assert outcome.noted("not kept")


def test_fit(luma, clips):
    outcome = luma.ok("concat", clips["clip.mp4"], clips["clip.mp4"], width=320, height=120, fps=10,
                      fit="pad", **QUICK)
    after = facts.probe(outcome.path)
    assert (after.video.width, after.video.height) == (320, 120)
    assert frames(outcome.path) == 60
    grey = facts.ffmpeg("-i", outcome.path, "-frames:v", "1", "-vf", "crop=60:120:0:0,format=gray",
                        "-f", "rawvideo", "-")
    assert max(grey) < 30


# ---- transitions ----

def test_transition(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("concat", path, clips["silent.mp4"], path, transition="fadeblack",
                      transition_duration=0.5, **QUICK)
    assert not facts.complaints(outcome.path)
    other = facts.span(clips["silent.mp4"], "v:0")
    assert abs(facts.span(outcome.path, "v:0") - (6 + other - 1)) < 0.05
    assert abs(facts.sound_seconds(outcome.path) - (6 + other - 1)) < 0.05
    light = facts.ffmpeg("-ss", "2.74", "-i", outcome.path, "-frames:v", "1", "-vf",
                         "format=gray", "-f", "rawvideo", "-")
    assert sum(light) / len(light) < 45  # black between the two
    assert gaps(outcome.path)[1] < 0.041


def test_options(luma, clips):
    path = clips["clip.mp4"]
    for wrong, place in (({"transition": "fade", "mode": "copy"}, "options.transition"),
                         ({"transition_duration": 1}, "options.transition_duration"),
                         ({"transition": "fade", "transition_duration": 9},
                          "options.transition_duration"),
                         ({"transition": "burn"}, "options.transition")):
        outcome = luma.fails("invalid_option", "concat", path, path, **wrong)
        assert outcome.error["details"]["path"] == place
    luma.fails("invalid_input", "concat", path)


# ---- in step ----

@pytest.mark.parametrize("alike", [True, False])
def test_in_step(luma, alike):
    """Twenty joins; the last flash and the last beep are as near as the first."""
    unlike = [(25, 48000, 0.71), (30, 44100, 0.83), (12, 22050, 1.1)]
    kinds = [(25, 48000, 0.7)] if alike else unlike
    made = [flash(luma.folder / f"flash{n}.mp4", "64x48", *kind) for n, kind in enumerate(kinds)]
    outcome = luma.ok("concat", *[made[n % len(made)] for n in range(21)], **QUICK)
    light, loud = flashes(outcome.path), beeps(outcome.path)
    assert len(light) == len(loud) == 21, (light, loud)
    for one, other in zip(light, loud):
        assert abs(one - other - (light[0] - loud[0])) < 0.041, (light, loud)
