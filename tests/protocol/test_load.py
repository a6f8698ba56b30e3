"""Slow readers, many connections, and what the server needs for them."""

import threading
import time

import pytest

from lumad import wait_until
from wire import Client

MIB = 1024 * 1024


def test_a_reader_that_does_not_read(server, small, clips, sanitized):
    """A job whose client reads nothing: others go on, and the result waits on disk."""
    data = clips("big.mp4")
    with Client(server.port, receive_buffer=64 * 1024) as lazy, Client(server.port) as other:
        other.run("probe", small).completed()
        before = server.memory()
        job = lazy.start("remove_audio", [len(data)])
        lazy.upload(job, data)
        slowest, deadline = 0, time.monotonic() + 3
        while time.monotonic() < deadline:
            slowest = max(slowest, other.ping())
            other.run("remove_audio", small).completed()
        print(f"\nslowest ping beside a client that does not read: {1000 * slowest:.1f} ms; "
              f"memory grew by {(server.memory() - before) / MIB:.1f} MiB")
        if not sanitized:
            assert server.memory() - before < 8 * MIB
        lazy.finish(job).completed()


def test_a_reader_that_sips(server, clips, small):
    data = clips("big.mp4")
    with Client(server.port, receive_buffer=16 * 1024) as slow, Client(server.port) as other:
        job = slow.start("remove_audio", [len(data)])
        slow.upload(job, data)
        for _ in range(60):
            slow.pump(1)
            time.sleep(0.02)
        other.run("remove_audio", small).completed()
        slow.finish(job).completed()


def test_a_reader_that_leaves_in_the_middle(own_server, clips, small):
    data = clips("big.mp4")
    server = own_server(LUMA_RECONNECT_GRACE=1)
    for _ in range(3):
        with Client(server.port, receive_buffer=16 * 1024) as leaving:
            job = leaving.start("remove_audio", [len(data)])
            leaving.upload(job, data)
            while not job.outputs:
                assert leaving.pump()
    with Client(server.port) as other:
        other.run("remove_audio", small).completed()
    server.wait_idle()


def test_many_connections_with_jobs_in_turn(own_server, small):
    """soak.py does this with 200 connections of 20 jobs each."""
    server, failures = own_server(), []

    def work(number):
        try:
            with Client(server.port) as client:
                for turn in range(3):
                    operation = ("probe", "remove_audio", "thumbnail")[(number + turn) % 3]
                    options = {"count": 1} if operation == "thumbnail" else {}
                    client.run(operation, small, options).completed()
        except Exception as error:  # shown by the main thread
            failures.append(f"{number}: {error!r}")

    threads = [threading.Thread(target=work, args=[number]) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    server.wait_idle()


def test_nothing_grows_with_the_jobs(own_server, small, sanitized):
    server = own_server()
    with Client(server.port) as client:

        def some(count):
            for _ in range(count):
                client.run("remove_audio", small).completed()
            server.wait_idle()
            return server.memory(), server.descriptors(), server.threads()

        some(30)
        memory, descriptors, threads = some(20)
        later, _, threads_later = some(60)
        print(f"\nafter 50 jobs {memory / MIB:.1f} MiB, after 110 {later / MIB:.1f} MiB")
        assert threads_later <= threads
        # the last file may still be on its way to be closed
        wait_until(lambda: server.descriptors() <= descriptors, 5, "down to as many descriptors")
        if not sanitized:
            assert later - memory < 2 * MIB


def test_nothing_grows_with_the_connections(own_server, sanitized):
    server = own_server()

    def some(count):
        opened = [Client(server.port) for _ in range(count)]
        for client in opened:
            client.ping()
        for client in opened:
            client.close()
        deadline = time.monotonic() + 10
        while server.descriptors() > base and time.monotonic() < deadline:
            time.sleep(0.05)
        return server.memory()

    with Client(server.port) as client:
        client.ping()
    time.sleep(0.2)
    base = server.descriptors()
    for _ in range(3):
        memory = some(100)
    for _ in range(10):
        later = some(100)
    assert server.descriptors() <= base
    print(f"\nafter 300 connections {memory / MIB:.1f} MiB, after 1300 {later / MIB:.1f} MiB")
    if not sanitized:
        assert later - memory < 2 * MIB


@pytest.mark.parametrize("count", [300])
def test_idle_connections_are_cheap(own_server, small, sanitized, count):
    server = own_server()
    with Client(server.port) as client:
        client.run("probe", small).completed()
        before = server.memory()
        idle = [Client(server.port) for _ in range(count)]
        each = (server.memory() - before) / count
        print(f"\n{each / 1024:.1f} KiB for an idle connection")
        client.run("probe", small).completed()
        for one in idle:
            one.close()
        if not sanitized:
            assert each < 32 * 1024
