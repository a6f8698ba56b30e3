"""Workers and the template die; nobody else notices."""

import os
import signal
import time

import pytest

from lumad import wait_until
from wire import Client

HEAVY = {"preset": "custom", "crf": 20, "encoder_preset": "veryslow"}
SIGNALS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS]


@pytest.fixture
def busy(server, clips):
    """busy(client) is an encode at work, and the process that does it."""
    data = clips("long.mp4")

    def start(client):
        server.wait_idle()
        job = client.start("compress", [len(data)], HEAVY)
        client.upload(job, data)
        client.wait_for(job, "processing")
        (worker,) = server.workers()
        return job, worker

    return start


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_killed_worker_costs_its_job_alone(server, connect, busy, clips, small, number):
    victim, other = connect(), connect()
    job, worker = busy(victim)
    bystander = other.start("compress", [len(clips("long.mp4"))],
                            {"preset": "custom", "crf": 45, "encoder_preset": "ultrafast"})
    other.upload(bystander, clips("long.mp4"))
    same_connection = victim.start("remove_audio", [len(small)])

    os.kill(worker, number)
    error = victim.finish(job).failed("worker_crashed")
    assert number.name in str(error.get("details")) + error["message"], error
    assert error["final"] is True

    victim.upload(same_connection, small)
    victim.finish(same_connection).completed()
    other.finish(bystander).completed()
    server.wait_idle()
    server.wait_gone(job.id)
    victim.error({"type": "cancel_job", "job_id": job.id}, "job_finished")
    victim.assert_silent()


def test_workers_killed_as_soon_as_they_appear(server, client, small):
    """Whatever a worker was doing when it died, its job has one last word."""
    crashed = 0
    for step in range(20):
        job = client.start("thumbnail", [len(small)], {"count": 5})
        client.upload(job, small)
        deadline = time.monotonic() + 5
        while not (workers := server.workers()) and time.monotonic() < deadline and not job.last:
            client.pump(0)
        time.sleep(step * 0.002)
        for worker in workers:
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                pass
        client.finish(job)
        if job.last["type"] == "error":
            job.failed("worker_crashed")
            server.wait_gone(job.id)
            crashed += 1
        else:
            job.completed()
    print(f"\n{crashed} of 20 were hit")
    server.wait_idle()
    client.run("probe", small).completed()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda number: number.name)
def test_a_killed_template_is_replaced(own_server, small, number):
    server = own_server()
    with Client(server.port) as client:
        client.run("probe", small).completed()
        for _ in range(3):
            template = server.template()
            os.kill(template, number)
            client.run("remove_audio", small).completed()
            assert server.template() != template


def test_running_and_waiting_jobs_survive_their_template(own_server, clips, small):
    server = own_server(LUMA_WORKERS=1)
    with Client(server.port) as client:
        data = clips("long.mp4")
        quick = {"preset": "custom", "crf": 45, "encoder_preset": "ultrafast"}
        jobs = [client.start("compress", [len(data)], quick) for _ in range(2)]
        for job in jobs:
            client.upload(job, data)
            client.wait_for(job, "processing")
        client.wait_for(jobs[1], "queued")
        wait_until(lambda: len(server.workers()) == 1, 20, "at work on one, the other waiting")
        (template,) = set(server.children()) - server.workers()
        os.kill(template, signal.SIGKILL)
        client.run("probe", small).completed()
        for job in jobs:
            assert client.finish(job).completed()["attempt"] == 1
        assert server.template() != template


def test_a_template_killed_while_it_is_asked(own_server, small):
    server = own_server()
    with Client(server.port) as client:
        for _ in range(10):
            template = server.template()
            job = client.start("probe", [len(small)])
            client.upload(job, small)
            os.kill(template, signal.SIGKILL)
            client.finish(job).completed()
            assert server.template() != template


def test_no_zombies(server, client, small):
    for _ in range(10):
        client.run("probe", small).completed()
    server.wait_idle(5)


def test_the_servers_end_takes_its_workers_along(own_server, clips):
    server = own_server(LUMA_DRAIN_TIMEOUT=1)
    with Client(server.port) as client:
        data = clips("long.mp4")
        job = client.start("compress", [len(data)], HEAVY)
        client.upload(job, data)
        client.wait_for(job, "processing")
        server.process.send_signal(signal.SIGTERM)
        assert client.await_close(30) in (1001, None)
        server.process.wait(30)
