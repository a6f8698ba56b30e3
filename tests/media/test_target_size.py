"""compress with target_size: never above it, near it where that can be, and told where it can't."""

import re

import pytest

import facts

QUICK = {"encoder_preset": "ultrafast"}


def size_of(outcome):
    return outcome.document["outputs"][0]["size"]


@pytest.mark.parametrize("name,target,options", [
    ("clip.mp4", 60000, {}),
    ("tracks.mkv", 150000, {}),
    ("silent.mp4", 30000, {"format": "webm", "max_width": 160}),
    ("rotated.mp4", 50000, {"max_width": 160, "audio_bitrate": "32k"}),
])
def test_the_size_is_met(luma, clips, name, target, options):
    path = clips[name]
    outcome = luma.ok("compress", path, target_size=target, **QUICK, **options)
    assert 0.9 * target <= size_of(outcome) <= target, (size_of(outcome), outcome.notes)
    before, after = facts.probe(path), facts.probe(outcome.path)
    assert outcome.noted("two passes")
    assert not facts.complaints(outcome.path)
    assert len(after.of("audio")) == len(before.of("audio"))
    assert abs(facts.span(outcome.path, after.video.index)
               - facts.span(path, before.video.index)) < 0.06
    assert (len(facts.decoded_times(outcome.path, "v:0"))
            == len(facts.decoded_times(path, "v:0")))


def test_a_wrong_guess_is_made_good(luma, clips):
    """A cover that no estimate knows of: the first file is too large, a later one fits."""
    outcome = luma.ok("compress", clips["cover.mp3"], target_size=27000)
    assert size_of(outcome) <= 27000, outcome.notes
    assert outcome.noted("made anew")
    assert len(facts.probe(outcome.path).covers) == 1


def test_unreachable(luma, clips):
    """The smallest size is named, and can be had."""
    outcome = luma.fails("invalid_option", "compress", clips["clip.mp4"], target_size=4000, **QUICK)
    assert outcome.error["details"]["path"] == "options.target_size"
    smallest = int(re.search(r"about (\d+) bytes", outcome.error["message"])[1])
    outcome = luma.ok("compress", clips["clip.mp4"], target_size=smallest, **QUICK)
    assert 0.9 * smallest <= size_of(outcome) <= smallest, (smallest, outcome.notes)


def test_smaller_already(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("compress", path, target_size="50MB")
    assert outcome.noted("kept as they are")
    assert facts.packet_hash(outcome.path, "v:0") == facts.packet_hash(path, "v:0")


def test_nothing_more_to_gain(luma):
    """A picture that a few bytes hold wholly."""
    path = luma.folder / "plain.avi"
    facts.ffmpeg("-f", "lavfi", "-i", "testsrc=s=160x120:r=10:d=2", "-c:v", "rawvideo", path)
    outcome = luma.ok("compress", path, target_size=500000, format="mp4", **QUICK)
    assert size_of(outcome) < 450000 and outcome.noted("best quality")
    assert facts.similarity(outcome.path, path) > 0.98


def test_options(luma, clips):
    for wrong, path in (({"target_size": 20000, "preset": "low"}, "options.target_size"),
                        ({"target_size": 20000, "crf": 20}, "options.target_size"),
                        ({"target_size": 20000, "video_bitrate": "1M"}, "options.target_size"),
                        ({"target_size": 10}, "options.target_size")):
        outcome = luma.fails("invalid_option", "compress", clips["clip.mp4"], **wrong)
        assert outcome.error["details"]["path"] == path
