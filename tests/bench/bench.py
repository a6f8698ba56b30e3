#!/usr/bin/python3
"""Ratios against the ffmpeg program, and against a server that starts it for each job.

    make bench                          (or tests/bench/bench.py [encode] [gif] [thumbnails] [trim]
                                         [concat] [target_size] [copy] [small])
    LUMA_BENCH_PAIRS=3 make bench       fewer pairs than 11

Each comparison alternates the two sides in one run and compares medians; nothing is asserted.
Below 1: luma needs less. The numbers are also written to build/bench.json.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "protocol"))
sys.path.insert(0, os.path.join(ROOT, "tests", "media"))

from lumad import Server  # noqa: E402
from steps import beeps, flash, flashes  # noqa: E402
from wire import Client  # noqa: E402

PAIRS = int(os.environ.get("LUMA_BENCH_PAIRS", "11"))
LUMA = os.environ.get("LUMA_BIN", os.path.join(ROOT, "build/bin/luma"))
LUMAD = os.environ.get("LUMAD_BIN", os.path.join(ROOT, "build/bin/lumad"))
MEDIA = os.environ.get("LUMA_TEST_MEDIA", os.path.join(os.path.dirname(ROOT), "shared", "media"))
FRAME = 256 * 1024


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


def source_clip(folder):
    """Thirty seconds of real film, or a generated clip of the same size."""
    real = os.path.join(MEDIA, "bbb-854x480-30s-51.mp4")
    if os.path.isfile(real):
        return real
    path = os.path.join(folder, "clip.mp4")
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=size=854x480:rate=24:maxiter=300,noise=alls=4:allf=t",
           "-f", "lavfi", "-i", "sine=440", "-t", "30", "-c:v", "libx264", "-preset", "veryfast",
           "-b:v", "1M", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", path)
    return path


def copy_clip(source, folder):
    """About 7 MB of it, by repeating it."""
    path = os.path.join(folder, "seven.mp4")
    loops = 7_000_000 / os.path.getsize(source)
    seconds = 30 * loops
    ffmpeg("-stream_loop", str(int(loops) + 1), "-i", source, "-t", f"{seconds:.1f}", "-c", "copy",
           "-movflags", "+faststart", path)
    return path


def measure(command):
    """Wall and processor seconds, and peak memory, of a program."""
    start = time.monotonic()
    with open(os.devnull, "r+b") as null:
        process = subprocess.Popen(command, stdin=null, stdout=null, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode(errors='replace')}")
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime,
            "memory_mb": usage.ru_maxrss / 1024}


def alternate(sides, count, label):
    """Runs the sides in turn; {side: {measure: median}}."""
    seen = {side: [] for side in sides}
    for number in range(count):
        for side, run in sides.items():
            seen[side].append(run())
        if sys.stderr.isatty():
            print(f"\r{label}: {number + 1} of {count}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return {side: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            for side, runs in seen.items()}


def show(title, medians, names, report):
    """A table of luma against the other side."""
    (luma, ours), (other, theirs) = medians.items()
    print(f"\n{title}")
    print(f"  {'':<34}{luma:>12}{other:>16}{'ratio':>9}")
    ratios = {}
    for name, (text, factor, unit) in names.items():
        ratios[name] = ours[name] / theirs[name]
        print(f"  {text:<34}{ours[name] * factor:>9.1f} {unit:<2}{theirs[name] * factor:>13.1f} "
              f"{unit:<2}{ratios[name]:>9.2f}")
    report[title] = {"medians": medians, "ratios": ratios}


def bench_encode(source, folder, report):
    ours, theirs = os.path.join(folder, "luma.mp4"), os.path.join(folder, "ffmpeg.mp4")

    def run_luma():
        if os.path.exists(ours):
            os.unlink(ours)
        return measure([LUMA, "run", "compress", source, "-o", ours, "--preset", "custom",
                        "--crf", "28", "--encoder_preset", "medium"])

    def run_ffmpeg():
        return measure(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", source, "-map", "0:v:0",
                        "-map", "0:a?", "-c:v", "libx264", "-crf", "28", "-preset", "medium",
                        "-c:a", "copy", "-movflags", "+faststart", theirs])

    medians = alternate({"luma": run_luma, "ffmpeg": run_ffmpeg}, PAIRS, "encode")
    show(f"compress, crf 28, medium: {os.path.basename(source)}, median of {PAIRS} pairs", medians,
         {"wall_s": ("wall time", 1, "s"), "cpu_s": ("processor time", 1, "s"),
          "memory_mb": ("peak memory", 1, "MB")}, report)
    sizes = os.path.getsize(ours), os.path.getsize(theirs)
    print(f"  {'size of the result':<34}{sizes[0] / 1e6:>9.2f} MB{sizes[1] / 1e6:>13.2f} MB"
          f"{sizes[0] / sizes[1]:>9.2f}")


def bench_gif(source, folder, report):
    ours, theirs = os.path.join(folder, "luma.gif"), os.path.join(folder, "ffmpeg.gif")
    graph = ("fps=12,scale=480:-2:flags=bicubic,split[a][b];[a]palettegen[p];"
             "[b][p]paletteuse=dither=sierra2_4a")

    def run_luma():
        return measure([LUMA, "run", "gif", source, "-o", ours, "--force", "--duration", "10",
                        "--fps", "12", "--width", "480"])

    def run_ffmpeg():
        return measure(["ffmpeg", "-v", "error", "-nostdin", "-y", "-t", "10", "-i", source,
                        "-filter_complex", graph, theirs])

    pairs = min(PAIRS, 3)  # the program takes its time
    medians = alternate({"luma": run_luma, "ffmpeg": run_ffmpeg}, pairs, "gif")
    show(f"gif, 10 s at 12 fps, 480 wide: {os.path.basename(source)}, median of {pairs} pairs",
         medians, {"wall_s": ("wall time", 1, "s"), "cpu_s": ("processor time", 1, "s"),
                   "memory_mb": ("peak memory", 1, "MB")}, report)
    sizes = os.path.getsize(ours), os.path.getsize(theirs)
    print(f"  {'size of the result':<34}{sizes[0] / 1e6:>9.2f} MB{sizes[1] / 1e6:>13.2f} MB"
          f"{sizes[0] / sizes[1]:>9.2f}")


def bench_thumbnails(source, folder, report):
    """Ten pictures by one job, and by ten runs of the program, which seeks to each."""
    real = os.path.join(MEDIA, "long-1080p-6min.mp4")
    source = real if os.path.isfile(real) else source
    pictures = os.path.join(folder, "pictures")
    probed = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of",
                             "csv=p=0", source], check=True, capture_output=True, text=True)
    seconds = float(probed.stdout)
    pairs = min(PAIRS, 5)  # the program takes its time

    def run_ffmpeg():
        runs = [measure(["ffmpeg", "-v", "error", "-nostdin", "-y", "-ss",
                         f"{(number + 0.5) / 10 * seconds:.3f}", "-i", source, "-frames:v", "1",
                         "-vf", "scale=320:-2:flags=bicubic", "-q:v", "5",
                         os.path.join(folder, f"{number}.jpg")]) for number in range(10)]
        return {"wall_s": sum(run["wall_s"] for run in runs),
                "cpu_s": sum(run["cpu_s"] for run in runs),
                "memory_mb": max(run["memory_mb"] for run in runs)}

    for exact, kind in (("false", "the nearest keyframes"), ("true", "the very frames")):
        def run_luma():
            os.makedirs(pictures, exist_ok=True)
            return measure([LUMA, "run", "thumbnail", source, "-o", pictures, "--force",
                            "--count", "10", "--width", "320", "--exact", exact])

        medians = alternate({"luma": run_luma, "ffmpeg": run_ffmpeg}, pairs, "thumbnails")
        title = f"ten thumbnails, {kind}: {os.path.basename(source)}, median of {pairs} pairs"
        show(title, medians, {"wall_s": ("wall time", 1000, "ms"),
                              "cpu_s": ("processor time", 1000, "ms"),
                              "memory_mb": ("peak memory", 1, "MB")}, report)
        print(f"  {1 / report[title]['ratios']['wall_s']:.1f} times as fast")


def bench_trim(source, folder, report):
    """A minute out of a film, exact at both ends: by a smart cut, and encoded by the program."""
    real = os.path.join(MEDIA, "long-1080p-6min.mp4")
    source, long = (real, True) if os.path.isfile(real) else (source, False)
    ours, theirs = os.path.join(folder, "luma-cut.mp4"), os.path.join(folder, "ffmpeg-cut.mp4")
    seconds = "60" if long else "12"
    pairs = min(PAIRS, 3)  # the program takes its time

    def run_luma(start):
        return measure([LUMA, "run", "trim", source, "-o", ours, "--force", "--start", start,
                        "--duration", seconds])

    def run_ffmpeg(start):
        return measure(["ffmpeg", "-v", "error", "-nostdin", "-y", "-ss", start, "-t", seconds,
                        "-i", source, "-c:v", "libx264", "-c:a", "copy", theirs])

    # Keyframes are 8.3 s apart: the next one is far away, or near.
    for start in ("100.2", "99.6") if long else ("5.3",):
        medians = alternate({"luma": lambda at=start: run_luma(at),
                             "ffmpeg": lambda at=start: run_ffmpeg(at)}, pairs, "trim")
        title = (f"smart trim of {seconds} s from {start} s: {os.path.basename(source)}, "
                 f"median of {pairs} pairs")
        show(title, medians, {"wall_s": ("wall time", 1, "s"), "cpu_s": ("processor time", 1, "s"),
                              "memory_mb": ("peak memory", 1, "MB")}, report)
        print(f"  {1 / report[title]['ratios']['wall_s']:.1f} times as fast")


class SpawnServer:
    """tests/bench/spawn_server.py, running."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "spawn_server.py")],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.split("port=")[1].split()[0])

    def stop(self):
        self.process.terminate()
        self.process.wait()


