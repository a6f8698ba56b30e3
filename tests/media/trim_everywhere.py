#!/usr/bin/python3
"""By hand: cuts every real file at random places, and holds the pictures against the file's.

    tests/media/trim_everywhere.py [--cuts N] [--seed N] [--mode MODE] [FILE...]

Takes all files of LUMA_TEST_MEDIA if none is named, and the luma that the tests would take. A line
for each cut; ends with the number of those that went wrong.
"""

import argparse
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import conftest  # noqa: E402
import cuts  # noqa: E402
import facts  # noqa: E402

LONGEST = 4  # seconds of a range: all of it is decoded twice


def length_of(path, media):
    """Seconds in which there is picture or sound."""
    if media.video:
        shown = cuts.shown(path)
        return shown[-1] + media.video.frame if shown else 0
    return facts.span(path, "a:0") if media.audio else 0


def place(random_, length):
    """A range, in places that people give and in places that nobody would."""
    start = random_.uniform(0, length * 0.9)
    stop = min(length, start + random_.uniform(0.05, LONGEST))
    digits = random_.choice((1, 2, 3, 6))
    start, stop = round(start, digits), round(stop, digits)
    return (start, stop) if start < min(stop, length) else (0, min(length, 1))


def segments_of(random_, length):
    """One range, or some in their order."""
    found, reached = [], 0.0
    for start, stop in sorted(place(random_, length) for _ in range(random_.choice((1, 1, 3)))):
        if start >= reached:
            found.append((start, stop))
            reached = stop
    return found


def judge(outcome, path, media, ranges, mode):
    """What is wrong with a result, or ""."""
    if outcome.status != 0:
        none = media.video and not cuts.pictures_in(path, ranges)
        return "" if none else f"{outcome.code}: {outcome.error.get('message')}"
    after = facts.probe(outcome.path)
    if len(after.of("audio")) != len(media.of("audio")):
        return f"{len(after.of('audio'))} of {len(media.of('audio'))} sounds"
    if not media.video:
        wanted = sum(stop - start for start, stop in ranges)
        got = facts.sound_seconds(outcome.path, after.audio.index)
        return "" if abs(got - wanted) < 0.15 * len(ranges) else f"{got:.3f} s, not {wanted:.3f}"
    ranges = cuts.moved(outcome) if mode == "copy" else cuts.to_pictures(path, ranges)
    try:
        cuts.check(outcome.path, path, ranges, least=28, slack=0.003)
    except AssertionError as error:
        return str(error).splitlines()[0][:200] or "complaints or times"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=("smart", "copy", "encode"))
    given = parser.parse_args()
    paths = given.files or [str(conftest.MEDIA / name) for name in conftest.real_files()]
    random_, wrong = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory(prefix="luma-cuts-") as folder:
        luma = conftest.Luma(conftest.find_luma(), pathlib.Path(folder))
        for path in paths:
            media = facts.probe(path)
            length = length_of(path, media) if media else 0
            for _ in range(given.cuts if length > 0 else 0):
                ranges = segments_of(random_, length)
                mode = given.mode or random_.choice(("smart", "smart", "copy", "encode"))
                options = {"mode": mode, "segments": [{"start": a, "end": b} for a, b in ranges]}
                if mode != "copy":
                    options.update(encoder_preset="ultrafast")
                outcome = luma.run("trim", path, **options)
                problem = judge(outcome, path, media, ranges, mode)
                wrong += bool(problem)
                told = "; ".join(note for note in outcome.notes if note.startswith("video"))
                print(f"{'WRONG' if problem else 'well ':5} {pathlib.Path(path).name:32} {mode:6} "
                      f"{ranges} {problem or told[:150]}", flush=True)
    print(f"{wrong} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
