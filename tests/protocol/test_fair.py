"""Callers share the server by what their jobs cost, not by how many there are."""

import time

import pytest

from lumad import Server, wait_until
from wire import Client

ENDLESS = {"preset": "custom", "crf": 20, "encoder_preset": "veryslow"}
SECONDS_OF_A_LIGHT_JOB = 2  # what waits for a light slot waits shorter


@pytest.fixture
def shared(binary, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_WORKERS=1,
                     LUMA_TOKENS="many:first-secret,few:second-secret")
    yield running
    running.stop()


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def await_place(client, job, seconds=30):
    """Waits until the job is told a place among the heavy ones that wait; that message."""
    deadline = time.monotonic() + seconds
    while True:
        for message in reversed(job.texts("progress")):
            if message["stage"] == "queued" and message["eta"] is not None \
                    and message["eta"] > SECONDS_OF_A_LIGHT_JOB:
                return message
        assert job.last is None, job.last
        assert client.pump(deadline - time.monotonic()), "it never waited"


def status(client, job):
    return client.request({"type": "get_job", "job_id": job.id})["job"]["status"]


def test_a_queue_of_one_caller_does_not_hold_up_another(shared, small, clips):
    """fair.py does this with fifty encodes that end; here nobody waits for an end."""
    film = clips("long.mp4")

    def encode(client):
        job = client.start("compress", [len(film)], ENDLESS)
        client.upload(job, film)
        return job

    with Client(shared.port, headers=bearer("first-secret")) as many, \
            Client(shared.port, headers=bearer("second-secret")) as few:
        first = encode(many)
        many.wait_for(first, "processing")
        jobs = [encode(many) for _ in range(3)]
        assert [await_place(many, job)["position"] for job in jobs] == [0, 1, 2]

        start = time.monotonic()
        few.run("thumbnail", small, {"count": 1}).completed()
        print(f"\na thumbnail took {time.monotonic() - start:.2f} s")
        other = encode(few)
        assert await_place(few, other)["position"] == 0

        many.request({"type": "cancel_job", "job_id": first.id})
        wait_until(lambda: status(few, other) == "running", 20, "running")
        assert [status(many, job) for job in jobs] == ["queued"] * 3
        few.request({"type": "cancel_job", "job_id": other.id})
        wait_until(lambda: status(many, jobs[0]) == "running", 20, "running")
        for job in jobs:
            many.request({"type": "cancel_job", "job_id": job.id})
