"""extract_audio: the same sound, in the format that was asked for."""

import pytest

import facts

CODECS = {"mp3": "mp3", "aac": "aac", "wav": "pcm_s16le", "opus": "opus", "m4a": "aac",
          "flac": "flac", "ogg": "vorbis"}


@pytest.mark.parametrize("form", sorted(CODECS))
def test_formats(luma, clips, form):
    path = clips["clip.mp4"]
    outcome = luma.ok("extract_audio", path, format=form)
    after = facts.probe(outcome.path)
    assert outcome.path.endswith("clip." + form)
    assert [s.kind for s in after.streams if s.kind != "data"] == ["audio"]
    assert after.audio.codec == CODECS[form]
    assert abs(facts.sound_seconds(outcome.path) - facts.sound_seconds(path)) < 0.06
    assert abs(facts.loudness(outcome.path) - facts.loudness(path)) < 0.7
    assert not facts.complaints(outcome.path)
    if form in ("mp3", "m4a", "flac"):
        assert after.tags.get("title") == "A test clip"


def test_copied_where_it_fits(luma, clips):
    for name, form in (("clip.mp4", "m4a"), ("cover.mp3", "mp3"), ("deep.wav", "wav")):
        outcome = luma.ok("extract_audio", clips[name], format=form)
        assert outcome.noted("copied")
        assert facts.packet_hash(outcome.path, "a:0") == facts.packet_hash(clips[name], "a:0")


def test_lossless_keeps_every_sample(luma, clips):
    for name, form in (("deep.wav", "flac"), ("clip.mp4", "wav")):
        outcome = luma.ok("extract_audio", clips[name], format=form)
        ours, theirs = facts.samples(outcome.path), facts.samples(clips[name])
        assert ours == theirs, (name, len(ours), len(theirs))
    after = facts.probe(luma.ok("extract_audio", clips["deep.wav"], format="flac").path)
    assert after.audio.raw["bits_per_raw_sample"] == "24"


def test_cover_stays(luma, clips):
    for form, there in (("mp3", 1), ("m4a", 1), ("flac", 1), ("wav", 0)):
        outcome = luma.ok("extract_audio", clips["cover.mp3"], format=form)
        after = facts.probe(outcome.path)
        assert len(after.covers) == there, form
        assert there or outcome.noted("cover picture not kept")
        assert after.tags.get("artist") == "Nobody"


def test_rate_channels_bitrate(luma, clips):
    outcome = luma.ok("extract_audio", clips["clip.mp4"], format="mp3", sample_rate=22050,
                      channels=1, bitrate="64k")
    audio = facts.probe(outcome.path).audio
    assert audio.raw["sample_rate"] == "22050" and audio.raw["channels"] == 1
    assert abs(int(audio.raw["bit_rate"]) - 64000) < 4000
    assert facts.loudness(outcome.path) > -60


def test_quality(luma, clips):
    for form in ("mp3", "ogg", "opus", "m4a"):
        sizes = [luma.ok("extract_audio", clips["clip.mp4"], format=form, quality=q)
                 .document["outputs"][0]["size"] for q in (0, 5, 10)]
        assert sizes == sorted(sizes) and sizes[0] * 1.4 < sizes[2], (form, sizes)


def test_track(luma, clips):
    path = clips["tracks.mkv"]
    outcome = luma.ok("extract_audio", path, format="ogg", track=2)
    after = facts.probe(outcome.path)
    assert facts.packet_hash(outcome.path, "a:0") == facts.packet_hash(path, "a:1")
    assert after.audio.language == "fra"
    outcome = luma.fails("no_such_stream", "extract_audio", path, format="ogg", track=3)
    assert "2" in outcome.error["message"]


def test_range(luma, clips):
    path = clips["clip.mp4"]
    outcome = luma.ok("extract_audio", path, format="wav", start=0.5, **{"end": "00:00:01.250"})
    assert abs(facts.sound_seconds(outcome.path) - 0.75) < 0.001
    whole = facts.samples(path)
    part = facts.samples(outcome.path)
    width = 4  # two channels of 16 bits
    where = int(0.5 * 48000) * width
    assert part[4000:8000] == whole[where + 4000:where + 8000]
    luma.fails("invalid_option", "extract_audio", path, format="wav", start=2, end=1)
    luma.fails("invalid_option", "extract_audio", path, format="wav", start=100)


def test_surround(luma, clips):
    path = clips["surround.mkv"]
    for form, channels in (("mp3", 2), ("opus", 6), ("ogg", 6), ("m4a", 6), ("flac", 6)):
        outcome = luma.ok("extract_audio", path, format=form)
        assert facts.probe(outcome.path).audio.raw["channels"] == channels, form
        assert facts.loudness(outcome.path) > -40
    assert luma.ok("extract_audio", path, format="mp3").noted("mixed down")


def test_options(luma, clips):
    for wrong in ({}, {"format": "mp4"}, {"format": "mp3", "bitrate": "128k", "quality": 5},
                  {"format": "wav", "bitrate": "128k"}, {"format": "flac", "quality": 3},
                  {"format": "mp3", "channels": 6}, {"format": "opus", "sample_rate": 44100},
                  {"format": "mp3", "track": 0}):
        luma.fails("invalid_option", "extract_audio", clips["clip.mp4"], **wrong)


def test_no_sound(luma, clips):
    outcome = luma.fails("no_such_stream", "extract_audio", clips["silent.mp4"], format="mp3")
    assert "no audio" in outcome.error["message"]


@pytest.mark.parametrize("form", ["m4a", "wav"])
def test_real(luma, real, form):
    before = facts.probe(real)
    if not before:
        luma.fails({"unsupported_media", "corrupt_media"}, "extract_audio", real, format=form)
    elif not before.audio:
        luma.fails("no_such_stream", "extract_audio", real, format=form)
    else:
        long = before.duration > 60
        more = {"end": 20} if long else {}
        outcome = luma.ok("extract_audio", real, format=form, **more)
        after = facts.probe(outcome.path)
        assert after.audio and after.audio.codec.startswith(("pcm", CODECS[form], "alac"))
        theirs = 20 if long else facts.sound_seconds(real, before.audio.index)
        assert abs(facts.sound_seconds(outcome.path) - theirs) < 0.12
        assert not facts.complaints(outcome.path) or facts.complaints(real)
        if not long and facts.loudness(real, before.audio.index) > -60:
            channels = before.audio.raw["channels"]
            # mixing six channels down to two changes the level
            if after.audio.raw["channels"] == channels:
                difference = facts.loudness(outcome.path) - facts.loudness(
                    real, before.audio.index)
                assert abs(difference) < 1.5
