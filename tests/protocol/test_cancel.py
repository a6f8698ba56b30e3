"""Cancelling: while bytes come in, in the queue, in mid-encode, too late. Times are printed
(pytest -s shows them), not asserted: they belong to a machine of one's own."""

import os
import time

import pytest

from wire import Client

# Minutes of work for one processor: nobody waits for its end.
HEAVY = {"preset": "custom", "crf": 20, "encoder_preset": "veryslow"}


@pytest.fixture
def heavy(clips):
    """heavy(client) starts an encode and waits until it is at work."""
    data = clips("long.mp4")

    def start(client, work=True):
        job = client.start("compress", [len(data)], HEAVY)
        client.upload(job, data)
        if work:
            client.wait_for(job, "processing")
        return job

    return start


def cancel(client, job):
    start = time.monotonic()
    answer = client.request({"type": "cancel_job", "job_id": job.id})
    assert answer["type"] == "ack" and answer["status"] == "cancelled", answer
    assert answer["job_id"] == job.id
    error = client.finish(job).failed("cancelled")
    assert error["final"] is True
    return time.monotonic() - start


def processor_time(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total


def test_cancel_while_uploading(client, server, small):
    job = client.start("remove_audio", [len(small)])
    client.send_upload(job, small[:1000])
    print(f"\ncancelled while uploading in {1000 * cancel(client, job):.1f} ms")
    server.wait_gone(job.id)
    client.assert_silent()


def test_cancel_before_the_first_byte(client, server, small):
    job = client.start("remove_audio", [len(small)])
    cancel(client, job)
    server.wait_gone(job.id)


def test_cancel_in_mid_encode(client, server, heavy):
    job = heavy(client)
    workers = server.workers()
    assert workers, "an encode has a worker"
    last_word = cancel(client, job)
    start = time.monotonic()
    server.wait_idle()
    idle = time.monotonic() - start
    print(f"\ncancelled in mid-encode: last word {1000 * last_word:.1f} ms, "
          f"worker gone {1000 * idle:.1f} ms later")
    server.wait_gone(job.id)
    client.assert_silent()
    client.ping()


def test_cancel_in_the_queue(own_server, heavy, small):
    server = own_server(LUMA_WORKERS=1, LUMA_LIGHT_WORKERS=1)
    with Client(server.port) as client:
        running = heavy(client)
        waiting = [heavy(client, work=False) for _ in range(2)]
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            client.pump(0.1)
        print(f"\ncancelled in the queue in {1000 * cancel(client, waiting[0]):.1f} ms")
        server.wait_gone(waiting[0].id)
        assert running.last is None and waiting[1].last is None
        cancel(client, running)
        client.wait_for(waiting[1], "processing")
        cancel(client, waiting[1])
        server.wait_idle()


def test_waiting_is_not_running(own_server, heavy):
    """The time that a job may run begins anew when it has waited for a heavy slot."""
    server = own_server(LUMA_WORKERS=1, LUMA_LIGHT_WORKERS=1, LUMA_JOB_TIMEOUT=3)
    with Client(server.port) as client:
        first, second = heavy(client), heavy(client, work=False)
        client.finish(first).failed("timeout")
        client.wait_for(second, "processing")
        began = time.monotonic()
        client.finish(second).failed("timeout")
        assert time.monotonic() - began > 2, "the wait was counted"


def test_a_light_job_passes_the_heavy_ones(own_server, heavy, small):
    server = own_server(LUMA_WORKERS=1, LUMA_LIGHT_WORKERS=1)
    with Client(server.port) as client:
        jobs = [heavy(client), heavy(client, work=False), heavy(client, work=False)]
        client.run("probe", small).completed()
        client.run("remove_audio", small).completed()
        assert all(job.last is None for job in jobs)
        for job in reversed(jobs):
            cancel(client, job)


def test_cancelling_a_finished_job(client, small):
    job = client.run("remove_audio", small)
    job.completed()
    client.error({"type": "cancel_job", "job_id": job.id}, "job_finished")
    failed = client.run("remove_audio", b"nothing" * 100)
    failed.failed("unsupported_media", "corrupt_media")
    client.error({"type": "cancel_job", "job_id": failed.id}, "job_finished")


def test_cancelling_twice(client, heavy):
    job = heavy(client)
    cancel(client, job)
    client.error({"type": "cancel_job", "job_id": job.id}, "job_finished")


def test_cancel_disturbs_no_other(client, heavy, small):
    job = heavy(client)
    other = client.start("remove_audio", [len(small)])
    client.send_upload(other, small[:5000])
    cancel(client, job)
    client.send_upload(other, small[5000:], 5000, last=True)
    client.finish(other).completed()


def test_cancel_at_any_moment(client, server, small):
    """Whenever it comes, a job has one last word, and it is cancelled or completed."""
    cancelled = 0
    for step in range(25):
        job = client.start("thumbnail", [len(small)], {"count": 5})
        client.upload(job, small)
        deadline = time.monotonic() + step * 0.004
        while time.monotonic() < deadline and not job.last:
            client.pump(max(0, deadline - time.monotonic()))
        answer = client.request({"type": "cancel_job", "job_id": job.id})
        client.finish(job)
        if answer["type"] == "ack":
            job.failed("cancelled")
            cancelled += 1
            server.wait_gone(job.id)
        else:
            assert answer["code"] == "job_finished"
            job.completed()
    print(f"\n{cancelled} of 25 were cancelled")
    client.assert_silent()
    server.wait_idle()


def test_a_lost_connection_ends_its_job_after_the_grace(own_server, heavy):
    server = own_server(LUMA_RECONNECT_GRACE=1)
    client = Client(server.port)
    job = heavy(client)
    assert server.workers()
    client.close()
    server.wait_idle(15)
    server.wait_gone(job.id)
    with Client(server.port) as other:
        other.ping()


def test_cancelled_encodes_leave_no_processor_time(client, server, heavy):
    for _ in range(3):
        job = heavy(client)
        workers = server.workers()
        cancel(client, job)
        time.sleep(0.5)
        before = processor_time(workers | {server.pid})
        time.sleep(0.5)
        spent = (processor_time(workers | {server.pid}) - before) / os.sysconf("SC_CLK_TCK")
        assert spent < 0.25, f"{spent} s of processor time in half a second after cancel"
