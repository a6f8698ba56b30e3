"""What one caller, and one address, may take: messages, new jobs, jobs at a time, bytes; and what
all of them together may."""

import http.client
import socket
import time

import pytest

from lumad import Server, wait_until
from wire import WAIT, Client, Closed, Refused

MESSAGES, STARTS, JOBS, ALL_JOBS, BYTES = 30, 10, 6, 9, 1_000_000


@pytest.fixture(scope="module")
def limited(binary, tmp_path_factory):
    """Without tokens a caller is an address, and the proxy (the test) says which."""
    running = Server(binary, tmp_path_factory.mktemp("server"),
                     LUMA_TRUSTED_PROXIES="127.0.0.1",
                     LUMA_CALLER_MESSAGES_PER_SECOND=MESSAGES, LUMA_CALLER_JOBS_PER_SECOND=STARTS,
                     LUMA_JOBS_PER_CALLER=JOBS, LUMA_QUEUE_MAX=ALL_JOBS,
                     LUMA_BYTES_PER_CALLER=BYTES)
    yield running
    running.stop()


@pytest.fixture
def come(limited):
    """come("10.0.0.7") is a connection from there."""
    opened = []

    def make(address):
        opened.append(Client(limited.port, headers=[("X-Forwarded-For", address)]))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
    wait_until(lambda: limited.health()["jobs"]["active"] == 0, 10, "without jobs")


def start(size=1000, **more):
    return {"type": "start_job", "operation": "probe",
            "inputs": [{"kind": "upload", **({} if size is None else {"size": size})}], **more}


def cancel(client, *jobs):
    for job in jobs:
        client.request({"type": "cancel_job", "job_id": job["job_id"]})


def answers(client, messages):
    """Sends all of the messages, then takes all answers, in the order of the messages."""
    names = [f"m{number}" for number in range(len(messages))]
    for name, message in zip(names, messages):
        client.answers[name] = None
        client.send_json({"request_id": name, **message})
    deadline = time.monotonic() + WAIT
    while any(client.answers[name] is None for name in names):
        assert client.pump(deadline - time.monotonic()), "answers are missing"
    return [client.answers.pop(name) for name in names]


def test_messages_of_an_address_on_many_connections(come):
    first, second, other = come("10.0.0.1"), come("10.0.0.1"), come("10.0.0.2")
    pings = [{"type": "ping"}] * MESSAGES
    seen = answers(first, pings) + answers(second, pings) + answers(first, pings)
    refused = [answer for answer in seen if answer["type"] == "error"]
    assert 0 < len(refused) <= MESSAGES and seen[0]["type"] == "pong"
    for answer in refused:
        assert answer["code"] == "rate_limited" and answer["retryable"] is True
    assert 0 < refused[0]["details"]["retry_after_s"] <= 1 / MESSAGES
    assert other.request({"type": "ping"})["type"] == "pong"
    time.sleep(0.5)
    assert second.request({"type": "ping"})["type"] == "pong"


def test_new_jobs_of_an_address(come):
    client, other = come("10.0.1.1"), come("10.0.1.2")
    refused = None
    for _ in range(2 * STARTS + 5):  # no more than the messages' bucket holds
        answer = client.request(start())
        if answer["type"] == "error":
            refused = answer
            break
        client.send_json({"type": "cancel_job", "job_id": answer["job_id"]})
    assert refused["code"] == "rate_limited" and refused["retryable"] is True
    cancel(other, other.request(start()))
    time.sleep(refused["details"]["retry_after_s"] + 0.05)
    cancel(client, client.request(start()))


def test_a_key_that_is_known_is_not_a_new_job(come):
    client = come("10.0.2.1")
    request = start(job_key="once")
    seen = answers(client, [request] * (2 * STARTS + 5))
    assert {answer["job_id"] for answer in seen if answer["type"] == "ack"} == {seen[0]["job_id"]}
    assert all(answer["type"] == "ack" for answer in seen)
    cancel(client, seen[0])


def test_jobs_at_a_time(come):
    many, few = come("10.0.3.1"), come("10.0.3.2")
    jobs = [many.request(start()) for _ in range(JOBS)]
    assert all(job["type"] == "ack" for job in jobs)
    assert many.error(start(), "quota_exceeded")["retryable"] is True
    others = [few.request(start()) for _ in range(ALL_JOBS - JOBS)]
    assert all(job["type"] == "ack" for job in others)
    assert few.error(start(), "queue_full")["retryable"] is True
    cancel(many, jobs[0])
    others.append(few.request(start()))
    assert others[-1]["type"] == "ack"
    cancel(many, *jobs[1:])
    cancel(few, *others)


