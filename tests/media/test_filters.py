"""filters: each does what it says, in the order that was asked for, and nothing else changes."""

import math
import re
import subprocess

import pytest

import facts

QUICK = {"encoder_preset": "ultrafast", "crf": 18}


def r128(path, selector="a:0"):
    """Integrated loudness and true peak, by the ffmpeg program."""
    done = subprocess.run(["ffmpeg", "-nostdin", "-nostats", "-i", str(path), "-map",
                           f"0:{selector}", "-af", "apad=pad_dur=0.1,ebur128=peak=true", "-f",
                           "null", "-"], capture_output=True, check=False)
    said = done.stderr.decode()
    loud = re.findall(r"I:\s+(-?[\d.]+) LUFS", said)
    peak = re.findall(r"Peak:\s+(-?[\d.]+|-inf) dBFS", said)
    return float(loud[-1]), float(peak[-1])


def size(outcome):
    video = facts.probe(outcome.path).video
    return video.width, video.height


@pytest.mark.parametrize("wanted,expected", [
    ({"width": 160}, (160, 120)), ({"height": 480}, (640, 480)),
    ({"width": 200, "height": 200}, (200, 150)),
    ({"width": 200, "height": 200, "fit": "pad"}, (200, 200)),
    ({"width": 200, "height": 200, "fit": "crop"}, (200, 200)),
    ({"width": 200, "height": 100, "fit": "stretch"}, (200, 100)),
])
def test_scale(luma, clips, wanted, expected):
    outcome = luma.ok("filters", clips["clip.mp4"], scale=wanted, **QUICK)
    assert size(outcome) == expected
    assert facts.packet_hash(outcome.path, "a:0") == facts.packet_hash(clips["clip.mp4"], "a:0")
    assert outcome.noted("audio", "copied")
    width, height = expected
    graph = {"pad": f"scale=200:150:flags=bicubic,pad={width}:{height}:(ow-iw)/2:(oh-ih)/2",
             "crop": f"scale=266:200:flags=bicubic,crop={width}:{height}"}
    graph = graph.get(wanted.get("fit"), f"scale={width}:{height}:flags=bicubic") + ",setsar=1"
    assert facts.similarity(outcome.path, clips["clip.mp4"], graph) > 0.95


def test_shown_size_counts(luma, clips):
    assert size(luma.ok("filters", clips["anamorphic.mp4"], scale={"width": 180}, **QUICK)) == \
        (180, 144)
    assert size(luma.ok("filters", clips["rotated.mp4"], scale={"width": 120}, **QUICK)) == \
        (120, 160)
    assert size(luma.ok("filters", clips["anamorphic.mp4"],
                        crop={"width": 300, "height": 200}, **QUICK)) == (300, 200)


@pytest.mark.parametrize("asked,graph", [
    ({"rotate": 90}, "transpose=clock"), ({"rotate": -90}, "transpose=cclock"),
    ({"rotate": 180}, "hflip,vflip"), ({"flip": "horizontal"}, "hflip"),
    ({"flip": "vertical"}, "vflip"), ({"flip": "both"}, "hflip,vflip"),
    ({"crop": {"width": 100, "height": 80}}, "crop=100:80"),
    ({"crop": {"width": 100, "height": 80, "x": 8, "y": 4}}, "crop=100:80:8:4"),
    ({"color": {"saturation": 0}}, "hue=s=0"),
    ({"color": {"brightness": 0.1, "contrast": 1.2}}, "eq=brightness=0.1:contrast=1.2"),
    ({"color": {"gamma": 1.5}}, "eq=gamma=1.5"),
    ({"sharpen": 1}, "unsharp=la=1"), ({"denoise": "medium"}, "hqdn3d=4"),
    ({"fade": {"in": 1}}, "fade=in:st=0:d=1"), ({"fade": {"out": 1}}, "fade=out:st=2:d=1"),
])
def test_picture(luma, clips, asked, graph):
    outcome = luma.ok("filters", clips["clip.mp4"], **asked, **QUICK)
    assert facts.similarity(outcome.path, clips["clip.mp4"], graph) > 0.93
    assert abs(facts.span(outcome.path, "v:0") - 3) < 0.001


def test_any_angle(luma, clips):
    width, height = size(luma.ok("filters", clips["silent.mp4"], rotate=30, **QUICK))
    assert abs(width - (320 * math.cos(math.pi / 6) + 120)) <= 2
    assert abs(height - (160 + 240 * math.cos(math.pi / 6))) <= 2


def test_order_of_a_list(luma, clips):
    path = clips["silent.mp4"]
    first = luma.ok("filters", path, filters=[{"rotate": 90}, {"crop": {"width": 200}}], **QUICK)
    assert size(first) == (200, 320)
    last = luma.ok("filters", path, filters=[{"crop": {"width": 200}}, {"rotate": 90}], **QUICK)
    assert size(last) == (240, 200)
    for options in ({"crop": {"width": 200}, "rotate": 90},
                    {"filters": {"crop": {"width": 200}, "rotate": 90}}):
        assert size(luma.ok("filters", path, **options, **QUICK)) == (200, 320)


def test_fps_and_deinterlace(luma, clips):
    outcome = luma.ok("filters", clips["clip.mp4"], fps=10, **QUICK)
    assert len(facts.decoded_times(outcome.path, "v:0")) == 30
    outcome = luma.ok("filters", clips["interlaced.ts"], deinterlace=True, **QUICK)
    assert facts.probe(outcome.path).video.raw.get("field_order") in (None, "progressive")
    outcome = luma.ok("filters", clips["clip.mp4"], deinterlace=True, **QUICK)
    assert outcome.noted("not interlaced")
    assert facts.packet_hash(outcome.path, "v:0") == facts.packet_hash(clips["clip.mp4"], "v:0")


