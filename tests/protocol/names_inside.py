"""Names and addresses of url inputs, with a name server that lies. Run by test_url_names.py inside
a network namespace of its own, where nothing can leave and resolv.conf names the one started here.
"""

import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from lumad import Server, wait_until
from origin import Origin
from test_url_fetch import check_failed, fetch, message, start
from wire import Client

OWN = "93.184.216.34"  # a public address that this host has

# What each name leads to; None: no answer ever, []: there is no such name.
NAMES = {
    "good.test": ["127.0.0.1"],
    "private.test": ["10.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "own.test": [OWN],
    "mixed.test": ["10.0.0.1", "192.168.0.1", "127.0.0.1"],
    "slow.test": None,
    "no.test": [],
}


class NameServer:
    def __init__(self):
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, (kind,) = ".".join(labels), struct.unpack_from(">H", query, at + 1)
            self.asked.append(name)
            addresses = NAMES.get(name, [])
            if addresses is None:
                continue
            found = addresses if kind == 1 else []
            head = query[:2] + struct.pack(">HHHHH", 0x8180 if addresses else 0x8183, 1,
                                           len(found), 0, 0)
            records = b"".join(struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(one)
                               for one in found)
            self.socket.sendto(head + query[12 : at + 5] + records, sender)


@pytest.fixture(scope="session")
def names():
    with open("/etc/resolv.conf") as file:
        assert file.read().split() == ["nameserver", "127.0.0.1"], "not inside"
    subprocess.run(["ip", "address", "add", f"{OWN}/32", "dev", "lo"], check=True)
    return NameServer()


@pytest.fixture(scope="module")
def origin(names, small):
    running = Origin({"small.mp4": small})
    yield running
    running.close()


@pytest.fixture(scope="module")
def server(names, binary, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_FETCH_ALLOW="127.0.0.0/8")
    yield running
    running.stop()


def test_a_name(client, origin):
    fetch(client, f"http://good.test:{origin.port}/file/small.mp4").completed()


@pytest.mark.parametrize("name", ["private.test", "metadata.test", "own.test"])
def test_a_name_of_an_address_that_is_refused(server, client, name):
    check_failed(server, fetch(client, f"http://{name}/"), "url_forbidden", False)


def test_a_redirect_to_such_a_name(server, client, origin):
    job = fetch(client, origin.url("to/302/http://private.test/"))
    check_failed(server, job, "url_forbidden", False)


def test_one_address_of_three_is_good(client, origin):
    fetch(client, f"http://mixed.test:{origin.port}/file/small.mp4").completed()


def test_no_such_name(server, client):
    check_failed(server, fetch(client, "http://no.test/"), "download_failed", True)


def test_the_hosts_own_address(client):
    client.error(message(f"http://{OWN}/"), "url_forbidden")


def test_a_host_and_port_are_let_through_by_name(own_server, origin):
    server = own_server(LUMA_FETCH_ALLOW=f"good.test:{origin.port}")
    with Client(server.port) as client:
        fetch(client, f"http://good.test:{origin.port}/file/small.mp4").completed()
        client.error(message(f"http://127.0.0.1:{origin.port}/file/small.mp4"), "url_forbidden")
        check_failed(server, fetch(client, "http://good.test/"), "url_forbidden", False)


def test_a_name_server_that_is_silent_holds_nobody_up(server, client, names):
    """Cancelled at once, whatever the name server does; the loop goes on meanwhile."""
    job = start(client, "http://slow.test/")
    wait_until(lambda: "slow.test" in names.asked, 10, "asked")
    begin = time.monotonic()
    client.request({"type": "cancel_job", "job_id": job.id})
    client.finish(job).failed("cancelled")
    server.wait_gone(job.id)
    assert time.monotonic() - begin < 2
    assert client.ping() < 1


def test_names_that_are_looked_up_are_bounded(own_server, names):
    """Jobs that are started and cancelled leave no more threads than there are transfers."""
    server = own_server(LUMA_FETCH_ALLOW="127.0.0.0/8")
    before = server.threads()
    with Client(server.port) as client:
        for _ in range(100):
            job = start(client, "http://slow.test/")
            client.request({"type": "cancel_job", "job_id": job.id})
            client.finish(job).failed("cancelled")
        assert server.threads() - before <= 24  # and libuv's own
        assert client.ping() < 1


def test_no_answer_is_a_timeout(own_server, names):
    server = own_server(LUMA_FETCH_ALLOW="127.0.0.0/8", LUMA_DOWNLOAD_TIMEOUT="1s")
    with Client(server.port) as client:
        check_failed(server, fetch(client, "http://slow.test/"), "download_timeout", True)


def test_inside():
    assert os.environ["LUMA_TEST_INSIDE"] == "1"
