#!/usr/bin/python3
"""By hand, on a release build: what large uploads, slow clients and idle connections cost.

    tests/bench/sockets.py [upload] [slow] [idle]        LUMAD_BIN names the server

upload  4 GB (LUMA_BENCH_GB), alternating with a minimal Node server on the `ws` package (NODE_PATH
        leads to it) on the same disk: rate, processor time, growth of the server's memory.
slow    a client that doesn't read a 1 GB result, one that uploads a byte a second, and 5,000 idle
        connections: how long a ping takes beside them.
idle    5,000 connections, plain and TLS: memory of each.
"""

import json
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "protocol"))

from lumad import Server  # noqa: E402
from wire import Client, WebSocket  # noqa: E402

LUMAD = os.environ.get("LUMAD_BIN", os.path.join(ROOT, "build/bin/lumad"))
GIGABYTES = float(os.environ.get("LUMA_BENCH_GB", "4"))
FRAME = 1 << 20
IDLE = 5000
PAIRS = int(os.environ.get("LUMA_BENCH_PAIRS", "3"))


class Started(Server):
    """A server that doesn't outlive this program, however it ends."""

    all = []

    def __init__(self, *arguments, **settings):
        super().__init__(LUMAD, *arguments, **settings)
        self.all.append(self)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_bytes(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(rf"{field}:\s+(\d+) kB", file.read())[1]) * 1024


class Peak:
    """How far the resident memory of a process grows within the block."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as file:
            file.write("5")
        self.before = status_bytes(self.pid, "VmRSS")
        return self

    def __exit__(self, *_):
        self.growth = status_bytes(self.pid, "VmHWM") - self.before


# ---- uploads ----


def send_piece(connection, job, offset, payload, last):
    """With the mask 0, which leaves the payload as it is: Python needn't touch it."""
    head = json.dumps({"type": "upload", "job_id": job, "input": 0, "offset": offset,
                       "last": last}).encode()
    size = 4 + len(head) + len(payload)
    start = b"\x82\xff" + struct.pack(">Q", size) + bytes(4) + struct.pack(">I", len(head)) + head
    left = len(start) + len(payload) - connection.socket.sendmsg([start, payload])
    if left:
        connection.socket.sendall((start + payload)[-left:])


def pour(connection, job, total):
    payload = os.urandom(FRAME)
    for offset in range(0, total, FRAME):
        send_piece(connection, job, offset, payload, offset + FRAME >= total)


def await_received(client, job, total):
    while True:
        acks = job.texts("ack")
        if acks and acks[-1]["uploads"][0]["received"] == total:
            return
        assert client.pump(600) and job.last is None, job.last


def upload_to_luma(server, total):
    with Client(server.port, judged=False) as client:
        job = client.start("probe", [total])
        client.socket.setblocking(True)
        with Peak(server.pid) as peak:
            cpu, start = processor_seconds(server.pid), time.monotonic()
            pour(client, job.id, total)
            try:
                await_received(client, job, total)
            except AssertionError:  # the last word may be there already: not media
                assert job.last["code"] in ("unsupported_media", "corrupt_media"), job.last
            taken = time.monotonic() - start
            cpu = processor_seconds(server.pid) - cpu
    return taken, cpu, peak.growth


def told(name, run):
    print(f"  {name}: {run[0]:.2f} s, {run[1]:.2f} s of processor, {run[2] / 2**20:.1f} MiB",
          flush=True)
    return run


def upload_to_node(process, port, total):
    connection = WebSocket(port)
    connection.socket.setblocking(True)
    with Peak(process.pid) as peak:
        cpu, start = processor_seconds(process.pid), time.monotonic()
        pour(connection, "0" * 32, total)
        connection.send_text("end")
        assert connection.receive(600) == "done"
        taken, cpu = time.monotonic() - start, processor_seconds(process.pid) - cpu
    connection.close()
    return taken, cpu, peak.growth


def tell(name, total, runs):
    taken, cpu, growth = (statistics.median(column) for column in zip(*runs))
    print(f"  {name}: {total / taken / 1e6:.0f} MB/s, {cpu:.2f} s of processor, "
          f"memory grew by {growth / 2**20:.1f} MiB")
    return total / taken, cpu


def bench_upload(folder):
    total = int(GIGABYTES * 1e9) // FRAME * FRAME
    server = Started(os.path.join(folder, "upload"))
    target = os.path.join(folder, "node.bin")
    with subprocess.Popen(["node", os.path.join(HERE, "ws_server.mjs"), target],
                          stdout=subprocess.PIPE, text=True) as node:
        try:
            compare_uploads(server, node, target, total)
        finally:
            node.kill()
    server.stop()


