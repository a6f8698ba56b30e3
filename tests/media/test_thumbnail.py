"""thumbnail: the right moment, the right size, upright, undistorted."""

import re
import shutil

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


def test_interval(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("thumbnail", path, interval=0.75, exact=True, format="png")
    assert len(outcome.paths) == 4
    for number, picture in enumerate(outcome.paths):
        frame = frame_at(path, 0.75 * number)
        assert facts.still_psnr(picture, path, frame, (320, 240)) > 40, number
    assert len(luma.ok("thumbnail", path, interval="00:00:05").paths) == 1
    outcome = luma.fails("invalid_option", "thumbnail", path, interval=0.0005)
    assert outcome.error["details"]["path"] == "options.interval"
    outcome = luma.fails("invalid_option", "thumbnail", clips["tracks.mkv"], interval=0.001,
                         count=3)
    assert "exclude" in outcome.error["message"]


def test_scenes(luma, clips):
    """One of each scene, however long; nothing black, unless there is nothing else."""
    path = clips["scenes.mp4"]
    ranges = [(0, 1), (2, 5), (5, 6)]
    outcome = luma.ok("thumbnail", path, scenes=3, width=80)
    times = [output["media"]["time"] for output in outcome.document["outputs"]]
    assert len(times) == 3 and all(a <= t < b for t, (a, b) in zip(times, ranges)), times
    assert all(abs(t / 0.4 - round(t / 0.4)) < 1e-3 for t in times), times
    for picture in outcome.paths:
        assert max(facts.samples_of_picture(picture)) > 60
    outcome = luma.ok("thumbnail", path, scenes=1, format="png")
    assert max(facts.samples_of_picture(outcome.path)) > 60
    outcome = luma.ok("thumbnail", path, scenes=40, sheet={"columns": 8}, width=40)
    assert len(cues(outcome.paths[1])) == 15 and outcome.noted("15 keyframes")


def cues(path):
    """The cues of an index: [(from, to, url, (x, y, width, height))]."""
    with open(path, encoding="utf-8") as file:
        blocks = file.read().strip().split("\n\n")
    assert blocks[0] == "WEBVTT"
    found = []
    for block in blocks[1:]:
        time, target = block.split("\n")
        start, stop = (sum(float(part) * 60 ** power for power, part in
                           enumerate(reversed(clock.split(":"))))
                       for clock in time.split(" --> "))
        url, place = re.fullmatch(r"(.+)#xywh=([\d,]+)", target).groups()
        found.append((start, stop, url, tuple(int(number) for number in place.split(","))))
    return found


def tile(luma, picture, place):
    x, y, width, height = place
    path = luma.folder / f"tile-{x}-{y}.png"
    facts.ffmpeg("-i", picture, "-vf", f"crop={width}:{height}:{x}:{y}:exact=1", path)
    return path


def test_sheet(luma, clips):
    path = luma.folder / "a clip #1.mp4"
    shutil.copy(clips["clip.mp4"], path)
    outcome = luma.ok("thumbnail", path, count=5, width=81, sheet={"columns": 2}, exact=True,
                      format="png")
    picture, index = outcome.paths
    assert [output["mime"] for output in outcome.document["outputs"]] == ["image/png", "text/vtt"]
    assert size_of(picture) == (162, 183)
    found = cues(index)
    assert [cue[2] for cue in found] == ["a%20clip%20%231.png"] * 5
    assert found[0][0] == 0 and abs(found[-1][1] - 3) < 0.05
    assert all(before[1] == after[0] for before, after in zip(found, found[1:]))
    for number, (start, stop, _, place) in enumerate(found):
        assert place == (number % 2 * 81, number // 2 * 61, 81, 61)
        time = facts.probe(str(path)).duration * (number + 0.5) / 5
        assert start < time < stop
        frame = frame_at(str(path), time)
        assert facts.still_psnr(tile(luma, picture, place), path, frame, (81, 61)) > 40, number


def test_sheet_of_many(luma, clips):
    """As many as asked for, of which each frame serves several: once each in the index."""
    outcome = luma.ok("thumbnail", clips["clip.mp4"], interval=0.0125, width=16, exact=True,
                      sheet={"columns": 20})
    picture, index = outcome.paths
    found = cues(index)
    assert len(found) in (240, 241) and size_of(picture) == (320, 12 * -(-len(found) // 20))
    assert all(after[0] == before[1] < after[1] for before, after in zip(found, found[1:]))


def test_sheet_shapes(luma, clips):
    """Without a wish of its own a square of 160 pixel tiles; fewer than a row make a short one."""
    outcome = luma.ok("thumbnail", clips["rotated.mp4"], sheet={})
    assert size_of(outcome.paths[0]) == (160 * 5, 213 * 5) and len(cues(outcome.paths[1])) == 25
    outcome = luma.ok("thumbnail", clips["clip.mp4"], timestamps=["90%", 0.5, 0.5], height=30,
                      sheet={"columns": 10}, format="webp")
    assert size_of(outcome.paths[0]) == (120, 30)
    assert [cue[3][0] for cue in cues(outcome.paths[1])] == [0, 40, 80]


def test_sheet_of_two_sizes(luma, clips):
    """The picture becomes smaller on the way: no tile is lost."""
    path = clips["two-sizes.ts"]
    outcome = luma.ok("thumbnail", path, count=4, width=80, exact=True, format="png",
                      sheet={"columns": 4})
    assert size_of(outcome.paths[0]) == (320, 60)
    for number, cue in enumerate(cues(outcome.paths[1])):
        frame = frame_at(path, facts.probe(path).duration * (number + 0.5) / 4)
        part = clips.folder / f"part{frame // 25}.ts"  # of each size, 25 frames
        picture = tile(luma, outcome.paths[0], cue[3])
        assert facts.still_psnr(picture, part, frame % 25, (80, 60)) > 25, number


def test_sheet_too_large(luma, clips):
    for wanted in ({"count": 70, "width": 320, "sheet": {"columns": 70}, "format": "webp"},
                   {"interval": 0.001, "width": 320, "sheet": {"columns": 50}}):
        outcome = luma.fails("invalid_option", "thumbnail", clips["clip.mp4"], **wanted)
        assert "too large for" in outcome.error["message"], outcome.error
    luma.fails("no_such_stream", "thumbnail", clips["cover.mp3"], sheet={})


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
                  {"timestamps": ["101%"]}, {"timestamps": [-1]}, {"width": 0},
                  {"interval": 0}, {"sheet": {"columns": 0}}, {"sheet": {"rows": 2}}):
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


@pytest.mark.parametrize("operation, options", [
    ("thumbnail", {"count": 1}), ("gif", {"duration": 1}), ("concat", {}),
    ("filters", {"filters": {"rotate": 90}}), ("compress", {"max_width": 64}),
])
def test_size_unknown(luma, clips, operation, options):
    """That is the file's fault, and never a script's."""
    source = open(clips["two-sizes.ts"], "rb").read()
    path = luma.folder / "sizeless.ts"
    path.write_bytes(source.replace(b"\0\0\1\x67", b"\0\0\1\x6c"))
    inputs = [path] * (2 if operation == "concat" else 1)
    outcome = luma.fails("corrupt_media", operation, *inputs, **options)
    assert "size" in outcome.error["message"]