def job_times(client, operation, data):
    """Seconds from the last upload byte, and from the request, to `completed`."""
    start = time.monotonic()
    job = client.start(operation, [len(data)])
    client.upload(job, data, frame=FRAME)
    sent = time.monotonic()
    client.finish(job)
    end = time.monotonic()
    job.completed()
    return {"after_upload_s": end - sent, "whole_s": end - start}


def bench_copy(source, folder, report):
    with open(copy_clip(source, folder), "rb") as file:
        data = file.read()
    ours, theirs = Server(LUMAD, os.path.join(folder, "copy")), SpawnServer()
    try:
        with Client(ours.port, judged=False) as first, Client(theirs.port, judged=False) as second:
            job_times(first, "remove_audio", data)  # warm caches on both sides
            job_times(second, "remove_audio", data)
            count = max(PAIRS, 3)
            medians = alternate({"luma": lambda: job_times(first, "remove_audio", data),
                                 "python + ffmpeg": lambda: job_times(second, "remove_audio",
                                                                      data)}, count, "copy")
        show(f"remove_audio over loopback: {len(data) / 1e6:.1f} MB, median of {count} pairs",
             medians, {"after_upload_s": ("last byte sent to completed", 1000, "ms"),
                       "whole_s": ("whole job", 1000, "ms")}, report)
        whole = report[next(reversed(report))]["ratios"]["whole_s"]
        print(f"  the whole job is {1 / whole:.1f} times as fast")
    finally:
        theirs.stop()
        ours.stop()


