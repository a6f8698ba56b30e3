"""What has to be true of every result, whatever operation made it of whatever input.

A row of RESULTS says what is run, and what is true of the result besides: how long it is compared
with the input, which tracks are the input's packets bit for bit (ours: theirs), its size as shown,
how alike its pictures are to those of the input through a filter, how much louder its sound is.
To hold another operation to all of this, add a row.
"""

import pytest

import facts

FAST = {"encoder_preset": "ultrafast"}

RESULTS = [
    ("compress", "clip.mp4", {"crf": 20, **FAST},
     {"copied": {"a:0": "a:0"}, "shown": (320, 240), "alike": ("null", 0.95)}),
    ("compress", "late-sound.mkv", {"crf": 20, **FAST}, {"copied": {"a:0": "a:0"}}),
    ("compress", "odd.mkv", {"crf": 20, **FAST},
     {"shown": (160, 120), "alike": ("scale=160:120", 0.9)}),
    ("compress", "studio.mov", {"crf": 20, **FAST}, {"alike": ("null", 0.95), "gain": 0}),
    ("convert", "clip.mp4", {"format": "mkv"}, {"copied": {"v:0": "v:0", "a:0": "a:0"}}),
    ("convert", "tracks.mkv", {"format": "mp4"},
     {"copied": {"v:0": "v:0", "a:0": "a:0"}, "gain": 0}),
    ("convert", "late-sound.mkv", {"format": "mp4"}, {"copied": {"v:0": "v:0"}, "gain": 0}),
    ("convert", "web.webm", {"format": "mp4", "mode": "encode", **FAST},
     {"shown": (160, 120), "alike": ("null", 0.9), "gain": 0}),
    ("convert", "interlaced.ts", {"format": "mkv"}, {"copied": {"v:0": "v:0", "a:0": "a:0"}}),
    ("filters", "clip.mp4", {"volume": 0.5}, {"copied": {"v:0": "v:0"}, "gain": -6.02}),
    ("filters", "rotated.mp4", {"crop": {"width": 100, "height": 80, "x": 10, "y": 20}, **FAST},
     {"copied": {"a:0": "a:0"}, "shown": (100, 80), "alike": ("crop=100:80:10:20", 0.93)}),
    ("filters", "late-sound.mkv", {"flip": "horizontal", **FAST},
     {"copied": {"a:0": "a:0"}, "alike": ("hflip", 0.93)}),
    ("speed", "clip.mp4", {"factor": 2, **FAST}, {"factor": 2, "shown": (320, 240)}),
    ("speed", "late-sound.mkv", {"factor": 0.5, **FAST}, {"factor": 0.5}),
    ("remove_audio", "tracks.mkv", {}, {"copied": {"v:0": "v:0", "s:0": "s:0"}}),
    ("extract_audio", "tracks.mkv", {"format": "ogg", "track": 2}, {"copied": {"a:0": "a:1"}}),
    ("subtitles", "tracks.mkv", {"action": "embed", "language": "fra"},
     {"copied": {"v:0": "v:0", "a:0": "a:0", "a:1": "a:1"}}),
]


def check_time(result, source, factor):
    """Tracks in order, as long as they have to be, and in step with each other."""
    after, before = facts.probe(result), facts.probe(source)
    frame = before.video.frame if before.video else 0.04
    for stream in after.of("video") + after.of("audio"):
        assert not facts.disorder(result, stream.index), facts.disorder(result, stream.index)
    if after.video and before.video:
        wanted = facts.span(source, before.video.index) / factor
        assert abs(facts.span(result, after.video.index) - wanted) <= frame + 0.002
    if after.audio and before.audio and len(after.of("audio")) == len(before.of("audio")):
        wanted = facts.sound_seconds(source, before.audio.index) / factor
        assert abs(facts.sound_seconds(result, after.audio.index) - wanted) <= 0.06
    if after.video and before.video and after.audio and before.audio:
        leads = [facts.begin(path, media.audio.index) - facts.begin(path, media.video.index)
                 for path, media in ((result, after), (source, before))]
        # an encoder of sound begins a little before it
        assert abs(leads[0] - leads[1] / factor) <= frame + 0.025, leads


@pytest.mark.parametrize("operation,clip,options,facts_of_it", RESULTS,
                         ids=[f"{row[0]}-{row[1]}" for row in RESULTS])
def test_result(luma, clips, operation, clip, options, facts_of_it):
    source = clips[clip]
    result = luma.ok(operation, source, **options).path
    assert not facts.complaints(result)
    check_time(result, source, facts_of_it.get("factor", 1))
    for ours, theirs in facts_of_it.get("copied", {}).items():
        assert facts.packet_hash(result, ours) == facts.packet_hash(source, theirs), ours
    if "shown" in facts_of_it:
        assert facts.probe(result).video.shown == facts_of_it["shown"]
    if "alike" in facts_of_it:
        graph, least = facts_of_it["alike"]
        assert facts.similarity(result, source, graph) > least
    if "gain" in facts_of_it:
        streams = zip(facts.probe(result).of("audio"), facts.probe(source).of("audio"))
        for ours, theirs in streams:
            gain = facts.loudness(result, ours.index) - facts.loudness(source, theirs.index)
            assert abs(gain - facts_of_it["gain"]) < 0.3, (ours.index, gain)
