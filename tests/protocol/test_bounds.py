"""A run's time and room: each bound ends the job that meets it, with a code of its own."""

import os
import signal

import pytest

from lumad import Server
from wire import Client

ENDLESS = {"preset": "custom", "crf": 20, "encoder_preset": "veryslow"}


@pytest.fixture(scope="module")
def tight(binary, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_JOB_TIMEOUT=3,
                     LUMA_MAX_OUTPUT=1_000_000)
    yield running
    running.stop()


@pytest.fixture
def client(tight):
    with Client(tight.port) as connected:
        yield connected


def encode(client, clips):
    job = client.start("compress", [len(clips("long.mp4"))], ENDLESS)
    client.upload(job, clips("long.mp4"))
    client.wait_for(job, "processing")
    return job


def assert_retryable_end(client, server, job, code):
    assert client.finish(job).failed(code)["retryable"] is True
    server.wait_gone(job.id)
    server.wait_idle()


def test_a_job_that_takes_too_long(client, tight, clips):
    job = encode(client, clips)
    assert_retryable_end(client, tight, job, "timeout")


def test_a_job_that_stands_still(own_server, clips, small):
    server = own_server(LUMA_STALL_TIMEOUT=2)
    with Client(server.port) as client:
        job = encode(client, clips)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        assert_retryable_end(client, server, job, "stalled")
        client.run("probe", small).completed()


def test_a_result_that_is_too_large(client, tight, clips, small):
    error = client.run("remove_audio", clips("big.mp4")).failed("limit_exceeded")
    assert error["details"]["limit"] == "output_bytes", error
    client.run("remove_audio", small).completed()


def test_too_much_processor_time(own_server, clips, small):
    server = own_server(LUMA_JOB_CPU=1)
    with Client(server.port) as client:
        error = client.finish(encode(client, clips)).failed("limit_exceeded")
        assert error["details"]["limit"] == "cpu_time", error
        client.run("probe", small).completed()
