"""A server that is killed, at the moments at which it hurts, and started again: what was
acknowledged is there, goes on where it was, and gets its one last word; nothing else is left."""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from http_client import ask
from lumad import ROOT, Server, process_table, wait_until
from origin import Origin
from wire import Client, Closed, Job

# Keeps a heavy slot for as long as anybody likes to test.
LONG = {"preset": "custom", "crf": 45, "encoder_preset": "veryslow"}


# An operation with two inputs.
PAIR = """
return {
  summary = "Two files",
  inputs = 2,
  options = {},
  examples = { {} },
  run = function(job) return { job.inputs[1].duration, job.inputs[2].duration } end,
}
"""


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """Killed by each test, so that each finds what the others left."""
    scripts = tmp_path_factory.mktemp("own") / "scripts"
    shutil.copytree(f"{ROOT}/scripts", scripts)
    (scripts / "pair.lua").write_text(PAIR)
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_WORKERS=1,
                     LUMA_SCRIPTS=scripts, LUMA_FETCH_ALLOW="127.0.0.0/8")
    yield running
    running.stop()


def attach(client, job, **more):
    """Attaches to a job of an earlier connection: its new view, and the ack. Numbers rise across
    both."""
    before = job.seq
    answer = client.request({"type": "attach", "job_id": job.id, **more})
    assert answer["type"] == "ack", answer
    view = client.jobs[job.id]
    assert all(message["seq"] > before for message in view.messages if "seq" in message)
    return view, answer


def crash(server, client):
    """Kills the server; its workers end by themselves. What the client had is left as it is."""
    session = server.pid
    server.crash()
    client.close()
    wait_until(lambda: not [1 for _, state, _, of in process_table().values()
                            if of == session and state != "Z"], 10, "the dead server's end")


def restart(server, client=None, **settings):
    if client:
        crash(server, client)
    server.restart(**settings)
    return Client(server.port)


def upload_part(client, job, data, step=256 * 1024):
    for offset in range(0, len(data), step):
        client.send_upload(job, data[offset : offset + step], offset)


def folder_of(server, job):
    return os.path.join(server.data, "jobs", job.id)


def await_work(server, job):
    wait_until(lambda: os.path.exists(os.path.join(folder_of(server, job), "out-0")), 30, "at work")


def state_of(client, job):
    return client.request({"type": "get_job", "job_id": job.id})["job"]


def test_a_job_is_there_as_soon_as_it_is_acknowledged(server, small):
    client = Client(server.port)
    job = client.start("remove_audio", [len(small)], job_key="at once", metadata={"n": 1})
    with restart(server, client) as client:
        view, answer = attach(client, job, outputs=[])
        assert answer["status"] == "uploading" and answer["attempt"] == 1
        assert answer["uploads"] == [{"input": 0, "received": 0, "size": len(small)}]
        again = client.request({"type": "start_job", "operation": "remove_audio", "options": {},
                                "job_key": "at once", "metadata": {"n": 1},
                                "inputs": [{"kind": "upload", "name": "input-0.mp4",
                                            "size": len(small)}]})
        assert again["duplicate"] is True and again["job_id"] == job.id
        client.upload(view, small)
        client.finish(view)
        assert view.completed()["metadata"] == {"n": 1}


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_goes_on_at_its_offset(server, clips, announced):
    data = clips("big.mp4")
    half = len(data) // 2
    client = Client(server.port)
    job = client.start("remove_audio", [len(data) if announced else None], detach=True)
    upload_part(client, job, data[:half])
    received = 0
    while received < 4 << 20:
        client.pump()
        received = max([0] + [ack["uploads"][0]["received"] for ack in job.texts("ack")])
    with restart(server, client) as client:
        view, answer = attach(client, job, outputs=[])
        there = answer["uploads"][0]["received"]
        assert answer["status"] == "uploading" and received <= there <= half
        with open(os.path.join(folder_of(server, job), "in-0"), "rb") as file:
            assert file.read() == data[:there]
        client.upload(view, data, offset=there)
        client.finish(view).completed()
        fresh = client.run("remove_audio", data)
        assert fresh.completed()["outputs"][0]["sha256"] == view.last["outputs"][0]["sha256"]