def test_bytes_of_a_caller(limited, come, small):
    client, other = come("10.0.4.1"), come("10.0.4.2")
    large = client.request(start(BYTES * 6 // 10))
    error = client.error(start(BYTES * 5 // 10), "quota_exceeded")
    assert error["details"]["limit"] == BYTES and error["retryable"] is True
    cancel(other, other.request(start(BYTES)))

    # what isn't announced counts as it comes
    job = client.start("probe", [None])
    client.upload(job, bytes(BYTES * 3 // 10), frame=100_000)
    client.finish(job).failed("unsupported_media", "corrupt_media")  # within the quota
    job = client.start("probe", [None])
    client.upload(job, bytes(BYTES * 5 // 10), frame=100_000)
    client.finish(job).failed("quota_exceeded")

    cancel(client, large)
    limited.wait_idle()  # until their workers are gone the inputs are kept
    cancel(client, client.request(start(BYTES)))
    client.run("probe", small).completed()


def test_connections(own_server):
    server = own_server(LUMA_CONNECTIONS_PER_ADDRESS=3, LUMA_MAX_CONNECTIONS=5,
                        LUMA_TRUSTED_PROXIES="127.0.0.1")

    def come(address):
        return Client(server.port, headers=[("X-Forwarded-For", address)])

    opened = [come("10.0.0.1") for _ in range(3)]
    with come("10.0.0.1") as fourth:
        assert fourth.await_close() == 4429
    opened += [come("10.0.0.2") for _ in range(2)]
    with pytest.raises(Refused) as refused:
        come("10.0.0.3")
    assert refused.value.status == 503
    for client in opened:
        client.ping()
        client.close()
    wait_until(lambda: can_come(come), 10, "ready to take others again")


def test_http_connections_of_an_address(own_server):
    server = own_server(LUMA_CONNECTIONS_PER_ADDRESS=3)

    def ask():
        used = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        used.request("GET", "/nope")
        answer = used.getresponse()
        answer.read()
        return used, answer.status

    opened = [ask() for _ in range(3)]
    assert [status for _, status in opened] == [404, 404, 404]
    assert ask()[1] == 429
    opened[0][0].close()
    wait_until(lambda: ask()[1] == 404, 10, "ready to answer others again")


def test_requests_of_an_address(own_server):
    server = own_server(LUMA_CALLER_MESSAGES_PER_SECOND=2, LUMA_TRUSTED_PROXIES="127.0.0.1")

    def status(address):
        used = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        used.request("GET", "/nope", headers={"X-Forwarded-For": address})
        answer = used.getresponse().status
        used.close()
        return answer

    seen = [status("10.0.0.1") for _ in range(4)]
    while seen[-1] == 404 and len(seen) < 200:
        seen.append(status("10.0.0.1"))
    assert set(seen[:-1]) == {404} and seen[-1] == 429
    assert status("10.0.0.2") == 404
    assert server.health()["status"] == "ok"
    wait_until(lambda: status("10.0.0.1") == 404, 10, "answered again")


def test_health_answers_while_the_main_port_is_full(own_server):
    """As many sockets as are let in, all in the middle of a request."""
    server = own_server(LUMA_MAX_CONNECTIONS=300)
    full = []
    try:
        for _ in range(560):
            full.append(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            full[-1].sendall(b"GET / HTTP/1.1\r\nHost: ")
        try:
            assert full[-1].recv(1) == b""
        except ConnectionError:
            pass
        start = time.monotonic()
        assert server.health()["status"] == "ok"
        assert time.monotonic() - start < 5  # what is unfinished is closed after ten
    finally:
        for one in full:
            one.close()


def can_come(come):
    try:
        with come("10.0.0.1") as client:
            client.ping()
            return True
    except (Refused, Closed):
        return False


def test_a_connection_that_floods_is_closed(own_server):
    server = own_server(LUMA_MESSAGES_PER_SECOND=20)
    with Client(server.port) as flood, Client(server.port) as other:
        for _ in range(60):
            flood.send_json({"type": "ping"})
        assert flood.await_close() == 4429
        assert any(message.get("code") == "rate_limited" and message["retryable"] is True
                   for message in flood.others)
        other.ping()
