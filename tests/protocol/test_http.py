"""HTTP on the main port: results with ranges and conditions, who may read them, other paths."""

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
from urllib.parse import unquote

import pytest

from http_client import ask, bare, connection
from lumad import Server, wait_until
from wire import Client

EMPTY_TAG = '"' + "0" * 64 + '"'


class Result:
    """A finished job's first output: its bytes, and what `completed` says of it."""

    def __init__(self, client, data, operation="remove_audio", options=None):
        self.job = client.run(operation, data, options)
        self.told = self.job.completed()["outputs"][0]
        self.data = bytes(self.job.outputs[0]["data"])
        self.url, self.path = self.told["url"], bare(self.told["url"])
        self.tag = f'"{self.told["sha256"]}"'


@pytest.fixture(scope="module")
def result(server, small):
    with Client(server.port) as client:
        return Result(client, small)


@pytest.fixture(scope="module")
def guarded(binary, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"),
                     LUMA_TOKENS="ann:first-secret,ben:second-secret",
                     LUMA_ALLOWED_ORIGINS="https://studio.example, https://other.example:8443")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def owned(guarded, small):
    with Client(guarded.port, headers=[("Authorization", "Bearer first-secret")]) as client:
        return Result(client, small)


# ---- results ----

def test_a_result(server, result):
    for path in (result.url, result.path, result.path.rpartition("/")[0], result.path + "2"):
        answer = ask(server.port, path)
        assert answer.status == 200 and answer.body == result.data
        assert hashlib.sha256(answer.body).hexdigest() == result.told["sha256"]
        assert answer["Content-Type"] == result.told["mime"] == "video/mp4"
        assert answer["Content-Length"] == str(len(result.data))
        assert answer["ETag"] == result.tag and answer["Accept-Ranges"] == "bytes"
        assert answer["X-Content-Type-Options"] == "nosniff" and answer["Date"]
        assert answer["Content-Range"] is None


def test_the_urls_form(result):
    path, _, query = result.url.partition("?")
    assert path == f"/jobs/{result.job.id}/outputs/0/{result.told['name']}"
    assert re.fullmatch(r"signature=[0-9a-f]{32}", query)


def test_head_is_get_without_the_body(server, result):
    get, head = ask(server.port, result.url), ask(server.port, result.url, "HEAD")
    assert head.status == 200 and head.body == b""
    assert {**dict(head.headers), "Date": ""} == {**dict(get.headers), "Date": ""}
    part = ask(server.port, result.url, "HEAD", Range="bytes=0-9")  # ranges are for GET alone
    assert part.status == 200 and part["Content-Length"] == str(len(result.data))


def test_ranges(server, result):
    data, size = result.data, len(result.data)
    parts = {"bytes=0-0": (0, 1), "bytes=10-19": (10, 20), "bytes=100-": (100, size),
             "bytes=-7": (size - 7, size), f"bytes=-{size + 5}": (0, size), "bytes=0-": (0, size),
             f"bytes={size - 1}-": (size - 1, size), "Bytes=3-999999999999999": (3, size)}
    for text, (start, end) in parts.items():
        answer = ask(server.port, result.url, Range=text)
        assert answer.status == 206, text
        assert answer.body == data[start:end], text
        assert answer["Content-Range"] == f"bytes {start}-{end - 1}/{size}", text
        assert answer["Content-Length"] == str(end - start) and answer["ETag"] == result.tag
    for text in (f"bytes={size}-", f"bytes={size + 10}-{size + 20}", "bytes=-0"):
        answer = ask(server.port, result.url, Range=text)
        assert answer.status == 416 and answer["Content-Range"] == f"bytes */{size}", text
        assert answer.body == b""
    for text in ("bytes=5-4", "bytes=a-b", "bytes=0-1,5-6", "lines=1-2", "bytes=", "bytes=--1",
                 "bytes=1", "bytes=99999999999999999999-", "bytes= - "):
        answer = ask(server.port, result.url, Range=text)
        assert answer.status == 200 and answer.body == data, text