def test_the_end_of_an_upload_is_kept(server, small):
    """Nobody had said how long it is; its end was acknowledged, so it is over."""
    client = Client(server.port)
    job = client.start("pair", [None, len(small)], detach=True)
    client.upload(job, small)
    while not any("size" in ack["uploads"][0] for ack in job.texts("ack")):
        client.pump()
    with restart(server, client) as client:
        view, answer = attach(client, job, outputs=[])
        assert answer["uploads"][0] == {"input": 0, "received": len(small), "size": len(small)}
        assert answer["uploads"][1]["received"] == 0
        client.upload(view, small, number=1)
        client.finish(view).completed()


def test_an_earlier_jobs_output_stays_an_input(server, small):
    client = Client(server.port)
    source = client.run("remove_audio", small)
    source.completed()
    answer = client.request({"type": "start_job", "operation": "pair", "detach": True, "inputs": [
        {"kind": "job", "job_id": source.id, "output": 0}, {"kind": "upload"}]})
    job = client.jobs[answer["job_id"]]
    assert client.request({"type": "delete_job", "job_id": source.id})["type"] == "ack"
    with restart(server, client) as client:
        view, _ = attach(client, job, outputs=[])
        client.upload(view, small, number=1)
        result = client.finish(view).completed()["result"]
        assert result == pytest.approx([3, 3], abs=0.1)


def test_what_ran_runs_again_three_times_and_what_waited_waits(server, clips):
    data = clips("long.mp4")
    client = Client(server.port)
    jobs = []
    for number in range(3):
        job = client.start("compress", [len(data)], LONG, detach=True)
        client.upload(job, data)
        jobs.append(job)
        if number == 0:
            await_work(server, job)
        else:  # the slot is taken: its first look at the file ends with a deferral
            wait_until(lambda j=job: state_of(client, j)["status"] == "queued", 30, "deferred")
    time.sleep(0.3)  # the journal hears of it
    stray = jobs[0]
    for attempt in 2, 3:
        with open(os.path.join(folder_of(server, stray), "out-7"), "w") as file:
            file.write("of an attempt that is dead")
        client = restart(server, client)
        first, answer = attach(client, jobs[0])
        assert answer["attempt"] in (attempt - 1, attempt)
        client.wait_for(first, "processing")
        assert first.messages[-1]["attempt"] == attempt
        assert not os.path.exists(os.path.join(folder_of(server, stray), "out-7"))
        jobs[0] = first
        for number in 1, 2:
            view, answer = attach(client, jobs[number])
            assert (answer["status"], answer["attempt"]) == ("queued", 1)
            assert answer["position"] == number - 1
            jobs[number] = view
    client = restart(server, client)
    view, _ = attach(client, jobs[0])
    client.finish(view)
    assert view.failed("interrupted")["retryable"] is True
    server.wait_gone(view.id)
    for job in jobs[1:]:
        assert client.request({"type": "cancel_job", "job_id": job.id})["type"] == "ack"
        server.wait_gone(job.id)
    client.close()


