"""Inputs named by a URL: fetched from a web server of the test's own, on loopback only."""

import http.server
import threading
import time

import pytest

from lumad import Server
from wire import Client


class Web(http.server.ThreadingHTTPServer):
    """Serves a clip at /clip.mp4, and misbehaves elsewhere."""

    daemon_threads = True

    def __init__(self, clip):
        super().__init__(("127.0.0.1", 0), Handler)
        self.clip, self.paths, self.headers = clip, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request, client_address):
        pass  # clients that go away are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.paths.append(self.path)
        self.server.headers.append(dict(self.headers))
        clip = self.server.clip
        if self.path == "/clip.mp4":
            self.answer(200, clip, {"Content-Length": len(clip)})
        elif self.path == "/no-length.mp4":
            self.answer(200, clip, {})
        elif self.path == "/truncated.mp4":
            self.answer(200, clip[:1000], {"Content-Length": len(clip)})
        elif self.path == "/endless":
            self.answer(200, b"", {})
            while True:
                self.wfile.write(bytes(65536))
        elif self.path == "/slow":
            self.answer(200, b"x", {"Content-Length": 1000})
            time.sleep(20)
        elif self.path.startswith("/to?"):
            self.answer(302, b"", {"Location": self.path[4:]})
        elif self.path == "/loop":
            self.answer(302, b"", {"Location": "/loop"})
        elif self.path == "/500":
            self.answer(500, b"a secret of the other side", {})
        else:
            self.answer(404, b"", {})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def web(small):
    server = Web(small)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def fetching(binary, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_FETCH_ALLOW="127.0.0.0/8",
                     LUMA_MAX_UPLOAD=1_000_000, LUMA_DOWNLOAD_TIMEOUT=3)
    yield running
    running.stop()


def run(client, url, operation="remove_audio"):
    """A job on one URL: its last word, whether it came as an answer or later."""
    answer = client.request({"type": "start_job", "operation": operation, "options": {},
                             "inputs": [{"kind": "url", "url": url}]})
    if answer["type"] == "error":
        return answer
    return client.finish(client.jobs[answer["job_id"]]).last


@pytest.mark.parametrize("path", ["/clip.mp4", "/no-length.mp4", "/to?/clip.mp4",
                                  "/to?/to?/to?/clip.mp4"])
def test_a_url_is_fetched(fetching, web, path):
    with Client(fetching.port) as client:
        job = client.jobs[client.request({
            "type": "start_job", "operation": "remove_audio", "options": {},
            "inputs": [{"kind": "url", "url": web.url(path)}]})["job_id"]]
        client.finish(job).completed()
        assert job.outputs[0]["name"].endswith(".mp4")


def test_an_upload_and_a_url_together(fetching, web, small):
    with Client(fetching.port) as client:
        first = client.run("remove_audio", small)
        first.completed()
        assert run(client, web.url("/clip.mp4"))["outputs"][0]["sha256"] == \
            first.last["outputs"][0]["sha256"]


@pytest.mark.parametrize("path, code", [
    ("/missing", "download_failed"), ("/500", "download_failed"), ("/loop", "download_failed"),
    ("/truncated.mp4", "download_failed"), ("/endless", "download_too_large"),
    ("/slow", "download_timeout"), ("/to?file:///etc/passwd", "url_forbidden"),
    ("/to?http://10.0.0.1/", "url_forbidden"), ("/to?ftp://127.0.0.1/x", "url_forbidden"),
])
def test_what_goes_wrong(fetching, web, path, code):
    with Client(fetching.port) as client:
        error = run(client, web.url(path))
        assert error["type"] == "error" and error["code"] in (code, "url_forbidden"), error
        if code != "url_forbidden":
            assert error["code"] == code, error
        assert "secret" not in str(error)
        client.ping()


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "ftp://127.0.0.1/clip.mp4", "gopher://127.0.0.1/", "http://",
    "clip.mp4", "", "//127.0.0.1/clip.mp4", "http://user:pass@127.0.0.1/clip.mp4",
    "http://127.0.0.1:99999/", "http://10.0.0.1/clip.mp4", "http://[::1]/clip.mp4",
    "http://169.254.169.254/latest/meta-data/", "http://0.0.0.0/", "http://0x7f.1/",
    "http://[::ffff:10.0.0.1]/", "data:video/mp4;base64,AAAA", "javascript:alert(1)",
    "http://127.0.0.1\r\nX: y/",
])
def test_urls_that_are_forbidden(server, url):
    with Client(server.port) as client:
        error = run(client, url)
        assert error["type"] == "error", error
        assert error["code"] in ("url_forbidden", "invalid_input", "invalid_message"), error
        client.ping()


def test_loopback_is_forbidden_unless_allowed(server, web):
    before = len(web.paths)
    with Client(server.port) as client:
        for host in ("127.0.0.1", "localhost", "2130706433", "127.1", "[::ffff:127.0.0.1]"):
            error = run(client, web.url("/clip.mp4").replace("127.0.0.1", host))
            assert error["code"] == "url_forbidden", (host, error)
    assert len(web.paths) == before, "a forbidden address was connected to"


def test_cancel_while_downloading(fetching, web):
    with Client(fetching.port) as client:
        job = client.jobs[client.request({
            "type": "start_job", "operation": "probe", "options": {},
            "inputs": [{"kind": "url", "url": web.url("/slow")}]})["job_id"]]
        client.wait_for(job, "downloading")
        assert client.request({"type": "cancel_job", "job_id": job.id})["type"] == "ack"
        client.finish(job).failed("cancelled")
        fetching.wait_gone(job.id)


def test_requests_carry_nothing_of_ours(fetching, web):
    with Client(fetching.port) as client:
        run(client, web.url("/clip.mp4"), "probe")
    for headers in web.headers:
        assert not {"Cookie", "Authorization", "Referer"} & set(headers)
