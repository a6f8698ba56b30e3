"""The example clients, run as a user would run them, against a live server."""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from lumad import ROOT

EXAMPLES = os.path.join(ROOT, "examples")


def node_command():
    """How client.mjs runs here: with ws, with Node's own WebSocket, or not at all."""
    node = shutil.which("node")
    if not node:
        return None
    client = os.path.join(EXAMPLES, "client.mjs")
    has_ws = os.path.isdir(os.path.join(EXAMPLES, "node_modules", "ws"))
    for flags in [[]] if has_ws else [[], ["--experimental-websocket"]]:
        seen = subprocess.run([node, *flags, "-p", "typeof WebSocket"], capture_output=True,
                              text=True)
        if has_ws or (seen.returncode == 0 and seen.stdout.strip() == "function"):
            return [node, *flags, client]
    return None


@pytest.fixture(params=["client.py", "client.mjs"])
def run(request, server, tmp_path):
    """run(arguments…) of each client; its result has returncode, stdout, stderr."""
    command = [sys.executable, os.path.join(EXAMPLES, "client.py")]
    if request.param == "client.mjs":
        command = node_command()
        if not command:
            pytest.skip("client.mjs needs Node 22, or npm install in examples/")

    def start(*arguments, url=f"ws://127.0.0.1:{server.port}/ws"):
        return subprocess.run([*command, *map(str, arguments), "--server", url], cwd=tmp_path,
                              capture_output=True, text=True, timeout=120)

    return start


@pytest.fixture
def clip(small, tmp_path):
    path = tmp_path / "holiday.mp4"
    path.write_bytes(small)
    return path


def test_it_saves_what_was_made(run, clip, tmp_path):
    done = run("remove_audio", clip, "--out", "results")
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "results") == ["holiday.mp4"]
    assert "results/holiday.mp4" in done.stdout
    assert "note:" in done.stderr and "uploading" in done.stderr
    assert clip.read_bytes()[4:8] == b"ftyp"


def test_it_replaces_nothing(run, clip, small, tmp_path):
    assert run("remove_audio", clip).returncode == 0
    assert clip.read_bytes() == small
    assert sorted(os.listdir(tmp_path)) == ["holiday-2.mp4", "holiday.mp4"]


def test_options_have_the_types_of_the_schema(run, clip, tmp_path):
    done = run("thumbnail", clip, "--count", "2", "--width=100", "--format", "png", "--out", "r")
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(tmp_path / "r")) == 2
    done = run("thumbnail", clip, "--timestamps", "1,50%", "--out", "s")
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(tmp_path / "s")) == 2


def test_json_is_for_programs(run, clip, tmp_path):
    done = run("remove_audio", clip, "--json", "--out", "results")
    assert done.returncode == 0 and done.stderr == ""
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert messages[-1]["type"] == "completed"
    (output,) = messages[-1]["outputs"]
    data = (tmp_path / "results" / output["name"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == output["sha256"]


def test_probe_prints_its_result(run, clip):
    done = run("probe", clip)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["streams"]


def test_a_failed_job_is_1(run, tmp_path):
    (tmp_path / "text.mp4").write_text("no film at all\n" * 100)
    done = run("remove_audio", "text.mp4", "--out", "results")
    assert done.returncode == 1 and "_media)" in done.stderr
    assert done.stdout == "" and not (tmp_path / "results").exists()


@pytest.mark.parametrize("arguments, said", [
    (["nonsense", "holiday.mp4"], "unknown_operation"),
    (["compress", "holiday.mp4", "--crff", "28"], "options.crff"),
    (["compress", "holiday.mp4", "--preset", "extreme"], "options.preset"),
    (["compress", "missing.mp4"], "missing.mp4"),
    ([], "usage"),
])
def test_a_request_that_cannot_be_made_is_2(run, clip, arguments, said):
    done = run(*arguments)
    assert done.returncode == 2 and said in done.stderr, done
    assert "Traceback" not in done.stderr and "    at " not in done.stderr


def test_no_server_is_2(run, clip):
    done = run("probe", clip, url="ws://127.0.0.1:9/ws")
    assert done.returncode == 2 and done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_it_lists_the_operations(run):
    done = run("describe")
    assert done.returncode == 0 and "compress: " in done.stdout and "--preset" in done.stdout


def test_an_empty_file(run, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert run("probe", "empty.mp4").returncode in (1, 2)


class Cutter:
    """A way to the server that breaks: each connection lasts for so many bytes of each direction.
    The last of the limits is for good. A full one breaks while the client still has bytes to send,
    which nobody will ever take; what it has for the client still gets there."""

    def __init__(self, port, limits, full=False):
        self.port, self.limits, self.connections, self.full = port, list(limits), 0, full
        self.sockets = []  # they stay open, as on a machine that is gone
        self.listener = socket.socket()
        if full:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.address = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            up, down = self.limits[min(self.connections, len(self.limits) - 1)]
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.port))
            self.sockets += [client, server]
            for source, target, limit in ((client, server, up), (server, client, down)):
                threading.Thread(target=self.pass_on, args=(source, target, limit),
                                 daemon=True).start()

    def pass_on(self, source, target, limit):
        try:
            while limit > 0 and (data := source.recv(min(65536, limit))):
                target.sendall(data)
                limit -= len(data)
        except OSError:
            pass
        if self.full and limit == 0:
            wait_until_full(source)
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def wait_until_full(source):
    """Until nothing more comes of what the other side wants to send, as nobody reads it."""
    seen, before = -1, None
    while seen != before or seen == 0:
        time.sleep(0.3)
        seen, before = struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, bytes(4)))[0], seen


@pytest.mark.parametrize("limits", [
    [(2_000_000, 1 << 40), (5_000_000, 1 << 40), (1 << 40, 1 << 40)],  # cut in mid-upload, twice
    [(1 << 40, 2_000_000), (1 << 40, 3_000_000), (1 << 40, 1 << 40)],  # cut in mid-delivery, twice
], ids=["upload", "delivery"])
def test_it_comes_back_after_a_lost_connection(run, server, clips, tmp_path, limits):
    path = tmp_path / "big.mp4"
    path.write_bytes(clips("big.mp4"))
    cutter = Cutter(server.port, limits)
    done = run("remove_audio", path, "--out", "r", url=f"ws://127.0.0.1:{cutter.address}/ws")
    cutter.listener.close()
    assert done.returncode == 0, done.stderr
    assert cutter.connections >= len(limits) and "trying again" in done.stderr
    assert run("remove_audio", path, "--out", "direct").returncode == 0
    assert (tmp_path / "r/big.mp4").read_bytes() == (tmp_path / "direct/big.mp4").read_bytes()


def test_it_does_not_wait_for_what_nobody_takes(run, own_server, clips, tmp_path):
    """To close what is lost may take a library half a minute, or for ever."""
    server = own_server(LUMA_RECONNECT_GRACE=20)
    path = tmp_path / "big.mp4"
    path.write_bytes(clips("big.mp4"))
    cutter = Cutter(server.port, [(2_000_000, 1 << 40), (1 << 40, 1 << 40)], full=True)
    done = run("remove_audio", path, "--out", "r", url=f"ws://127.0.0.1:{cutter.address}/ws")
    cutter.listener.close()
    assert done.returncode == 0, done.stderr
    assert cutter.connections >= 2 and "trying again" in done.stderr