def test_results_are_served_until_their_time_is_over(server, small):
    client = Client(server.port)
    heard = client.run("remove_audio", small)
    told = heard.completed()
    unheard = client.start("thumbnail", [len(small)], {"count": 2}, detach=True)
    client.upload(unheard, small)
    wait_until(lambda: state_of(client, unheard)["status"] == "completed" or client.pump(0),
               30, "completed")
    junk = os.path.join(folder_of(server, heard), "half-written")
    with open(junk, "w") as file:
        file.write("by nobody that lives")
    os.makedirs(os.path.join(server.data, "jobs", "0123456789abcdef" * 2))
    with restart(server, client) as client:
        assert not os.path.exists(junk)
        assert not os.path.exists(os.path.join(server.data, "jobs", "0123456789abcdef" * 2))
        answer = client.request({"type": "attach", "job_id": heard.id, "outputs": []})
        assert answer["status"] == "completed"
        view = client.finish(client.jobs[heard.id])
        assert {**view.completed(), "seq": 0} == {**told, "seq": 0}
        assert view.texts("progress")[-1]["percent"] == 100
        output = ask(server.port, told["outputs"][0]["url"])
        assert output.status == 200
        assert hashlib.sha256(output.body).hexdigest() == told["outputs"][0]["sha256"]
        client.request({"type": "attach", "job_id": unheard.id, "outputs": []})
        assert len(client.finish(client.jobs[unheard.id]).completed()["outputs"]) == 2
        document = state_of(client, heard)
        assert document["status"] == "completed" and document["attempt"] == 1
    with restart(server, client, LUMA_RESULT_TTL="1ms") as client:
        server.wait_gone(heard.id)
        server.wait_gone(unheard.id)
        assert state_of(client, heard)["status"] == "completed"
    with restart(server, client, LUMA_RECORD_TTL="1ms") as client:
        wait_until(lambda: client.request({"type": "get_job", "job_id": heard.id})["type"]
                   == "error", 10, "forgotten")
        client.error({"type": "attach", "job_id": unheard.id}, "job_not_found")
    restart(server, client, LUMA_RESULT_TTL="1h", LUMA_RECORD_TTL="24h").close()


def test_a_delivery_goes_on_where_it_was(server, clips):
    data = clips("big.mp4")
    client = Client(server.port, receive_buffer=64 * 1024)
    job = client.start("remove_audio", [len(data)])
    client.upload(job, data)
    while not job.outputs:
        client.pump()
    time.sleep(0.3)  # the rest fills what buffers there are
    part = job.outputs[0]
    had = bytes(part["data"])
    attempt = job.attempt
    with restart(server, client) as client:
        view = Job({"job_id": job.id, "status": "running", "attempt": 1})
        view.seq = job.seq
        client.jobs[job.id] = view
        view.outputs[0] = {"name": part["name"], "data": bytearray(had), "last": False}
        answer = client.request({"type": "attach", "job_id": job.id, "outputs": [
            {"output": 0, "received": len(had), "attempt": attempt}]})
        if answer["status"] != "completed":  # it was killed before its end: all over again
            view.outputs.clear()
        client.finish(view).completed()


def test_who_doesnt_come_back_is_waited_for_once_more(server, small):
    client = Client(server.port)
    alone = client.start("probe", [len(small)])
    detached = client.start("probe", [len(small)], detach=True)
    with restart(server, client, LUMA_RECONNECT_GRACE="500ms") as client:
        wait_until(lambda: state_of(client, alone)["status"] == "cancelled", 10, "cancelled")
        assert state_of(client, alone)["error"]["code"] == "cancelled"
        server.wait_gone(alone.id)
        assert state_of(client, detached)["status"] == "uploading"
        assert client.request({"type": "delete_job", "job_id": detached.id})["type"] == "ack"
    with restart(server, client, LUMA_RECONNECT_GRACE="30s") as client:
        client.error({"type": "get_job", "job_id": detached.id}, "job_not_found")


def test_a_url_is_fetched_anew(server, small):
    origin = Origin({"blob": bytes(3000), "small.mp4": small})
    client = Client(server.port)
    answer = client.request({"type": "start_job", "operation": "pair", "detach": True, "inputs": [
        {"kind": "url", "url": origin.url("file/small.mp4")},
        {"kind": "url", "url": origin.url("drip/blob")}]})
    job = client.jobs[answer["job_id"]]
    wait_until(lambda: os.path.exists(os.path.join(folder_of(server, job), "in-0")) and
               os.path.getsize(os.path.join(folder_of(server, job), "in-0")) == len(small) and
               len(origin.requests) == 2, 10, "one fetched, one under way")
    time.sleep(0.2)  # the journal hears of it
    origin.files["blob"] = b"no media"
    with restart(server, client) as client:
        view, _ = attach(client, job)
        client.finish(view).failed("unsupported_media", "corrupt_media")
    assert len(origin.requests) == 3  # what had come whole didn't come again
    origin.close()


