"""Error codes that an ordinary request doesn't meet: scripts that fail, a folder that goes away, a
server that is about to stop. That all codes are met is checked after a whole run (conftest.py)."""

import os
import shutil
import signal

import pytest

from lumad import Server
from wire import Client

SCRIPTS = {
    "raises": 'local nothing = nil; return { said = nothing.field }',
    "hoards": 'local text = "x"; while true do text = text .. text end',
    "sleeps": 'while true do end',
    # an encoder that knows five sizes, and this isn't one
    "misfits": 'job:output{ format = "avi", '
               'job.input.video:scale(100, 100):encode{ codec = "h263" } }',
}
FRAME = 'return {{ summary = "One that fails.", inputs = 1, options = {{}}, ' \
        'examples = {{ {{}} }}, run = function(job) {body} end }}\n'


@pytest.fixture(scope="module")
def failing(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    for name, body in SCRIPTS.items():
        (folder / f"{name}.lua").write_text(FRAME.format(body=body))
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_SCRIPTS=folder,
                     LUMA_LUA_TIME="1s", LUMA_DRAIN_TIMEOUT="20s")
    yield running
    running.stop()


@pytest.fixture
def client(failing):
    with Client(failing.port) as connected:
        yield connected


def test_a_script_that_raises(client, small):
    error = client.run("raises", small).failed("script_error")
    assert error["retryable"] is False
    details = error["details"]
    assert details["script"] == "raises.lua" and details["line"] == 1
    assert "raises.lua:1" in details["traceback"]


def test_a_script_that_hoards(client, small):
    assert client.run("hoards", small).failed("out_of_memory")["final"] is True


def test_a_script_that_takes_too_long(client, small):
    error = client.run("sleeps", small).failed("limit_exceeded")
    assert error["details"]["limit"] == "lua_time"


def test_what_is_no_media_and_what_is_broken(server, small):
    with Client(server.port) as client:
        client.run("probe", b"a text, and not a short one\n" * 100).failed("unsupported_media")
        client.run("probe", small[:700]).failed("corrupt_media")  # half of its index


def test_an_encoder_that_fails(client, small):
    error = client.run("misfits", small).failed("encode_failed")
    assert "h263" in error["message"]


def test_a_folder_that_is_no_longer_one(client, failing, small):
    job = client.start("raises", [len(small)])
    folder = os.path.join(failing.data, "jobs", job.id)
    shutil.rmtree(folder, ignore_errors=True)
    with open(folder, "w"):
        pass
    client.send_upload(job, small)
    client.finish(job).failed("internal")
    os.unlink(folder)


def test_no_new_jobs_while_it_drains(own_server, clips):
    server = own_server(LUMA_DRAIN_TIMEOUT="20s")
    data = clips("long.mp4")
    with Client(server.port) as client:
        job = client.start("compress", [len(data)], {"preset": "custom", "crf": 20,
                                                     "encoder_preset": "veryslow"})
        client.upload(job, data)
        client.wait_for(job, "processing")
        server.process.send_signal(signal.SIGTERM)
        while not any(message["type"] == "draining" for message in client.others):
            assert client.pump()
        error = client.error({"type": "start_job", "operation": "probe",
                              "inputs": [{"kind": "upload", "size": 5}]}, "shutting_down")
        assert error["retryable"] is True
        client.request({"type": "cancel_job", "job_id": job.id})
        client.finish(job).failed("cancelled")
