"""Callers share the server by what their jobs cost, not by how many there are."""

import re
import time
import urllib.request

import pytest

from lumad import Server, wait_until
from wire import Client

ENDLESS = {"preset": "custom", "crf": 20, "encoder_preset": "veryslow"}


@pytest.fixture
def shared(binary, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_WORKERS=1,
                     LUMA_TOKENS="many:first-secret,few:second-secret")
    yield running
    running.stop()


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def waiting(server):
    """How many wait for a light slot, and how many for a heavy one."""
    address = f"http://127.0.0.1:{server.health_port}/metrics"
    with urllib.request.urlopen(address, timeout=30) as answer:
        text = answer.read().decode()
    return tuple(int(re.search(rf'luma_queue_length{{lane="{lane}"}} (\d+)', text)[1])
                 for lane in ("light", "heavy"))


def place(server, client, job, heavy):
    """Its place among so many heavy ones that wait, of which it is the last to have come."""
    wait_until(lambda: waiting(server) == (0, heavy), 60, f"{heavy} wait: {waiting(server)}")
    return client.request({"type": "attach", "job_id": job.id, "outputs": []})["position"]


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
        jobs = []
        for number in range(3):
            jobs.append(encode(many))
            assert place(shared, many, jobs[number], number + 1) == number

        start = time.monotonic()
        few.run("thumbnail", small, {"count": 1}).completed()
        print(f"\na thumbnail took {time.monotonic() - start:.2f} s")
        other = encode(few)
        assert place(shared, few, other, 4) == 0

        many.request({"type": "cancel_job", "job_id": first.id})
        wait_until(lambda: status(few, other) == "running", 60, "running")
        assert [status(many, job) for job in jobs] == ["queued"] * 3
        few.request({"type": "cancel_job", "job_id": other.id})
        wait_until(lambda: status(many, jobs[0]) == "running", 60, "running")
        for job in jobs:
            many.request({"type": "cancel_job", "job_id": job.id})
