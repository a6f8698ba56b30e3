"""What a service manager hears of the server, and the unit that describes it to one."""

import configparser
import os
import shutil
import signal
import socket
import subprocess

import pytest

from lumad import ROOT, Server


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_it_is_told_of_readiness_life_and_the_end(binary, tmp_path, abstract):
    name = f"@luma-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(10)
        server = Server(binary, tmp_path / "server", NOTIFY_SOCKET=name, WATCHDOG_USEC=200_000)
        assert manager.recv(100) == b"READY=1"
        for _ in range(3):
            assert manager.recv(100) == b"WATCHDOG=1"
        server.process.send_signal(signal.SIGTERM)
        while (state := manager.recv(100)) == b"WATCHDOG=1":
            continue
        assert state == b"STOPPING=1"
        server.stop()


def test_another_process_is_watched(binary, tmp_path):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        server = Server(binary, tmp_path / "server", NOTIFY_SOCKET=name, WATCHDOG_USEC=20_000,
                        WATCHDOG_PID=1)
        manager.settimeout(10)
        assert manager.recv(100) == b"READY=1"
        manager.settimeout(0.3)
        with pytest.raises(TimeoutError):
            manager.recv(100)
        server.stop()


def test_the_unit():
    path = os.path.join(ROOT, "packaging", "lumad.service")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(path)
    service = unit["Service"]
    assert service["Type"] == "notify" and service["KillMode"] == "mixed"
    assert service["OOMPolicy"] == "continue"
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(["systemd-analyze", "verify", path], capture_output=True,
                                 text=True, timeout=60)
        complaints = [line for line in checked.stderr.splitlines()
                      if "lumad.service" in line and "is not executable" not in line]
        assert not complaints, complaints