def bench_small(source, folder, report):
    path = os.path.join(folder, "small.mp4")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=1", "-c:v", "libx264", "-preset",
           "ultrafast", "-pix_fmt", "yuv420p", path)
    with open(path, "rb") as file:
        data = file.read()
    server = Server(LUMAD, os.path.join(folder, "small"))
    try:
        with Client(server.port, judged=False) as client:
            job_times(client, "probe", data)
            medians = alternate(
                {"luma": lambda: job_times(client, "probe", data),
                 "ffprobe": lambda: {"whole_s": measure(
                     ["ffprobe", "-v", "error", "-show_streams", path])["wall_s"]}},
                5 * PAIRS, "small")
        for side in medians.values():
            side.pop("after_upload_s", None)
        show(f"what a job costs: probe of {len(data) / 1e3:.0f} kB, sent, forked, run, told",
             medians, {"whole_s": ("whole job", 1000, "ms")}, report)
    finally:
        server.stop()


# Size, frame rate, sound rate, seconds, ending, codecs.
UNLIKE = [
    ("320x180", "25", 48000, 0.9, "mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p "
                                         "-c:a aac"),
    ("640x360", "30", 44100, 1.03, "mkv", "-c:v libx265 -x265-params log-level=none -preset "
                                          "ultrafast -c:a libmp3lame"),
    ("480x270", "24", 48000, 0.71, "webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime "
                                           "-b:v 300k -c:a libopus"),
    ("352x288", "50", 48000, 0.83, "ts", "-c:v mpeg2video -q:v 4 -c:a mp2"),
    ("640x480", "12", 32000, 1.1, "mov", "-c:v mpeg4 -q:v 4 -c:a aac -ac 2"),
    ("854x480", "24000/1001", 96000, 0.61, "mkv", "-c:v ffv1 -c:a flac"),
    ("200x300", "60", 8000, 0.97, "avi", "-c:v mjpeg -q:v 3 -c:a pcm_s16le"),
]


