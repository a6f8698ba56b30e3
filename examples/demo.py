#!/usr/bin/python3
"""What `make demo` does: a server, three jobs sent to it over a WebSocket, and what came of them.

    examples/demo.py [FILE]

Without a file it makes a short film of its own. The results stay in ./demo-results.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = "demo-results"
SPEECH = ("Hello. This film was made a moment ago, and sent to luma over a web socket. "
          "What you see and hear now is the compressed copy of it.")


def say(text=""):
    print(text, flush=True)


def dim(text):
    return f"\033[2m{text}\033[0m" if sys.stdout.isatty() else text


def bold(text):
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def generate(path):
    """A moving picture with a spoken sound, at the kind of bit rate that cameras use."""
    with tempfile.TemporaryDirectory() as folder:
        speech = os.path.join(folder, "speech.wav")
        subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "-w", speech, SPEECH], check=True)
        subprocess.run([
            "ffmpeg", "-v", "error", "-y",
            "-f", "lavfi", "-i", "gradients=size=1280x720:rate=30:speed=0.02:seed=7",
            "-f", "lavfi", "-i", "mandelbrot=size=480x360:rate=30:maxiter=250:end_pts=400",
            "-f", "lavfi", "-i", "testsrc2=size=480x360:rate=30",
            "-i", speech,
            "-filter_complex", "[0][1]overlay=120:180[left];[left][2]overlay=680:180,"
                               "noise=alls=4:allf=t[picture]",
            "-map", "[picture]", "-map", "3:a", "-af", "apad", "-t", "9",
            "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p",
            "-c:a", "aac", "-b:a", "192k", "-ac", "2", "-ar", "48000", path], check=True)


class Server:
    """lumad on free ports, with a folder of its own for its jobs."""

    def __init__(self, folder):
        self.log_path = os.path.join(folder, "lumad.log")
        environment = {**os.environ, "LUMA_PORT": "0", "LUMA_HEALTH_PORT": "0",
                       "LUMA_HOST": "127.0.0.1", "LUMA_DIR": os.path.join(folder, "jobs"),
                       "LUMA_SCRIPTS": os.path.join(ROOT, "scripts")}
        binary = os.environ.get("LUMAD_BIN", os.path.join(ROOT, "build/bin/lumad"))
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([binary], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment)

    def wait(self):
        """The port, once the server listens."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with open(self.log_path, errors="replace") as log:
                text = log.read()
            if found := re.search(r"event=listening port=(\d+) health_port=(\d+)", text):
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"The server did not start. It said:\n{text}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def run_job(server_url, operation, path, *options):
    """One job through examples/client.py: what it printed, and the seconds that it took."""
    out = os.path.join(RESULTS, operation)
    command = ["examples/client.py", operation, os.path.relpath(path), *options]
    say(bold(f"$ {' '.join(command)} --out {out}"))
    start = time.monotonic()
    done = subprocess.run([sys.executable, os.path.join(ROOT, command[0]), operation, path,
                           *options, "--out", out, "--server", server_url],
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"The job {operation} failed.")
    return done.stdout, time.monotonic() - start


def saved_paths(text):
    """The paths that the client prints, each with its size behind two blanks."""
    return [line.rsplit("  ", 1)[0] for line in text.splitlines() if "  " in line]


def facts(path):
    """Size, duration, codecs and bit rate, as ffprobe (not luma) sees them."""
    text = subprocess.run(["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of",
                           "json", path], stdout=subprocess.PIPE, text=True).stdout
    probed = json.loads(text or "{}")
    streams = [s for s in probed.get("streams", []) if not s["disposition"]["attached_pic"]]
    size = os.path.getsize(path)
    duration = float(probed.get("format", {}).get("duration", 0) or 0)
    pictures = [f"{s['width']}x{s['height']}" for s in streams if s["codec_type"] == "video"]
    codecs = [s.get("codec_name", "?") for s in streams if s["codec_type"] in ("video", "audio")]
    return [
        f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB",
        f"{duration:.2f} s" if duration else "-",
        pictures[0] if pictures else "-",
        " + ".join(codecs),
        f"{size * 8 / duration / 1000:.0f} kb/s" if duration > 0.1 else "-",
    ]


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        say("  " + (bold(text) if number == 0 else text))


def summary(probed):
    """One line out of what probe returned: the format, and a few words a stream."""
    result = json.loads(probed)
    streams = [f"{s.get('kind', '?')} {s.get('codec', '?')}" for s in result.get("streams", [])]
    return f"{result.get('format', '?')}: {', '.join(streams)}"


def demo(source, url):
    rows = [["", "size", "length", "picture", "codecs", "bit rate", "time taken"]]
    rows.append(["before", *facts(source), ""])

    say(dim("What is in it?"))
    text, seconds = run_job(url, "probe", source)
    say(f"  {summary(text)}  ({seconds:.2f} s)\n")

    has_picture = rows[1][3] != "-"
    say(dim("Make it smaller: decoded, encoded and sent back by a worker process."))
    text, seconds = run_job(url, "compress", source, "--preset", "medium")
    made = saved_paths(text)
    rows += [["after compress", *facts(path), f"{seconds:.1f} s"] for path in made]
    say()

    if has_picture:
        say(dim("Four pictures, spread evenly over it."))
        text, seconds = run_job(url, "thumbnail", source, "--count", "4", "--width", "480")
        pictures = saved_paths(text)
        rows += [[f"thumbnail {number}", *facts(path)[:1], "-", *facts(path)[2:4], "-",
                  f"{seconds:.1f} s" if number == 1 else ""]
                 for number, path in enumerate(pictures, 1)]
        made += pictures
        say()

    table(rows)
    before, after = os.path.getsize(source), os.path.getsize(made[0])
    say(f"\n{os.path.basename(source)} is now {100 * after / before:.0f} % of its size."
        " The results are here:")
    for path in made:
        say(f"  {os.path.relpath(path)}")


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and not os.path.isfile(sys.argv[1])):
        raise SystemExit(f"No such file: {' '.join(sys.argv[1:])}\n"
                         "Use: make demo INPUT=path/to/video")
    shutil.rmtree(RESULTS, ignore_errors=True)
    os.makedirs(RESULTS)
    if len(sys.argv) == 2:
        source = sys.argv[1]
    else:
        source = os.path.join(RESULTS, "demo.mp4")
        say("No INPUT was given: making a 9 second film with a voice…")
        generate(source)

    with tempfile.TemporaryDirectory(prefix="luma-demo-") as folder:
        server = Server(folder)
        try:
            url = f"ws://127.0.0.1:{server.wait()}/ws"
            say(f"Started lumad; it listens on {url}\n")
            demo(source, url)
        finally:
            status = server.stop()
    say(f"\nStopped lumad (exit status {status}). Start one of your own with `make run`.")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
