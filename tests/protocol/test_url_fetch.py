"""Inputs that are named by a URL: fetched whole, refused where they lead to, bounded in every way,
stopped at once, and silent about what the other side said. Loopback only."""

import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lumad import Server, wait_until
from origin import Origin
from wire import Client

MIB = 1024 * 1024
LOOPBACK = {"LUMA_FETCH_ALLOW": "127.0.0.0/8"}


@pytest.fixture(scope="module")
def origin(small):
    running = Origin({"small.mp4": small, "blob": bytes(300_000)})
    yield running
    running.close()


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """The server that the tests share; it may fetch from loopback."""
    running = Server(binary, tmp_path_factory.mktemp("server"), **LOOPBACK)
    yield running
    assert "secret" not in running.log()
    running.stop()


@pytest.fixture(scope="module")
def expected(server, small):
    """What remove_audio makes of the small clip when it is uploaded."""
    with Client(server.port) as client:
        job = client.run("remove_audio", small)
        job.completed()
        return bytes(job.outputs[0]["data"])


def message(*urls, operation="remove_audio", **more):
    return {"type": "start_job", "operation": operation,
            "inputs": [{"kind": "url", "url": url} for url in urls], **more}


def start(client, *urls, **more):
    answer = client.request(message(*urls, **more))
    assert answer["type"] == "ack", answer
    return client.jobs[answer["job_id"]]


def fetch(client, *urls, **more):
    return client.finish(start(client, *urls, **more))


def check_failed(server, job, code, retryable):
    error = job.failed(code)
    assert error["retryable"] is retryable, error
    assert "secret" not in str(error).lower(), error
    server.wait_gone(job.id)
    return error


# ---- what works ----


@pytest.mark.parametrize("kind", ["file", "unsized", "chunked", "paced"])
def test_whole(client, origin, expected, kind):
    job = fetch(client, origin.url(f"{kind}/small.mp4?token=secret"))
    job.completed()
    assert bytes(job.outputs[0]["data"]) == expected
    assert job.outputs[0]["name"].startswith("small")
    assert job.ack["status"] == "uploading" and job.ack["uploads"] == []


def test_what_is_asked(client, origin):
    fetch(client, origin.url("file/small.mp4?token=secret#fragment")).completed()
    line, headers = origin.requests[-1]
    assert line == "GET /file/small.mp4?token=secret HTTP/1.1"
    assert headers["user-agent"].startswith("luma/")
    assert not headers.keys() & {"accept-encoding", "authorization", "cookie", "referer", "range"}


def test_no_cookies_are_kept(client, origin):
    for _ in range(2):
        fetch(client, origin.url("file/small.mp4")).completed()
    assert "cookie" not in origin.requests[-1][1]