def test_deep_colors_stay_deep(luma, clips):
    outcome = luma.ok("filters", clips["hdr.mkv"], color={"contrast": 1.1}, video_codec="hevc",
                      **QUICK)
    video = facts.probe(outcome.path).video
    assert video.raw["pix_fmt"] == "yuv420p10le"
    assert video.raw["color_transfer"] == "smpte2084"


@pytest.mark.parametrize("volume,gain", [(0.5, -6.02), ("-6dB", -6), ("+2.5 dB", 2.5)])
def test_volume(luma, clips, volume, gain):
    path = clips["clip.mp4"]
    outcome = luma.ok("filters", path, volume=volume)
    assert abs(r128(outcome.path)[0] - r128(path)[0] - gain) < 0.3
    assert facts.packet_hash(outcome.path, "v:0") == facts.packet_hash(path, "v:0")
    assert outcome.noted("video", "copied")


def test_fade_of_sound(luma, clips):
    outcome = luma.ok("filters", clips["deep.wav"], fade={"in": 0.2, "out": 0.3})
    sound = facts.samples(outcome.path, "a:0", "f32le")
    import array
    levels = array.array("f", sound)
    assert max(map(abs, levels[:480])) < 0.02 and max(map(abs, levels[-480:])) < 0.02
    assert max(map(abs, levels[40000:50000])) > 0.05


@pytest.mark.parametrize("target", [-23, -16, -30])
def test_normalize(luma, clips, target):
    outcome = luma.ok("filters", clips["clip.mp4"], normalize={"target": target, "limit": True})
    loud, peak = r128(outcome.path)
    assert abs(loud - target) < 0.5 and peak <= -1 + 0.05
    assert facts.packet_hash(outcome.path, "v:0") == facts.packet_hash(clips["clip.mp4"], "v:0")


def test_normalize_stops_at_the_peak(luma, clips):
    path = str(clips.folder / "peak.wav")
    facts.ffmpeg("-f", "lavfi", "-i", "aevalsrc='0.02*sin(880*PI*t)+0.5*between(t,1,1.001)"
                 "*sin(2000*PI*t)':d=4:s=48000", "-c:a", "pcm_s24le", path)
    outcome = luma.ok("filters", path, normalize={})
    loud, peak = r128(outcome.path)
    assert outcome.noted("stopped by the true peak limit")
    assert abs(peak - -1) < 0.2 and loud < -23.5
    outcome = luma.ok("filters", path, normalize={"limit": True})
    loud, peak = r128(outcome.path)
    assert outcome.noted("limiter") and abs(loud - -23) < 0.5 and peak <= -0.95


def test_normalize_quiet_sound(luma, clips):
    path = str(clips.folder / "quiet.wav")
    facts.ffmpeg("-f", "lavfi", "-i", "sine=frequency=997:duration=3", "-af", "volume=-30dB",
                 "-c:a", "pcm_s24le", path)
    loud, _ = r128(luma.ok("filters", path, normalize={}).path)
    assert abs(loud - -23) < 0.3
    loud, peak = r128(luma.ok("filters", path, normalize={"target": -5, "true_peak": -6}).path)
    assert abs(peak - -6) < 0.15


def test_silence_is_left_alone(luma, clips):
    path = str(clips.folder / "silence.wav")
    facts.ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo", "-t", "2", path)
    outcome = luma.ok("filters", path, normalize={})
    assert outcome.noted("silence")
    assert facts.packet_hash(outcome.path, "a:0") == facts.packet_hash(path, "a:0")


def test_refused(luma, clips):
    for wrong in ({}, {"filters": []}, {"scale": {}}, {"crop": {"width": 400}},
                  {"crop": {"x": 319, "y": 0}}, {"volume": "loud"}, {"volume": "-6"},
                  {"volume": -1}, {"rotate": 400}, {"flip": "sideways"}, {"scale": {"widht": 3}},
                  {"filters": [{"rotate": 90}], "flip": "both"}, {"filters": [{"sepia": 1}]},
                  {"normalize": {"target": 3}}, {"denoise": "light", "crf": 60},
                  {"rotate": 90, "format": "mp3"},
                  {"rotate": 90, "format": "webm", "video_codec": "h264"}):
        luma.fails("invalid_option", "filters", clips["clip.mp4"], **wrong)
    luma.fails("no_such_stream", "filters", clips["silent.mp4"], volume=0.5)
    luma.fails("no_such_stream", "filters", clips["deep.wav"], rotate=90)


def test_real_loudness(luma, real):
    """Within half a unit of the target, unless the peak forbids it, which the notes say."""
    before = facts.probe(real)
    if not before or not before.audio:
        luma.fails({"unsupported_media", "corrupt_media", "no_such_stream"}, "filters", real,
                   normalize={})
        return
    was, _ = r128(real, before.audio.index)
    outcome = luma.ok("filters", real, normalize={})
    after = facts.probe(outcome.path)
    assert len(after.of("audio")) == len(before.of("audio"))
    loud, peak = r128(outcome.path)
    if outcome.noted("silence") or was <= -69:
        return
    assert peak <= -0.9 or outcome.noted("+0.0 dB")
    if not outcome.noted("stopped by"):
        assert abs(loud - -23) <= 0.5
