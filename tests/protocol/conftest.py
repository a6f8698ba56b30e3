"""Fixtures of the protocol tests: the server's binary, servers, clients, and media.

LUMAD_BIN names the binary (else build/asan/bin/lumad, else build/bin/lumad); LUMA_TEST_MEDIA the
folder of real files (else ../shared/media beside the project). What isn't there is skipped, or
replaced by a generated clip.
"""

import os
import subprocess

import pytest

import contract
from lumad import ROOT, Server, default_binary
from wire import Client

REAL = os.environ.get("LUMA_TEST_MEDIA", os.path.join(os.path.dirname(ROOT), "shared", "media"))

# name: ffmpeg's arguments
CLIPS = {
    # 3 s, a few kilobytes
    "small.mp4": "-f lavfi -i testsrc2=s=160x120:r=10:d=3 -f lavfi -i sine=440:d=3 "
                 "-c:v libx264 -preset veryfast -c:a aac -b:a 32k -pix_fmt yuv420p "
                 "-movflags +faststart",
    # long enough to be caught at work
    "long.mp4": "-f lavfi -i testsrc2=s=640x360:r=30:d=60 -f lavfi -i sine=330:d=60 "
                "-c:v libx264 -preset ultrafast -crf 30 -c:a aac -pix_fmt yuv420p",
    # 12 MB or more that a copy sends back almost whole
    "big.mp4": "-f lavfi -i testsrc2=s=640x360:r=30:d=16,noise=alls=60:allf=t "
               "-f lavfi -i sine=330:d=16 -c:v libx264 -preset ultrafast -b:v 9M -minrate 9M "
               "-maxrate 9M -bufsize 2M -c:a aac -pix_fmt yuv420p",
    "sound.flac": "-f lavfi -i sine=440:d=2 -c:a flac",
}


def pytest_runtest_logreport(report):
    if report.skipped:
        contract.skipped.append(report.nodeid)


def pytest_sessionfinish(session):
    """After a run of all of them: every error code of the protocol has been seen on the wire."""
    missing = contract.unseen(session)
    if missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nerror codes that no protocol test has provoked: {', '.join(missing)}")


@pytest.fixture(scope="session")
def binary():
    path = default_binary()
    if not path:
        pytest.skip("lumad is not built: make build, or set LUMAD_BIN")
    return path


@pytest.fixture(scope="session")
def sanitized(binary):
    with open(binary, "rb") as file:
        data = file.read()
    return b"__asan_init" in data or b"__tsan_init" in data


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Generated clips by name, made when first asked for: clips("small.mp4") is its bytes."""
    folder, known = tmp_path_factory.mktemp("clips"), {}

    def get(name):
        if name not in known:
            path = str(folder / name)
            subprocess.run(["ffmpeg", "-v", "error", "-y", *CLIPS[name].split(), path], check=True)
            with open(path, "rb") as file:
                known[name] = file.read()
        return known[name]

    get.folder = folder
    return get


@pytest.fixture(scope="session")
def small(clips):
    return clips("small.mp4")


@pytest.fixture(scope="session")
def real():
    """Bytes of a real file by name; skips the test where the folder isn't there."""

    def get(name):
        path = os.path.join(REAL, name)
        if not os.path.isfile(path):
            pytest.skip(f"no real media: {name} is not in LUMA_TEST_MEDIA or ../shared/media")
        with open(path, "rb") as file:
            return file.read()

    return get


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """The server that a file's tests share; its end is checked."""
    running = Server(binary, tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture
def own_server(binary, tmp_path_factory):
    """own_server(LUMA_X=…) starts one with those settings, for a test alone."""
    running = []

    def start(**settings):
        running.append(Server(binary, tmp_path_factory.mktemp("server"), **settings))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def client(server):
    with Client(server.port) as connected:
        yield connected


@pytest.fixture
def connect(server):
    """More connections to the shared server: connect(…) takes what Client takes."""
    opened = []

    def make(**more):
        opened.append(Client(server.port, **more))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