def bench_concat(_source, folder, report):
    """A hundred clips of mixed codecs, sizes and rates, against two of them, and the program."""
    kinds = [flash(os.path.join(folder, f"kind{number}.{ending}"), size, rate, sound, seconds,
                   codecs.split())
             for number, (size, rate, sound, seconds, ending, codecs) in enumerate(UNLIKE)]
    clips = [kinds[number % len(kinds)] for number in range(100)]
    ours, theirs = os.path.join(folder, "luma-100.mp4"), os.path.join(folder, "ffmpeg-100.mp4")

    def run_luma(inputs):
        return measure([LUMA, "run", "concat", *inputs, "-o", ours, "--force", "--mode", "encode",
                        "--encoder_preset", "veryfast"])

    def run_ffmpeg():
        inputs = [word for clip in clips for word in ("-i", clip)]
        shape = ("scale=320:180:force_original_aspect_ratio=decrease,pad=320:180:-1:-1,setsar=1,"
                 "fps=25,format=yuv420p")
        chains = [f"[{n}:v:0]{shape}[v{n}];[{n}:a:0]aformat=fltp:48000:mono[a{n}];"
                  for n in range(len(clips))]
        joined = "".join(f"[v{n}][a{n}]" for n in range(len(clips)))
        graph = f"{''.join(chains)}{joined}concat=n={len(clips)}:v=1:a=1[v][a]"
        return measure(["ffmpeg", "-v", "error", "-nostdin", "-y", *inputs, "-filter_complex",
                        graph, "-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-preset",
                        "veryfast", "-crf", "20", theirs])

    names = {"wall_s": ("wall time", 1, "s"), "memory_mb": ("peak memory", 1, "MB")}
    pairs = min(PAIRS, 3)
    medians = alternate({"two": lambda: run_luma(kinds[:2]), "hundred": lambda: run_luma(clips)},
                        pairs, "concat")
    show(f"concat, two clips and a hundred unlike ones: median of {pairs}",
         dict(reversed(medians.items())), names, report)
    steps = [light - loud for light, loud in zip(flashes(ours), beeps(ours))]
    print(f"  sound and picture of the last of {len(steps)} clips: {1000 * abs(steps[-1]):.0f} ms "
          f"apart, at most {1000 * max(map(abs, steps)):.0f} ms")
    medians = alternate({"luma": lambda: run_luma(clips), "ffmpeg": run_ffmpeg}, 1, "concat")
    show("concat, a hundred unlike clips, all encoded: one pair", medians, names, report)


# Real files, the size they are to have, and further options.
TARGETS = [
    ("bbb-854x480-30s-51.mp4", 2_000_000, []), ("hevc-720p-10s.mp4", 300_000, []),
    ("mpeg4-mp3.avi", 200_000, []), ("xdcam-hd-1080i60.mov", 300_000, []),
    ("phone-rot180-vfr.mp4", 500_000, []), ("people.gif", 100_000, []),
    ("count-vfr-640x480.mp4", 150_000, []), ("chapters-444.mkv", 50_000, []),
    ("nasa-2video-2audio-2subs.mp4", 400_000, []),
    ("fragmented-seekable.mp4", 60_000, ["--max_height", "240"]), ("viper-41s.ogg", 300_000, []),
]


def bench_target_size(source, folder, report):
    """How much of a target size the results fill, for files that are very unlike."""
    known = [(os.path.join(MEDIA, name), size, more) for name, size, more in TARGETS]
    wanted = [case for case in known if os.path.isfile(case[0])] or [(source, 2_000_000, [])]
    title, parts = "compress to a target size: what is filled of it", {}
    print(f"\n{title}")
    for path, size, more in wanted:
        into = os.path.join(folder, "sized")
        os.makedirs(into, exist_ok=True)
        spent = measure([LUMA, "run", "compress", path, "-o", into, "--force", "--target_size",
                         str(size), "--encoder_preset", "veryfast", *more])
        made = [os.path.join(into, name) for name in os.listdir(into)]
        name = os.path.basename(path)
        parts[name] = os.path.getsize(made[0]) / size
        print(f"  {name:<34}{size / 1e3:>9.0f} kB{parts[name] * 100:>12.1f} %"
              f"{spent['wall_s']:>9.1f} s")
        for file in made:
            os.unlink(file)
    print(f"  {'least and most':<34}{min(parts.values()) * 100:>24.1f} %"
          f"{max(parts.values()) * 100:>9.1f} %")
    report[title] = parts


BENCHES = {"encode": bench_encode, "gif": bench_gif, "thumbnails": bench_thumbnails,
           "trim": bench_trim, "concat": bench_concat, "target_size": bench_target_size,
           "copy": bench_copy, "small": bench_small}


def main():
    wanted = sys.argv[1:] or list(BENCHES)
    if not set(wanted) <= set(BENCHES):
        raise SystemExit(f"usage: bench.py {' '.join(f'[{name}]' for name in BENCHES)}")
    report = {}
    with tempfile.TemporaryDirectory(prefix="luma-bench-") as folder:
        source = source_clip(folder)
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
              "below 1: luma needs less")
        for name in wanted:
            BENCHES[name](source, folder, report)
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    with open(os.path.join(ROOT, "build", "bench.json"), "w") as file:
        json.dump(report, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
