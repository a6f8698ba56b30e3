"""Runs the tests of names_inside.py in a network namespace with nothing but loopback, and with a
resolv.conf and a hosts file of their own. Needs the right to make one; skipped without."""

import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
# $1, $2: what stands in for resolv.conf and hosts; the rest is the command.
ENTER = ('ip link set lo up && mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/hosts '
         '&& shift 2 && exec "$@"')


def enter(tmp_path, *command):
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    return ["unshare", "-n", "-m", "sh", "-c", ENTER, "sh", str(tmp_path / "resolv.conf"),
            str(tmp_path / "hosts"), *command]


def test_names_in_a_network_of_their_own(binary, tmp_path):
    try:
        subprocess.run(enter(tmp_path, "true"), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace can be made here")
    result = subprocess.run(
        enter(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
              os.path.join(HERE, "names_inside.py")),
        env={**os.environ, "LUMAD_BIN": binary, "LUMA_TEST_INSIDE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-6000:]
