"""A disk that fills up. The server's folder lies on a small tmpfs in a mount namespace of its own,
which needs root; elsewhere these tests are skipped."""

import os
import subprocess

import pytest

from http_client import ask
from lumad import Server, wait_until
from origin import Origin
from wire import Client

MIB = 1024 * 1024
SIZE, RESERVE = 24, 1  # MiB
WRAPPER = ["unshare", "--mount", "sh", "-c",
           f'mount -t tmpfs -o size={SIZE}m tmpfs "$LUMA_DIR" && exec "$@"', "sh"]


@pytest.fixture(scope="module")
def origin():
    running = Origin({"much": bytes((SIZE + 4) * MIB)})
    yield running
    running.close()


@pytest.fixture(scope="module")
def crowded(binary, tmp_path_factory, origin):
    probe = subprocess.run([*WRAPPER, "true"], capture_output=True,
                           env={**os.environ, "LUMA_DIR": str(tmp_path_factory.mktemp("probe"))})
    if probe.returncode:
        pytest.skip("no right to mount a tmpfs: the tests of a full disk need root")
    running = Server(binary, tmp_path_factory.mktemp("server"), wrapper=WRAPPER,
                     LUMA_DISK_RESERVE=RESERVE * MIB, LUMA_FETCH_ALLOW="127.0.0.0/8")
    yield running
    running.stop()


@pytest.fixture
def client(crowded):
    with Client(crowded.port) as connected:
        yield connected


def used(server):
    info = os.statvfs(f"/proc/{server.pid}/root{server.data}")
    return (info.f_blocks - info.f_bavail) * info.f_frsize


def start(size):
    return {"type": "start_job", "operation": "remove_audio",
            "inputs": [{"kind": "upload", "size": size}]}


def assert_full(client, server, job, small):
    """It failed for want of room, gave it back, and nothing else was hurt."""
    error = client.finish(job).failed("disk_full")
    assert error["retryable"] is True and error["final"] is True
    wait_until(lambda: used(server) < SIZE * MIB / 4, 10, "rid of what filled the disk")
    client.run("remove_audio", small).completed()


def test_what_has_no_room_is_refused(client, crowded, small):
    error = client.error(start(SIZE * MIB), "disk_full")
    assert error["retryable"] is True
    # what others have announced is spoken for
    first = client.request(start((SIZE - 4) * MIB))
    assert first["type"] == "ack"
    client.error(start(4 * MIB), "disk_full")
    client.request({"type": "cancel_job", "job_id": first["job_id"]})
    client.run("remove_audio", small).completed()


def test_a_full_disk_is_not_ready(crowded):
    filler = f"/proc/{crowded.pid}/root{crowded.data}/filler"
    wait_until(lambda: ask(crowded.health_port, "/ready").status == 200, 20, "ready")
    with open(filler, "wb") as file:
        # half of the reserve is left, whatever the server itself takes
        os.posix_fallocate(file.fileno(), 0, SIZE * MIB - used(crowded) - RESERVE * MIB // 2)
    answer = ask(crowded.health_port, "/ready")
    os.unlink(filler)
    assert answer.status == 503 and answer.body == b"out of disk\n"
    assert ask(crowded.health_port, "/ready").status == 200


def test_an_upload_that_fills_the_disk(client, crowded, small):
    bystander = client.start("remove_audio", [len(small)])
    job = client.start("probe", [None])
    client.upload(job, bytes((SIZE + 4) * MIB), frame=MIB)
    assert_full(client, crowded, job, small)
    client.upload(bystander, small)
    client.finish(bystander).completed()


def test_a_result_that_fills_the_disk(client, crowded, clips, small):
    data = clips("big.mp4")
    assert len(data) < (SIZE - RESERVE) * MIB < 2 * len(data) + MIB
    filler = client.start("probe", [None])  # so that the result has no room for sure
    client.send_upload(filler, bytes((SIZE - 2) * MIB - len(data)))
    job = client.start("remove_audio", [None])
    client.upload(job, data)
    error = client.finish(job).failed("disk_full")
    assert error["retryable"] is True
    client.request({"type": "cancel_job", "job_id": filler.id})
    client.finish(filler).failed("cancelled")
    wait_until(lambda: used(crowded) < SIZE * MIB / 4, 10, "rid of what filled the disk")
    client.run("remove_audio", small).completed()


def test_a_download_that_fills_the_disk(client, crowded, origin, small):
    answer = client.request({"type": "start_job", "operation": "probe",
                             "input": {"kind": "url", "url": origin.url("unsized/much")}})
    assert_full(client, crowded, client.jobs[answer["job_id"]], small)


def test_a_full_disk_leaves_the_server_whole(client, crowded, small):
    """Filled to the last byte by somebody else: new jobs are refused, the rest goes on."""
    job = client.run("remove_audio", small)
    job.completed()
    path = f"/proc/{crowded.pid}/root{crowded.data}/ballast"
    with open(path, "wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(MIB // 4))
    client.error(start(len(small)), "disk_full")
    assert client.ping() < 5
    assert client.request({"type": "get_job", "job_id": job.id})["job"]["status"] == "completed"
    os.remove(path)
    client.run("remove_audio", small).completed()