def compare_uploads(server, node, target, total):
    port = int(node.stdout.readline())
    ours, theirs = [], []
    print(f"upload of {total / 1e9:.1f} GB, {PAIRS} times each:", flush=True)
    for _ in range(PAIRS):
        os.sync()
        ours.append(told("luma", upload_to_luma(server, total)))
        server.wait_idle(60)
        os.sync()
        theirs.append(told("node", upload_to_node(node, port, total)))
        os.remove(target)
    rate, cpu = tell("luma", total, ours)
    node_rate, node_cpu = tell("node", total, theirs)
    print(f"  luma / node: rate {rate / node_rate:.2f}, processor {cpu / node_cpu:.2f}")


# ---- idle and slow clients ----


def raise_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (20000, max(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))


def connect_idle(port, context=None):
    """A bare connection: a client object each would cost this process too much."""
    plain = socket.create_connection(("127.0.0.1", port))
    wire = context.wrap_socket(plain, server_hostname="localhost") if context else plain
    wire.sendall(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: luma.v1\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += wire.recv(4096)
    assert b" 101 " in answer, answer
    return wire


def bench_idle(folder):
    certificate, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    for name, settings, secure in (("plain", {}, None), ("TLS", {
            "LUMA_TLS_CERT": certificate, "LUMA_TLS_KEY": key}, context)):
        server = Started(os.path.join(folder, name), **settings)
        some = [connect_idle(server.port, secure) for _ in range(50)]
        before = server.memory()
        idle = [connect_idle(server.port, secure) for _ in range(IDLE - len(some))]
        time.sleep(1)
        each = (server.memory() - before) / len(idle)
        cpu = processor_seconds(server.pid)
        time.sleep(5)
        cpu = (processor_seconds(server.pid) - cpu) / 5
        print(f"idle, {name}: {each / 1024:.1f} KiB each of {IDLE}, "
              f"{100 * cpu:.1f} % of a processor")
        for one in some + idle:
            one.close()
        server.stop()


def large_clip(folder):
    """1 GB that a copy sends back."""
    piece, path = os.path.join(folder, "piece.mp4"), os.path.join(folder, "large.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi",
                    "-i", "testsrc2=s=1280x720:r=30:d=8,noise=alls=70:allf=t", "-c:v", "libx264",
                    "-preset", "ultrafast", "-b:v", "40M", "-pix_fmt", "yuv420p", piece],
                   check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-stream_loop",
                    str(int(1e9 / os.path.getsize(piece)) + 1), "-i", piece, "-c", "copy", path],
                   check=True)
    return path


def percentiles(times):
    times = sorted(times)
    return (f"p50 {1000 * times[len(times) // 2]:.1f} ms, "
            f"p99 {1000 * times[int(len(times) * 0.99)]:.1f} ms, worst {1000 * times[-1]:.1f} ms")


def pings(client, seconds):
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        times.append(client.ping())
        time.sleep(0.01)
    return times


def bench_slow(folder):
    server = Started(os.path.join(folder, "slow"))
    path = large_clip(folder)
    size = os.path.getsize(path)
    # these first: select() knows small descriptors only
    client, slow = Client(server.port, judged=False), Client(server.port)
    lazy = Client(server.port, receive_buffer=64 * 1024)
    print(f"ping alone: {percentiles(pings(client, 5))}")
    idle = [connect_idle(server.port) for _ in range(IDLE)]
    print(f"ping beside {IDLE} idle connections: {percentiles(pings(client, 5))}")

    job = lazy.start("remove_audio", [size])
    lazy.socket.setblocking(True)
    with open(path, "rb") as file:
        for offset in range(0, size, FRAME):
            send_piece(lazy, job.id, offset, file.read(FRAME), offset + FRAME >= size)
    dripping = slow.start("probe", [1000])
    with Peak(server.pid) as peak:
        times, dripped = [], 0
        for _ in range(20):
            slow.send_upload(dripping, b"x", dripped)
            dripped += 1
            times += pings(client, 1)
    print(f"ping beside these, a result of {size / 1e9:.1f} GB that nobody reads, and an upload of "
          f"a byte a second: {percentiles(times)}; memory grew by {peak.growth / 2**20:.1f} MiB")
    lazy.close()
    slow.close()
    for one in idle:
        one.close()
    client.close()
    server.stop()


def kill_all():
    for server in Started.all:
        server.kill()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = sys.argv[1:] or ["upload", "slow", "idle"]
    raise_descriptors()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in wanted:
                {"upload": bench_upload, "slow": bench_slow, "idle": bench_idle}[name](folder)
        finally:
            kill_all()


if __name__ == "__main__":
    main()
