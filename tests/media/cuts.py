"""Holds what was cut out of a file against the file: picture by picture, packet by packet."""

import functools
import json
import math
import re
import subprocess

import facts

EARLY = 1e-4  # what rounding may take off a time


@functools.lru_cache(maxsize=None)
def beginning(path):
    """Where a file's time 0 is: the earliest start of its streams."""
    starts = [float(s.raw["start_time"]) for s in facts.probe(path).streams
              if s.raw.get("start_time", "N/A") != "N/A" and s.kind in ("video", "audio")
              and not s.cover]
    return min(starts, default=0.0)


@functools.lru_cache(maxsize=None)
def shown(path, stream="v:0"):
    """When each picture is shown, in seconds from the file's beginning."""
    start = beginning(path)
    return [time - start for time in facts.decoded_times(path, stream)]


def pictures_in(path, ranges, stream="v:0"):
    """(number, time on the joined clock) of the pictures in the ranges."""
    found, offset = [], 0.0
    for start, stop in ranges:
        for number, time in enumerate(shown(path, stream)):
            if start - EARLY <= time < stop - EARLY:
                found.append((number, offset + time - start))
        offset += stop - start
    return found


def to_pictures(path, ranges, stream="v:0"):
    """The ranges with each cut moved to the next picture, as they are where several are joined."""
    times = shown(path, stream)

    def next_picture(cut):
        return next((time for time in times if time >= cut - EARLY), cut)

    return [(next_picture(start), next_picture(stop)) for start, stop in ranges]


def likeness(path, original, numbers, stream="v:0", filters="null"):
    """PSNR of each picture of a file against the picture of the original with that number."""
    chosen = "+".join(f"between(n\\,{a}\\,{b})" for a, b in runs(numbers))
    graph = (f"[0:{stream}]setpts=N/25/TB,format=yuv420p[a];"
             f"[1:{stream}]select={chosen},{filters},setpts=N/25/TB,format=yuv420p[b];"
             "[a][b]psnr=stats_file=-:shortest=1")
    done = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-i",
                           str(original), "-filter_complex", graph, "-fps_mode", "passthrough",
                           "-f", "null", "-"], capture_output=True, check=False)
    found = re.findall(r"psnr_avg:([\d.]+|inf)", done.stdout.decode())
    assert found, done.stderr.decode()[-2000:]
    return [math.inf if value == "inf" else float(value) for value in found]


def runs(numbers):
    """[3, 4, 5, 9] as [(3, 5), (9, 9)]."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


@functools.lru_cache(maxsize=None)
def payloads(path, stream="v:0"):
    """A hash of each packet, in decoding order."""
    text = facts.run("ffprobe", "-v", "error", "-select_streams", stream, "-show_packets",
                     "-show_data_hash", "md5", "-of", "json", path, check=False)
    return [packet["data_hash"] for packet in json.loads(text or b"{}").get("packets", [])]


def copied(path, original, stream="v:0"):
    """How many packets of a file are the original's, byte for byte and in its order."""
    theirs, count, at = payloads(original, stream), 0, 0
    for payload in payloads(path, stream):
        try:
            at = theirs.index(payload, at) + 1
        except ValueError:
            continue
        count += 1
    return count


def rising(path, stream="v:0"):
    """True if decoding times rise and none comes after its presentation time."""
    times = [(pts, dts) for pts, dts, _, _ in facts.packets(path, stream)]
    decoded = [dts for _, dts in times if dts is not None]
    return (all(a < b for a, b in zip(decoded, decoded[1:]))
            and all(dts <= pts + EARLY for pts, dts in times if None not in (pts, dts)))


def moved(outcome):
    """The ranges that mode copy has moved to, a thousandth before the pictures."""
    note = next(note for note in outcome.notes if note.startswith("cut at keyframes"))
    found = re.findall(r"([\d.]+) s to (?:([\d.]+) s|the end)", note.split("instead of")[0])
    return [(float(start) - 0.001, float(stop or 1000) - 0.001) for start, stop in found]


SWEEP = "aevalsrc=0.4*sin(2*PI*(400*t+150*t*t)):s=48000:d={seconds}"


@functools.lru_cache(maxsize=None)
def sound_of(path, stream, rate):
    """The time of the first sample, and the samples."""
    first = facts.decoded_times(path, stream)[0] - beginning(path)
    return first, facts.samples(path, stream, "s16le", "-ac", "1", "-ar", str(rate))


def heard(path, at, stream="a:0"):
    """Of a file with the sweep as its sound: the time of the original that is heard at a time."""
    rate, length = 48000, 0.12
    first, raw = sound_of(path, stream, rate)
    sound = memoryview(raw).cast("h")
    start = round((at - first - length / 2) * rate)
    window = sound[max(start, 0):start + round(length * rate)]
    crossings = [i for i in range(1, len(window)) if window[i - 1] < 0 <= window[i]]
    assert len(crossings) > 2, (path, at, len(sound) / rate)
    pitch = (len(crossings) - 1) * rate / (crossings[-1] - crossings[0])
    return (pitch - 400) / 300


# What the decoder says of pictures that were let go of before an open group, and aren't there.
OPEN = ("mmco: unref short failure", "Last message repeated")


def check(path, original, ranges, least=30, stream="v:0", filters="null", slack=0.002):
    """The pictures of the ranges, all of them, in their time; returns the likeness of each."""
    wanted = pictures_in(original, ranges, stream)
    got = shown(path, stream)
    assert len(got) == len(wanted), (len(got), len(wanted), got[:3], wanted[:3])
    for time, (_, due) in zip(got, wanted):
        assert abs((time - got[0]) - (due - wanted[0][1])) <= slack, (time, due, got[:2], wanted[0])
    alike = likeness(path, original, [number for number, _ in wanted], stream, filters)
    assert len(alike) == len(wanted) and min(alike) >= least, alike
    assert rising(path, stream)
    said = [line for line in facts.complaints(path).splitlines()
            if not any(word in line for word in OPEN)]
    assert not said or facts.complaints(original), said
    return alike