def test_conditions(server, result):
    for tags in (result.tag, "*", f'"other", {result.tag}', f"W/{result.tag}"):
        answer = ask(server.port, result.url, If_None_Match=tags)
        assert answer.status == 304 and answer.body == b"" and answer["ETag"] == result.tag
        assert ask(server.port, result.url, "HEAD", If_None_Match=tags).status == 304
    for tags in ('"other"', EMPTY_TAG, result.tag[:-3] + '"', result.tag.strip('"')):
        assert ask(server.port, result.url, If_None_Match=tags).status == 200
    right = ask(server.port, result.url, Range="bytes=5-9", If_Range=result.tag)
    assert right.status == 206 and right.body == result.data[5:10]
    for tag in (EMPTY_TAG, f"W/{result.tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        answer = ask(server.port, result.url, Range="bytes=5-9", If_Range=tag)
        assert answer.status == 200 and answer.body == result.data


def test_one_connection_serves_many_requests(server, result):
    used = connection(server.port)
    for _ in range(3):
        assert ask(used, result.url, "HEAD").status == 200
        assert ask(used, result.url).body == result.data
        assert ask(used, result.url, If_None_Match=result.tag).status == 304
        assert ask(used, result.url, Range="bytes=99999999-").status == 416
        assert ask(used, result.url, Range="bytes=1-3").body == result.data[1:4]
        assert ask(used, "/nope").status == 404
        assert json.loads(ask(used, "/operations").body)["type"] == "operations"
    used.close()


def test_requests_may_be_sent_ahead(server, result):
    request = f"GET {result.url} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=0-9\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(3 * request)
        data = b""
        while data.count(result.data[:10]) < 3:
            more = raw.recv(65536)
            assert more, data
            data += more
    assert data.count(b"HTTP/1.1 206 Partial Content\r\n") == 3


def test_what_is_shown_and_what_is_saved(server, client, small):
    sheet = Result(client, small, "thumbnail", {"count": 4, "sheet": {"columns": 2}})
    answers = [ask(server.port, output["url"]) for output in sheet.job.last["outputs"]]
    kinds = {answer["Content-Type"].partition("/")[0]: answer for answer in answers}
    assert set(kinds) == {"image", "text"}
    assert kinds["image"]["Content-Disposition"].startswith("inline; filename=")
    assert kinds["image"]["Content-Security-Policy"] is None
    assert kinds["text"]["Content-Disposition"].startswith("attachment; filename=")
    assert kinds["text"]["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_a_name_that_is_awkward(server, client, small):
    inputs = [{"kind": "upload", "name": 'é "x".mp4', "size": len(small)}]
    job = client.jobs[client.request({"type": "start_job", "operation": "remove_audio",
                                      "inputs": inputs})["job_id"]]
    client.upload(job, small)
    told = client.finish(job).completed()["outputs"][0]
    answer = ask(server.port, told["url"])
    assert answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == told["sha256"]
    exact = re.search(r"filename\*=UTF-8''(\S+)", answer["Content-Disposition"])[1]
    assert unquote(exact) == told["name"] and "é" in told["name"]


def test_what_is_not_there(server, client, result, small):
    other = result.path.replace(result.job.id, "0" * 32)
    for path in (other, f"/jobs/{result.job.id}/outputs/1", f"/jobs/{result.job.id}/outputs/",
                 f"/jobs/{result.job.id}/outputs/00000000", f"/jobs/{result.job.id}/inputs/0",
                 f"/jobs/{result.job.id}/outputs/-1", f"/jobs/{result.job.id}/outputs/0x",
                 f"/jobs/{result.job.id.upper()}/outputs/0", "/jobs/", "/jobs", "/jobs/x/outputs/0",
                 f"/jobs/../{result.job.id}/outputs/0", f"/jobs/{result.job.id}"):
        assert ask(server.port, path).status == 404, path
    job = client.start("probe", [len(small)])
    assert ask(server.port, f"/jobs/{job.id}/outputs/0").status == 409
    client.request({"type": "cancel_job", "job_id": job.id})
    client.finish(job).failed("cancelled")
    assert ask(server.port, f"/jobs/{job.id}/outputs/0").status == 404


def test_a_deleted_result_is_gone(server, client, small):
    result = Result(client, small)
    assert ask(server.port, result.url).status == 200
    client.request({"type": "delete_job", "job_id": result.job.id})
    assert ask(server.port, result.url).status == 404


def test_an_expired_result_is_gone(own_server, small):
    server = own_server(LUMA_RESULT_TTL="1s")
    with Client(server.port) as client:
        result = Result(client, small)
        assert ask(server.port, result.url).status == 200
        server.wait_gone(result.job.id)
        assert ask(server.port, result.url).status == 404
        assert client.request({"type": "get_job", "job_id": result.job.id})["type"] == "job"


# ---- who may ----

def test_the_signature_or_the_token_opens_it(guarded, owned):
    bearer = "Bearer first-secret"
    assert ask(guarded.port, owned.url).body == owned.data
    assert ask(guarded.port, owned.url, "HEAD").status == 200
    assert ask(guarded.port, owned.path, Authorization=bearer).body == owned.data
    without_name = owned.url.replace("/" + owned.told["name"], "")
    assert ask(guarded.port, without_name).body == owned.data
    assert ask(guarded.port, owned.path + "?x=1&" + owned.url.partition("?")[2]).status == 200


def test_who_may_not(guarded, owned):
    signature = owned.url.partition("signature=")[2]
    flipped = ("1" if signature[0] == "0" else "0") + signature[1:]
    unknown = "/jobs/" + "0" * 32 + "/outputs/0"
    assert ask(guarded.port, owned.path, Authorization="Bearer second-secret").status == 404
    assert ask(guarded.port, unknown, Authorization="Bearer first-secret").status == 404
    for path in (owned.path, f"{owned.path}?signature={flipped}", f"{owned.path}?signature=",
                 f"{owned.path}?signature={signature[:-1]}", f"{owned.path}?signature={signature}0",
                 f"{owned.path}?Signature={signature}", unknown, f"{unknown}?signature={signature}",
                 f"/jobs/{owned.job.id}/outputs/1?signature={signature}"):
        answer = ask(guarded.port, path)
        assert answer.status == 401 and answer["WWW-Authenticate"] == "Bearer", path
    for wrong in ("Bearer wrong", "Basic Zmlyc3Qtc2VjcmV0", "Bearer", "first-secret"):
        assert ask(guarded.port, owned.path, Authorization=wrong).status == 401
    assert ask(guarded.port, "/operations").status == 401
    assert ask(guarded.port, "/operations", Authorization="Bearer second-secret").status == 200
    assert signature not in guarded.log()


def test_pages_of_listed_origins_may_read(guarded, owned):
    for origin in ("https://studio.example", "https://other.example:8443"):
        for path in (owned.url, owned.path, "/operations"):  # refusals are to be read too
            answer = ask(guarded.port, path, Origin=origin)
            assert answer["Access-Control-Allow-Origin"] == origin and "Origin" in answer["Vary"]
        asked = ask(guarded.port, owned.path, "OPTIONS", Origin=origin,
                    Access_Control_Request_Method="GET",
                    Access_Control_Request_Headers="authorization, range")
        assert asked.status == 204 and asked["Access-Control-Allow-Origin"] == origin
        assert "GET" in asked["Access-Control-Allow-Methods"]
        for name in ("authorization", "range", "if-range", "if-none-match"):
            assert name in asked["Access-Control-Allow-Headers"].lower()
    for origin in ("https://evil.example", "null", "https://studio.example.evil.example"):
        answer = ask(guarded.port, owned.url, Origin=origin)
        assert answer["Access-Control-Allow-Origin"] is None and "Origin" in answer["Vary"]
        assert ask(guarded.port, owned.path, "OPTIONS", Origin=origin).status == 403


def test_foreign_hosts_and_methods_are_refused(server, result):
    for host in ("evil.example", "127.0.0.1.evil.example"):
        for path in (result.url, "/operations"):
            assert ask(server.port, path, Host=host).status == 403
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(server.port, result.url, method).status in (403, 405)
    assert ask(server.port, "/ws").status == 426


@pytest.mark.parametrize("way", ["Content-Length: 10", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bodies_are_not_swallowed(server, way, method):
    """Nor is what they hold taken for requests."""
    for port in (server.port, server.health_port):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
            head = f"{method} /nope HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            raw.sendall(f"{head}{way}\r\n\r\n{head}\r\n".encode())
            data = b""
            try:
                while more := raw.recv(65536):
                    data += more
            except ConnectionError:
                pass
        assert data.count(b"HTTP/1.1") <= 1 and data[:12] in (b"HTTP/1.1 413", b"")


def test_operations_is_what_describe_answers(server, client):
    described = client.request({"type": "describe"})
    described.pop("request_id")
    answer = ask(server.port, "/operations")
    assert answer.status == 200 and json.loads(answer.body) == described


# ---- on the way ----

def stalled_reader(port, url):
    """A connection that has asked for a result and reads nothing."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    raw.settimeout(20)
    raw.connect(("127.0.0.1", port))
    raw.sendall(f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return raw


def test_slow_readers_cost_a_chunk_and_lose_what_is_deleted(server, client, clips):
    data = clips("big.mp4")
    result = Result(client, data)
    before = server.memory()
    readers = [stalled_reader(server.port, result.url) for _ in range(12)]
    client.ping()
    first = readers[0].recv(4096)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert ask(server.port, result.url).body == result.data
    assert server.memory() - before < 40_000_000  # whole, they would be 150 MB
    client.request({"type": "delete_job", "job_id": result.job.id})
    server.wait_gone(result.job.id)
    for reader in readers:
        received = 0
        try:
            while piece := reader.recv(1 << 18):
                received += len(piece)
        except ConnectionError:
            pass
        assert received < len(result.data)
        reader.close()
    wait_until(lambda: not any(result.job.id in os.readlink(f"/proc/{server.pid}/fd/{fd}")
                               for fd in os.listdir(f"/proc/{server.pid}/fd")
                               if os.path.islink(f"/proc/{server.pid}/fd/{fd}")),
               10, "rid of the deleted result's descriptors")
    client.ping()


def test_a_reader_that_goes_away_hurts_nobody(server, client, clips):
    result = Result(client, clips("big.mp4"))
    for size in (0, 1, 100_000, 1_000_000):
        reader = stalled_reader(server.port, result.url)
        while size > 0:
            size -= len(reader.recv(min(size, 65536)))
        reader.close()
    assert ask(server.port, result.url).body == result.data


def test_results_over_tls(own_server, small, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    server = own_server(LUMA_TLS_CERT=certificate, LUMA_TLS_KEY=key)
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Client(server.port, tls=context) as client:
        result = Result(client, small)
    used = connection(server.port, context)
    assert ask(used, result.url).body == result.data
    assert used.sock.selected_alpn_protocol() == "http/1.1"
    assert ask(used, result.url, Range="bytes=7-99").body == result.data[7:100]
    used.close()
