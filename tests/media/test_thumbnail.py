"""thumbnail: the right moment, the right size, upright, undistorted."""

import pytest

import facts

CODECS = {"jpg": "mjpeg", "png": "png", "webp": "webp"}


def size_of(path):
    video = facts.probe(path).streams[0]
    return video.width, video.height


def assert_fits(path, shown, width=None, height=None):
    ours = size_of(path)
    wanted = facts.fitted(shown, width, height)
    assert all(abs(a - b) <= 1 for a, b in zip(ours, wanted)), (ours, wanted)
    assert not width or ours[0] <= width
    assert not height or ours[1] <= height


def frame_at(path, time, selector="v:0"):
    """The number of the frame that is shown at a time counted from the file's beginning."""
    times = facts.decoded_times(path, selector)
    start = float(facts.probe(path).raw["format"].get("start_time", 0))
    shown = [i for i, t in enumerate(times) if t - start <= time + 1e-6]
    return shown[-1] if shown else 0


@pytest.mark.parametrize("form", ["jpg", "png", "webp"])
def test_exact_frame(luma, clips, form):
    path = clips["clip.mp4"]
    outcome = luma.ok("thumbnail", path, timestamps=[1.37], exact=True, format=form, width=160)
    assert outcome.path.endswith("clip." + form)
    picture = facts.probe(outcome.path)
    assert picture.streams[0].codec == CODECS[form]
    assert_fits(outcome.path, (320, 240), width=160)
    psnr = facts.still_psnr(outcome.path, path, frame_at(path, 1.37), (160, 120))
    assert psnr > (40 if form == "png" else 22), psnr
    other = facts.still_psnr(outcome.path, path, frame_at(path, 1.37) + 3, (160, 120))
    assert other < psnr - 1.5


def test_keyframe_is_the_nearest(luma, clips):
    path = clips["clip.mp4"]  # a keyframe each second
    for time, frame in ((1.1, 25), (0.2, 0), (1.9, 50)):
        outcome = luma.ok("thumbnail", path, timestamps=[time], format="png")
        assert facts.still_psnr(outcome.path, path, frame, (320, 240)) > 40, time


def test_percentages_and_text(luma, clips):
    path = clips["clip.mp4"]
    wanted = ["0%", "50%", "00:00:02.500", 0.4]
    outcome = luma.ok("thumbnail", path, timestamps=wanted, exact=True, format="png")
    assert len(outcome.paths) == 4
    for picture, time in zip(outcome.paths, sorted([0, 1.5, 2.5, 0.4])):
        assert facts.still_psnr(picture, path, frame_at(path, time), (320, 240)) > 40, time


def test_past_the_end_is_the_last(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("thumbnail", path, timestamps=[99], exact=True, format="png")
    assert facts.still_psnr(outcome.path, path, 74, (320, 240)) > 40
    assert outcome.noted("past the end")


@pytest.mark.parametrize("exact", [False, True])
def test_count(luma, clips, exact):
    outcome = luma.ok("thumbnail", clips["clip.mp4"], count=5, height=60, exact=exact)
    assert len(outcome.paths) == 5
    for path in outcome.paths:
        assert_fits(path, (320, 240), height=60)


def test_never_enlarges(luma, clips):
    outcome = luma.ok("thumbnail", clips["clip.mp4"], width=2000, height=2000)
    assert size_of(outcome.path) == (320, 240)


def test_rotation_and_aspect(luma, clips):
    outcome = luma.ok("thumbnail", clips["rotated.mp4"], width=120, exact=True, format="png")
    assert size_of(outcome.path) == (120, 160)
    reference = luma.folder / "upright.png"
    facts.ffmpeg("-i", clips["rotated.mp4"], "-vf", "select=eq(n\\,37)", "-frames:v", "1",
                 reference)
    assert facts.still_psnr(outcome.path, reference, 0, (120, 160)) > 30
    outcome = luma.ok("thumbnail", clips["anamorphic.mp4"], height=144)
    assert_fits(outcome.path, (360, 288), height=144)


def test_hdr_is_tone_mapped(luma, clips):
    outcome = luma.ok("thumbnail", clips["hdr.mkv"], format="png", exact=True)
    picture = facts.probe(outcome.path).streams[0]
    assert picture.color().get("color_transfer") != "smpte2084"
    levels = facts.samples_of_picture(outcome.path)
    assert max(levels) > 180 and min(levels) < 60  # not the flat grey of undecoded PQ


def test_cover(luma, clips):
    outcome = luma.ok("thumbnail", clips["cover.mp3"], width=60)
    assert size_of(outcome.path) == (60, 45)
    assert outcome.noted("cover")
    luma.fails("no_such_stream", "thumbnail", clips["deep.wav"])


def test_quality(luma, clips):
    sizes = []
    for quality in (5, 50, 100):
        outcome = luma.ok("thumbnail", clips["clip.mp4"], quality=quality)
        sizes.append(outcome.document["outputs"][0]["size"])
    assert sizes == sorted(sizes) and sizes[0] < sizes[2] / 2


def test_options(luma, clips):
    for wrong in ({"timestamps": [1], "count": 2}, {"timestamps": []}, {"count": 0},
                  {"timestamps": ["101%"]}, {"timestamps": [-1]}, {"width": 0}):
        luma.fails("invalid_option", "thumbnail", clips["clip.mp4"], **wrong)


def test_real(luma, real):
    before = facts.probe(real)
    if not before:
        luma.fails({"unsupported_media", "corrupt_media"}, "thumbnail", real)
        return
    source = before.video or (before.covers or [None])[0]
    if not source:
        luma.fails("no_such_stream", "thumbnail", real)
        return
    outcome = luma.ok("thumbnail", real, timestamps=[0.05], width=200, exact=True, format="png")
    assert_fits(outcome.path, source.shown, width=200)
    hdr = source.color().get("color_transfer") == "arib-std-b67"
    if before.video and not hdr and before.duration < 60:
        number = frame_at(real, 0.05, source.index)
        psnr = facts.still_psnr(outcome.path, real, number, size_of(outcome.path),
                                source.index)
        assert psnr > 25, psnr
    if before.video:
        outcome = luma.ok("thumbnail", real, count=3, width=64, height=64)
        assert len(outcome.paths) == 3
        for path in outcome.paths:
            assert_fits(path, source.shown, 64, 64)


def test_duration_unknown(luma, clips):
    """A live recording doesn't tell how long it is: it is read to find out."""
    path = clips["live.webm"]
    assert not facts.probe(path).raw["format"].get("duration")
    outcome = luma.ok("thumbnail", path, timestamps=["50%"], exact=True, format="png")
    assert facts.still_psnr(outcome.path, path, 25, (160, 120)) > 40
