"""Fixtures of the REPL's tests: the luma program at a terminal of the test's own, and a clip.

LUMA_BIN names the program (else build/asan/bin/luma, else build/bin/luma).
"""

import errno
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import fcntl

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\([A-Z0-9]")
CTRL_C, CTRL_D, TAB, UP, ENTER = "\x03", "\x04", "\t", "\x1b[A", "\n"


def find_luma():
    named = os.environ.get("LUMA_BIN")
    if named:
        return pathlib.Path(named)
    sanitized = ROOT / "build/asan/bin/luma"
    return sanitized if sanitized.exists() else ROOT / "build/bin/luma"


class Terminal:
    """A program at a pseudo-terminal: keys go in, what would be seen comes out."""

    def __init__(self, program, arguments, folder, environment):
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            [program, *arguments], stdin=child, stdout=child, stderr=child, cwd=folder,
            env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(child)
        self.fd = parent
        self.text = ""  # all of it, without escape sequences
        self.seen = 0   # how far expect() has come

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def read(self, seconds):
        """Takes what is there; False once the program has left the terminal."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            part = os.read(self.fd, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            return False
        self.text += ESCAPES.sub("", part.decode(errors="replace"))
        return bool(part)

    def expect(self, pattern, seconds=30):
        """Waits for a pattern behind what was expected before; returns the text up to its end."""
        end = time.monotonic() + seconds
        while True:
            found = re.compile(pattern).search(self.text, self.seen)
            if found:
                before, self.seen = self.seen, found.end()
                return self.text[before:found.end()]
            left = end - time.monotonic()
            there = left > 0 and self.read(left)
            if not there and not re.compile(pattern).search(self.text, self.seen):
                raise AssertionError(f"no {pattern!r} in {self.text[self.seen:]!r}")

    def prompt(self, seconds=30):
        """What was printed up to the next prompt, which is at the end of all."""
        return self.expect(r"luma> (?=\Z)", seconds)

    def ask(self, statement, seconds=30):
        """Types a statement and returns what came of it."""
        self.send(statement + ENTER)
        said = self.expect(r"\r\n", seconds) and self.prompt(seconds)
        return said[:-len("luma> ")].replace("\r\n", "\n")

    def leave(self, seconds=30):
        self.send(CTRL_D)
        return self.end(seconds)

    def end(self, seconds=30):
        """Waits for the program's end; its exit status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.read(0.2):
            pass
        status = self.process.wait(max(1, end - time.monotonic()))
        assert "Sanitizer" not in self.text and "runtime error" not in self.text, self.text[-4000:]
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.fd)


class Repl:
    """Starts `luma repl` in a folder of the test's own."""

    def __init__(self, program, folder):
        self.program, self.folder, self.open = str(program), folder, []
        self.state = folder / "state"
        self.state.mkdir()
        self.environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8",
                            "HOME": str(folder), "XDG_STATE_HOME": str(self.state)}
        self.environment.setdefault("LUMA_SCRIPTS", str(ROOT / "scripts"))

    def __call__(self, *arguments):
        terminal = Terminal(self.program, ["repl", *map(str, arguments)], self.folder,
                            self.environment)
        self.open.append(terminal)
        terminal.prompt()
        return terminal

    def pipe(self, text, *arguments):
        done = subprocess.run([self.program, "repl", *map(str, arguments)], input=text.encode(),
                              capture_output=True, cwd=self.folder, env=self.environment,
                              timeout=60, check=False)
        report = done.stderr.decode(errors="replace")
        assert "Sanitizer" not in report and "runtime error" not in report, report[-4000:]
        return done.returncode, done.stdout.decode(), report

    def made(self):
        return sorted(path.name for path in self.folder.iterdir() if path != self.state)


@pytest.fixture(scope="session")
def program():
    found = find_luma()
    if not found.exists():
        pytest.exit(f"{found} isn't there: build it first, or name it with LUMA_BIN", 3)
    return found


@pytest.fixture
def repl(program, tmp_path):
    session = Repl(program, tmp_path)
    yield session
    for terminal in session.open:
        terminal.close()


def make(path, *arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4",
                "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=3",
                "-f", "lavfi", "-i", "sine=duration=3", "-c:v", "libx264", "-preset", "ultrafast",
                "-c:a", "aac", "-metadata", "title=two\x1b[2J\x9b words")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clips") / "long.mp4",
                "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=60", "-c:v", "libx264",
                "-preset", "ultrafast")
