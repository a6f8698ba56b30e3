"""The health port."""

import http.client
import json
import socket

import pytest

from wire import Client


def get(server, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.health_port, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type") or "", answer.read()
    finally:
        connection.close()


def test_health(server, client, small):
    client.run("probe", small).completed()
    status, kind, body = get(server, "/health")
    assert status == 200 and kind.startswith("application/json")
    health = json.loads(body)
    assert health["status"] == "ok" and health["version"]
    assert health["uptime_s"] >= 0 and "workers" in health
    assert set(health["jobs"]) >= {"total", "active", "queued", "completed", "failed", "cancelled"}


def test_health_counts_jobs(own_server, small):
    server = own_server()
    with Client(server.port) as client:
        for _ in range(2):
            client.run("probe", small).completed()
        client.run("remove_audio", b"no media" * 50).failed("unsupported_media", "corrupt_media")
        job = client.start("probe", [100])
        assert server.health()["jobs"]["active"] == 1
        client.request({"type": "cancel_job", "job_id": job.id})
        client.finish(job).failed("cancelled")
    jobs = server.health()["jobs"]
    assert (jobs["completed"], jobs["failed"], jobs["cancelled"]) == (2, 1, 1)
    assert jobs["active"] == 0 and jobs["queued"] == 0 and jobs["total"] == 4


@pytest.mark.parametrize("path", ["/", "/nope", "/healthy", "/health/x"])
def test_other_paths_are_not_there(server, path):
    assert get(server, path)[0] == 404


def test_other_methods_are_refused(server):
    for method in ("POST", "PUT", "DELETE", "BREW"):
        assert 400 <= get(server, "/health", method)[0] < 600


def test_garbage_hurts_nobody(server):
    for start in (b"\0" * 100, b"GET", b"GET /health", b"\r\n\r\n", b"GET " + b"x" * 100_000,
                  b"GET /health HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.health_port)) as raw:
            try:
                raw.sendall(start)
                raw.settimeout(0.2)
                raw.recv(100)
            except OSError:
                pass
    assert get(server, "/health")[0] == 200
