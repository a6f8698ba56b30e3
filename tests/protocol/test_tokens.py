"""Who is who, where tokens are configured."""

import time

import pytest

from lumad import Server
from wire import Client, Refused


@pytest.fixture(scope="module")
def guarded(binary, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"),
                     LUMA_TOKENS="ann:first-secret,ben:second-secret")
    yield running
    running.stop()


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def test_a_bearer_token(guarded, small):
    with Client(guarded.port, headers=bearer("first-secret")) as client:
        client.ping()
        client.run("probe", small).completed()
        assert client.request({"type": "hello"})["type"] == "welcome"


@pytest.mark.parametrize("token", ["wrong", "", "first-secret2", "first-secre", "ann:first-secret",
                                   "first-secret,second-secret"])
def test_a_wrong_bearer_token_gets_401(guarded, token):
    with pytest.raises(Refused) as refused:
        Client(guarded.port, headers=bearer(token))
    assert refused.value.status == 401


def test_another_scheme_gets_401(guarded):
    with pytest.raises(Refused) as refused:
        Client(guarded.port, headers=[("Authorization", "Basic Zmlyc3Qtc2VjcmV0")])
    assert refused.value.status == 401


def test_a_token_in_hello(guarded, small):
    with Client(guarded.port) as client:
        assert client.request({"type": "hello", "token": "second-secret"})["type"] == "welcome"
        client.run("probe", small).completed()


@pytest.mark.parametrize("hello", [{"type": "hello", "token": "wrong"}, {"type": "hello"},
                                   {"type": "hello", "token": ""}])
def test_a_wrong_hello_closes_4401(guarded, hello):
    with Client(guarded.port) as client:
        client.error(hello, "unauthorized")
        assert client.await_close() == 4401


@pytest.mark.parametrize("message", [{"type": "ping"}, {"type": "describe"},
                                     {"type": "start_job", "operation": "probe", "inputs": []}])
def test_another_first_message_closes_4401(guarded, message):
    with Client(guarded.port) as client:
        client.error(message, "unauthorized")
        assert client.await_close() == 4401


def test_silence_closes_4408(guarded):
    with Client(guarded.port) as client:
        start = time.monotonic()
        assert client.await_close(30) == 4408
        assert 9 < time.monotonic() - start < 15


def test_foreign_jobs_are_not_found(guarded, small):
    with Client(guarded.port, headers=bearer("first-secret")) as ann, \
            Client(guarded.port, headers=bearer("second-secret")) as ben:
        job = ann.start("probe", [len(small)])
        for request in ("cancel_job", "attach", "get_job", "delete_job"):
            ben.error({"type": request, "job_id": job.id}, "job_not_found")
        assert job.id not in str(ben.request({"type": "list_jobs"})["jobs"])
        assert job.id in str(ann.request({"type": "list_jobs"})["jobs"])
        ann.upload(job, small)
        ann.finish(job).completed()
        ben.error({"type": "fetch", "job_id": job.id, "output": 0}, "job_not_found")


def test_the_tokens_are_not_in_the_log(guarded):
    assert "secret" not in guarded.log()