def test_jobs_stay_their_callers(binary, tmp_path_factory, small):
    tokens = {"headers": [("Authorization", "Bearer a-token-of-alice")]}
    server = Server(binary, tmp_path_factory.mktemp("server"),
                    LUMA_TOKENS="alice:a-token-of-alice,bob:a-token-of-bob")
    client = Client(server.port, **tokens)
    done, waiting = client.run("probe", small), client.start("probe", [len(small)])
    crash(server, client)
    server.restart()
    with Client(server.port, **tokens) as alice, \
            Client(server.port, headers=[("Authorization", "Bearer a-token-of-bob")]) as bob:
        for job in done, waiting:
            bob.error({"type": "attach", "job_id": job.id}, "job_not_found")
        listed = alice.request({"type": "list_jobs"})["jobs"]
        assert [job["job_id"] for job in listed] == [waiting.id, done.id]
        assert bob.request({"type": "list_jobs"})["jobs"] == []
        view, _ = attach(alice, waiting, outputs=[])
        alice.upload(view, small)
        alice.finish(view).completed()
    server.stop()


def test_a_worker_that_lives_on_is_waited_for(server, clips):
    """It holds its job's folder; here somebody else does so in its place, for longer."""
    data = clips("long.mp4")
    client = Client(server.port)
    job = client.start("compress", [len(data)], LONG, detach=True)
    client.upload(job, data)
    await_work(server, job)
    held = os.open(folder_of(server, job), os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(held, fcntl.LOCK_SH)
    crash(server, client)
    with pytest.raises(AssertionError, match="did not start"):
        server.start()
    assert f"a worker of an earlier lumad still holds job {job.id}" in server.log()
    starting = threading.Thread(target=server.start)
    starting.start()
    time.sleep(1)
    os.close(held)
    starting.join(30)
    with Client(server.port) as client:
        view, _ = attach(client, job)
        client.wait_for(view, "processing")
        assert view.messages[-1]["attempt"] == 2
        assert client.request({"type": "delete_job", "job_id": job.id})["type"] == "ack"
        server.wait_gone(job.id)


def test_a_stop_leaves_what_waits_to_the_next_start(server, small, clips):
    data = clips("long.mp4")
    client = Client(server.port)
    half = client.start("remove_audio", [len(small)])
    upload_part(client, half, small[:1000])
    running = client.start("compress", [len(data)], LONG)
    client.upload(running, data)
    await_work(server, running)
    other = Client(server.port)
    idle = other.start("probe", [len(small)])
    server.process.send_signal(signal.SIGTERM)
    assert other.await_close() == 1001
    with pytest.raises(Closed) as closed:
        while True:
            client.pump()
    assert closed.value.code == 1001
    assert [m["type"] for m in client.others] == ["draining"]
    assert half.last is None and running.last is None and idle.last is None
    server.process.wait(30)
    client.close()
    other.close()
    server.start()
    with Client(server.port) as client:
        view, answer = attach(client, half, outputs=[])
        assert answer["uploads"][0]["received"] == 1000
        client.upload(view, small, offset=1000)
        client.finish(view).completed()
        view, _ = attach(client, idle, outputs=[])
        client.upload(view, small)
        assert client.finish(view).completed()["attempt"] == 1
        view, _ = attach(client, running)
        client.wait_for(view, "processing")
        assert view.messages[-1]["attempt"] == 2
        client.request({"type": "delete_job", "job_id": running.id})


@pytest.mark.parametrize("content, says", [
    (b"These are not the records that you are looking for. " * 100, "is not a journal"),
    (None, "is damaged")], ids=["foreign", "damaged"])
def test_a_journal_that_cant_be_used_stops_the_start(binary, tmp_path_factory, content, says):
    server = Server(binary, tmp_path_factory.mktemp("server"))
    server.stop()
    path = os.path.join(server.data, "journal.db")
    with open(path, "r+b") as file:
        if content:
            file.write(content)
        else:
            file.seek(4096)
            file.write(b"x" * (os.path.getsize(path) - 4096))
    done = subprocess.run([binary], env=server.environment, cwd=server.work, capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "start_failed" in done.stdout + done.stderr and says in done.stdout + done.stderr