def test_no_proxy(own_server, origin, monkeypatch):
    for name in ("http_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = own_server(**LOOPBACK)
    with Client(server.port) as client:
        fetch(client, origin.url("file/small.mp4")).completed()


def test_progress_while_it_comes(client, origin, small):
    job = fetch(client, origin.url("paced/small.mp4"))
    job.completed()
    told = [m for m in job.texts("progress") if m["stage"] == "downloading"]
    assert len(told) >= 3
    counts = [m["downloaded_bytes"] for m in told]
    assert counts == sorted(counts) and counts[-1] > counts[0]
    assert told[-1]["download_size"] == len(small)
    stages = [m["stage"] for m in job.texts("progress")]
    assert stages[: len(told)] == ["downloading"] * len(told)


def test_several_inputs_of_both_kinds(own_server, origin, small, tmp_path):
    """An upload and two URLs; the job starts when all are there."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "count.lua").write_text(
        'return { summary = "Counts inputs.", inputs = { min = 1, max = 5 }, options = {},\n'
        '  run = function(job) return { count = #job.inputs } end }\n')
    server = own_server(LUMA_SCRIPTS=scripts, **LOOPBACK)
    with Client(server.port) as client:
        answer = client.request({
            "type": "start_job", "operation": "count", "inputs": [
                {"kind": "url", "url": origin.url("file/small.mp4")},
                {"kind": "upload", "size": len(small)},
                {"kind": "url", "url": origin.url("paced/small.mp4")}]})
        assert answer["type"] == "ack", answer
        assert [told["input"] for told in answer["uploads"]] == [1]
        job = client.jobs[answer["job_id"]]
        client.send_upload(job, small, number=0)  # that one isn't the client's to send
        client.ping()
        (error,) = job.texts("error")
        assert error["code"] == "invalid_header" and not error.get("final")
        client.wait_for(job, "uploading")
        client.upload(job, small, number=1)
        client.wait_for(job, "downloading")
        assert client.finish(job).completed()["result"] == {"count": 3}


def test_an_upload_that_stops_beside_a_url(own_server, origin, small, tmp_path):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "count.lua").write_text(
        'return { summary = "Counts inputs.", inputs = { min = 1, max = 5 }, options = {},\n'
        '  run = function(job) return { count = #job.inputs } end }\n')
    server = own_server(LUMA_SCRIPTS=scripts, LUMA_UPLOAD_TIMEOUT=1, **LOOPBACK)
    with Client(server.port) as client:
        answer = client.request({
            "type": "start_job", "operation": "count", "inputs": [
                {"kind": "url", "url": origin.url("hang_in_body/small.mp4")},
                {"kind": "upload", "size": len(small)}]})
        job = client.jobs[answer["job_id"]]
        client.finish(job).failed("upload_timeout")
        server.wait_gone(job.id)
        # Where nothing is to be uploaded, that time doesn't count.
        job = client.jobs[client.request(
            message(origin.url("paced/small.mp4"), operation="count"))["job_id"]]
        client.finish(job).completed()


def test_many_at_once(client, origin, expected):
    """More jobs than there are transfers at a time."""
    jobs = [start(client, origin.url("chunked/small.mp4")) for _ in range(24)]
    for job in jobs:
        client.finish(job).completed()
        assert bytes(job.outputs[0]["data"]) == expected


def test_the_same_key_means_the_same_job(client, connect, origin):
    url = origin.url("file/small.mp4")
    job = fetch(client, url, job_key="k1")
    again = connect().request(message(url, job_key="k1"))
    assert again["duplicate"] is True and again["job_id"] == job.id
    connect().error(message(url + "?x", job_key="k1"), "job_key_conflict")


def test_localhost_by_name(client, origin, expected):
    job = fetch(client, f"http://localhost:{origin.port}/file/small.mp4")
    job.completed()
    assert bytes(job.outputs[0]["data"]) == expected


# ---- redirects ----


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(client, origin, expected, status):
    job = fetch(client, origin.url(f"to/{status}//file/small.mp4"))
    job.completed()
    assert bytes(job.outputs[0]["data"]) == expected


def test_redirect_to_another_host(client, origin, small):
    other = Origin({"small.mp4": small}, host="127.0.0.2")
    try:
        fetch(client, origin.url(f"to/302/{other.url('file/small.mp4')}")).completed()
        assert "authorization" not in other.requests[0][1]
    finally:
        other.close()


def test_five_redirects_are_followed(client, origin):
    fetch(client, origin.url("hops/5/small.mp4")).completed()


def test_six_are_not(server, client, origin):
    check_failed(server, fetch(client, origin.url("hops/6/small.mp4")), "download_failed", False)


@pytest.mark.parametrize("target", [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/x", "data:text/plain,x",
    "http://user:password@127.0.0.1/x", "http://192.0.2.1/x", "http://8.8.8.8:22/x",
    "http://169.254.169.254/latest/meta-data", "http://[::1]/x", "http://[::ffff:127.0.0.1]/x",
    "http://10.0.0.1/x", "//10.0.0.1/x", "http://0xa000001/x"])
def test_redirect_to_where_it_must_not(server, client, origin, target):
    job = fetch(client, origin.url(f"to/302/{target}"))
    error = check_failed(server, job, "url_forbidden", False)
    assert error["details"]["input"] == 0


@pytest.mark.parametrize("path", ["nowhere", "to/302/", "to/302/http://a%20b/", "to/304//x",
                                  "to/300//x"])
def test_redirect_to_nothing(server, client, origin, path):
    check_failed(server, fetch(client, origin.url(path)), "download_failed", False)


# ---- refused by looking at it ----


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "data:text/plain,x",
    "127.0.0.1/x", "", "http://user:secret@127.0.0.1/x", "http://192.168.0.1/x?secret",
    "http://169.254.169.254/x", "http://[::1]/x", "http://[::ffff:127.0.0.1]/x",
    "http://0x0a000001/x", "https://8.8.8.8:8443/x"])
def test_forbidden_before_the_ack(client, url):
    error = client.error(message(url), "url_forbidden")
    assert error["details"]["path"] == "inputs[0].url" and error["retryable"] is False
    assert "secret" not in str(error)


@pytest.mark.parametrize("url", ["http://", "http://a b/", "http://127.0.0.1:99999/",
                                 "http://127.0.0.1/\r\nX: y"])
def test_no_url_at_all(client, url):
    client.error(message(url), "invalid_input")


def test_the_second_input_is_looked_at_too(client, origin, tmp_path, own_server):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "two.lua").write_text(
        'return { summary = "Two.", inputs = { min = 2, max = 2 }, options = {},\n'
        '  run = function(job) return {} end }\n')
    server = own_server(LUMA_SCRIPTS=scripts, **LOOPBACK)
    with Client(server.port) as other:
        error = other.error(message(origin.url("file/small.mp4"), "http://10.0.0.1/",
                                    operation="two"), "url_forbidden")
        assert error["details"]["path"] == "inputs[1].url"
        assert server.health()["jobs"]["total"] == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0", "127.1", "a.localhost"])
def test_loopback_is_closed_by_default(own_server, origin, host):
    server = own_server()
    count = len(origin.requests)
    with Client(server.port) as client:
        for port in (origin.port, 80):
            client.error(message(f"http://{host}:{port}/file/small.mp4"), "url_forbidden")
    assert len(origin.requests) == count


def test_one_host_and_port(own_server, origin, small):
    other = Origin({"small.mp4": small})
    server = own_server(LUMA_FETCH_ALLOW=f"127.0.0.1:{origin.port}")
    try:
        with Client(server.port) as client:
            fetch(client, origin.url("file/small.mp4")).completed()
            client.error(message(other.url("file/small.mp4")), "url_forbidden")
            job = fetch(client, origin.url(f"to/302/{other.url('file/small.mp4')}"))
            check_failed(server, job, "url_forbidden", False)
        assert other.requests == []
    finally:
        other.close()


def name_of_loopback():
    """A name other than localhost that /etc/hosts knows as loopback, so that nobody is asked."""
    with open("/etc/hosts") as file:
        lines = [line.partition("#")[0].split() for line in file]
    names = [name for address, *names in filter(None, lines) for name in names
             if address == "::1" or address.startswith("127.")]
    return next((name for name in names if not name.endswith("localhost")
                 or name == "ip6-localhost"), None)


def test_the_address_decides_not_the_name(own_server, origin):
    """The name says nothing, what it leads to is refused: no request is made."""
    name = name_of_loopback()
    if not name:
        pytest.skip("/etc/hosts has no other name of loopback")
    count = len(origin.requests)
    server = own_server(LUMA_FETCH_ALLOW="127.255.255.254")
    with Client(server.port) as client:
        for port in (origin.port, 80):
            check_failed(server, fetch(client, f"http://{name}:{port}/file/small.mp4"),
                         "url_forbidden", False)
    assert len(origin.requests) == count


# ---- bounds ----


@pytest.fixture(scope="module")
def tight(binary, tmp_path_factory):
    """A server with little patience and little room."""
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_MAX_UPLOAD=200_000,
                     LUMA_DOWNLOAD_TIMEOUT="3s", LUMA_STALL_TIMEOUT="1s", **LOOPBACK)
    yield running
    assert "secret" not in running.log()
    running.stop()


@pytest.fixture
def hurried(tight):
    with Client(tight.port) as connected:
        yield connected


@pytest.mark.parametrize("path", ["file/blob", "unsized/blob", "chunked/blob", "endless",
                                  "announced/200001", "announced/99999999999999"])
def test_too_large(tight, hurried, origin, path):
    job = fetch(hurried, origin.url(path))
    check_failed(tight, job, "download_too_large", False)
    hurried.ping()


@pytest.mark.parametrize("path", ["hang", "hang_in_body/small.mp4", "drip/small.mp4",
                                  "drip_headers"])
def test_too_slow(tight, hurried, origin, path):
    begin = time.monotonic()
    job = fetch(hurried, origin.url(path))
    check_failed(tight, job, "download_timeout", True)
    assert time.monotonic() - begin < 15
    assert any(m["stage"] == "downloading" for m in job.texts("progress"))
    hurried.ping()


def test_the_whole_takes_too_long(own_server, origin):
    """Steady, but too slow: the bound of the whole, over all redirects."""
    server = own_server(LUMA_DOWNLOAD_TIMEOUT="1s", **LOOPBACK)
    with Client(server.port) as client:
        job = fetch(client, origin.url("to/302//paced/blob"))
        error = check_failed(server, job, "download_timeout", True)
        assert "longer than 1 s" in error["message"]


@pytest.mark.parametrize("path", ["endless_headers", "interim"])
def test_headers_without_end(server, client, origin, path):
    check_failed(server, fetch(client, origin.url(path)), "download_failed", True)
    client.ping()


# ---- what goes wrong ----


@pytest.mark.parametrize("status,retryable", [
    (400, False), (401, False), (403, False), (404, False), (410, False), (408, True), (429, True),
    (500, True), (503, True), (204, False), (206, False), (999, True)])
def test_status(server, client, origin, status, retryable):
    job = fetch(client, origin.url(f"status/{status}?token=secret"))
    error = check_failed(server, job, "download_failed", retryable)
    assert error["details"] == {"input": 0, "http_status": status}


@pytest.mark.parametrize("path,retryable", [
    ("cut/small.mp4", True), ("silent_end", True), ("packed", True), ("gibberish", False)])
def test_broken(server, client, origin, path, retryable):
    check_failed(server, fetch(client, origin.url(path)), "download_failed", retryable)


def test_a_certificate_that_nobody_trusts(server, client, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("the program openssl is not there")
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "1", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            try:
                context.wrap_socket(connection, server_side=True)
            except OSError:
                pass  # it was not trusted
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        job = fetch(client, f"https://127.0.0.1:{listening.getsockname()[1]}/x")
        error = check_failed(server, job, "download_failed", False)
        assert "certificate" in error["message"]


def test_nobody_listens(server, client):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        job = fetch(client, f"http://127.0.0.1:{taken.getsockname()[1]}/small.mp4")
        check_failed(server, job, "download_failed", True)


def test_no_certificate(server, client, origin):
    """https to a server that hangs up at the first word of TLS."""
    job = fetch(client, f"https://127.0.0.1:{origin.port}/file/small.mp4")
    check_failed(server, job, "download_failed", True)


def test_empty(server, client, origin):
    job = fetch(client, origin.url("empty"))
    job.failed("unsupported_media", "corrupt_media", "invalid_input")
    server.wait_gone(job.id)


# ---- the end of a job is the end of its fetches ----


def test_cancel_stops_it_at_once(server, client, origin):
    wait_until(lambda: not origin.busy["endless"], 10, "quiet")
    job = start(client, origin.url("endless"))
    client.wait_for(job, "downloading")
    wait_until(lambda: server.files_of(job.id), 10, "there")
    begin = time.monotonic()
    assert client.request({"type": "cancel_job", "job_id": job.id})["type"] == "ack"
    client.finish(job).failed("cancelled")
    assert time.monotonic() - begin < 2
    wait_until(lambda: not origin.busy["endless"], 5, "told")
    server.wait_gone(job.id)
    client.ping()


def test_cancel_while_nothing_comes(own_server, origin):
    server, counts = own_server(**LOOPBACK), []
    for path in ("hang", "hang_in_body/small.mp4", "hang", "hang_in_body/small.mp4"):
        with Client(server.port) as client:
            job = start(client, origin.url(path))
            client.wait_for(job, "downloading")
            client.request({"type": "cancel_job", "job_id": job.id})
            client.finish(job).failed("cancelled")
            server.wait_gone(job.id)
        if counts:
            wait_until(lambda: server.descriptors() <= counts[0], 10, "closed")
        counts.append(server.descriptors())


def test_one_that_fails_ends_the_others(own_server, origin, tmp_path):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "two.lua").write_text(
        'return { summary = "Two.", inputs = { min = 2, max = 2 }, options = {},\n'
        '  run = function(job) return {} end }\n')
    server = own_server(LUMA_SCRIPTS=scripts, **LOOPBACK)
    with Client(server.port) as client:
        job = fetch(client, origin.url("endless"), origin.url("status/404"), operation="two")
        error = check_failed(server, job, "download_failed", False)
        assert error["details"]["input"] == 1


def test_the_connection_that_started_it_goes(own_server, origin):
    server = own_server(LUMA_RECONNECT_GRACE="1s", **LOOPBACK)
    with Client(server.port) as client:
        job = start(client, origin.url("hang_in_body/small.mp4"))
        client.wait_for(job, "downloading")
    server.wait_gone(job.id)


def test_the_server_ends_in_mid_download(own_server, origin):
    server = own_server(**LOOPBACK)
    with Client(server.port) as client:
        jobs = [start(client, origin.url(path)) for path in
                ("endless", "hang", "hang_in_body/small.mp4", *["hang"] * 30)]
        client.wait_for(jobs[0], "downloading")
        server.stop()
        assert jobs


def test_a_hundred_that_hang_delay_nobody_else(own_server, origin, small):
    """Callers take turns: with tokens, one caller's hanging URLs leave room for another's."""
    server = own_server(LUMA_TOKENS="one:token-of-one,two:token-of-two", **LOOPBACK)
    first = [("Authorization", "Bearer token-of-one")]
    second = [("Authorization", "Bearer token-of-two")]
    with Client(server.port, headers=first) as busy, Client(server.port, headers=second) as other:
        jobs = [start(busy, origin.url("hang")) for _ in range(80)]
        wait_until(lambda: origin.busy["hang"] >= 16, 10, "hanging")
        fetch(other, origin.url("file/small.mp4")).completed()
        for job in jobs:
            busy.request({"type": "cancel_job", "job_id": job.id})
        fetch(busy, origin.url("file/small.mp4")).completed()


def test_memory_stays_flat(own_server, sanitized, origin):
    """A large file costs no more memory than a small one."""
    size = 200 * MIB
    big = Origin({"blob": bytes(size)})
    server = own_server(**LOOPBACK)
    try:
        with Client(server.port) as client:
            fetch(client, origin.url("file/small.mp4")).completed()
            before = server.memory()
            fetch(client, big.url("file/blob"), operation="probe").failed(
                "unsupported_media", "corrupt_media")
            assert server.memory() - before < (64 if sanitized else 8) * MIB
    finally:
        big.close()


def test_a_bad_list_stops_the_start(binary, tmp_path_factory):
    with pytest.raises(AssertionError, match="LUMA_FETCH_ALLOW"):
        Server(binary, tmp_path_factory.mktemp("server"), LUMA_FETCH_ALLOW="127.0.0.0/99")
