"""Jobs that outlive their connection: attach, fetch, job_key, get_job, list_jobs, delete_job."""

import hashlib
import json
import struct
import time

import pytest

from lumad import wait_until
from wire import BINARY, CONTINUATION, PING, Client, Job

HEAVY = {"preset": "custom", "crf": 20, "encoder_preset": "veryslow"}


def attach(client, job, **more):
    """Attaches a connection to a job that another one started; its own view of the job."""
    request_id = "attach"
    view = Job({**job.ack})
    client.jobs[job.id] = view
    client.answers[request_id] = None
    client.send_json({"type": "attach", "request_id": request_id, "job_id": job.id, **more})
    while client.answers[request_id] is None:
        assert client.pump()
    answer = client.answers.pop(request_id)
    assert answer["type"] == "ack", answer
    return view, answer


def fetch(client, job_id, output, **more):
    """The bytes that `fetch` answers with."""
    client.send_json({"type": "fetch", "request_id": "f", "job_id": job_id, "output": output,
                      **more})
    data, start = bytearray(), more.get("offset", 0)
    while True:
        message = client.receive()
        assert message is not None, "no answer to fetch"
        if isinstance(message, str):
            message = json.loads(message)
            assert message["type"] == "progress", message
            continue
        (size,) = struct.unpack_from(">I", message)
        header = json.loads(message[4 : 4 + size])
        assert header["request_id"] == "f" and header["output"] == output
        assert header["offset"] == start + len(data)
        assert len(message) - 4 - size <= 512 * 1024
        data += message[4 + size :]
        if header.get("last"):
            return bytes(data)


def test_an_upload_goes_on_after_a_lost_connection(connect, small):
    """The server has not noticed yet that the first one is lost."""
    first, second = connect(), connect()
    job = first.start("remove_audio", [len(small)])
    first.send_upload(job, small[:7000])
    first.ping()
    view, answer = attach(second, job, outputs=[])
    assert answer["status"] == "uploading" and answer["attempt"] == 1
    received = answer["uploads"][0]["received"]
    assert received == 7000
    first.close()
    second.upload(view, small, offset=received)
    second.finish(view).completed()


def test_what_a_lost_connection_had_sent_comes_late(connect, small):
    """Its frames arrive between those of the connection that took its place, and in them."""
    first, second, half = connect(), connect(), len(small) // 2
    job = first.start("remove_audio", [len(small)])
    first.send_upload(job, small[:5000])
    first.ping()
    view, answer = attach(second, job, outputs=[])
    message = second.upload_message(view, small[5000:half], 5000)
    second.send_frame(BINARY, message[:3000], fin=False)
    second.send_frame(PING, b"between")
    wait_until(lambda: not second.pump(0.05) and hasattr(second, "pong"), 20, "read")
    first.send_upload(job, small[5000:9000], 5000)
    first.ping()
    second.send_frame(CONTINUATION, message[3000:])
    second.send_upload(view, small[half:], half, last=True)
    second.finish(view).completed()
    assert not view.texts("error") and not job.texts("error")
    assert view.outputs[0]["data"] == second.run("remove_audio", small).outputs[0]["data"]


def test_connections_that_come_and_go_while_the_disk_is_busy(server, clips):
    """Each begins where the input is by then, as often as the buffers are full."""
    data = clips("big.mp4")
    with Client(server.port) as last:
        job = last.start("remove_audio", [len(data)], delivery="pull")
        goers = [Client(server.port) for _ in range(8)]
        for offset in range(0, len(data) - (4 << 20), 1 << 20):
            for goer in goers:
                goer.send_upload(job, data[offset : offset + (1 << 20)], offset)
        view, answer = attach(last, job)
        last.upload(view, data, offset=answer["uploads"][0]["received"])
        told = last.finish(view).last
        for goer in goers:
            goer.close()
        assert told["type"] == "completed", told
        again = last.run("remove_audio", data, delivery="pull").last
        assert told["outputs"][0]["sha256"] == again["outputs"][0]["sha256"]


def test_an_attached_connection_gets_the_last_word_again(connect, small):
    first, second = connect(), connect()
    job = first.run("remove_audio", small)
    job.completed()
    first.close()
    view, answer = attach(second, job, outputs=[])
    assert answer["status"] == "completed"
    second.finish(view).completed()
    assert view.outputs[0]["data"] == job.outputs[0]["data"]
    assert view.last["seq"] >= job.last["seq"]


def test_without_outputs_nothing_is_pushed(connect, small):
    first, second = connect(), connect()
    job = first.run("remove_audio", small)
    view, _ = attach(second, job)
    second.finish(view)
    assert view.last["type"] == "completed" and view.outputs == {}


def test_results_that_have_expired_are_not_sent(own_server, small):
    server = own_server(LUMA_RESULT_TTL=1)
    with Client(server.port) as first, Client(server.port) as second:
        job = first.run("remove_audio", small)
        server.wait_gone(job.id)
        view, answer = attach(second, job, outputs=[])
        second.finish(view)
        assert answer["status"] == "completed" and view.last["type"] == "completed"
        (error,) = view.texts("error")
        assert error["code"] == "job_not_found" and view.outputs == {}
        second.error({"type": "fetch", "job_id": job.id, "output": 0}, "job_not_found")


def test_delivery_goes_on_where_it_stopped(connect, small):
    first, second = connect(), connect()
    job = first.run("remove_audio", small)
    job.completed()
    whole, half = job.outputs[0]["data"], len(job.outputs[0]["data"]) // 2
    view = Job(job.ack)
    view.outputs[0] = {"name": job.outputs[0]["name"], "data": bytearray(whole[:half]),
                       "last": False}
    second.jobs[job.id] = view
    answer = second.request({"type": "attach", "job_id": job.id, "outputs": [
        {"output": 0, "received": half, "attempt": 1}]})
    assert answer["type"] == "ack"
    second.finish(view).completed()


def test_delivery_moves_to_the_last_that_attached(connect, clips):
    first, second = connect(), connect()
    data = clips("long.mp4")
    job = first.start("compress", [len(data)],
                      {"preset": "custom", "crf": 45, "encoder_preset": "ultrafast"})
    first.upload(job, data)
    first.wait_for(job, "processing")
    view, _ = attach(second, job, outputs=[])
    second.finish(view).completed()
    first.ping()
    assert job.outputs == {}


def test_a_detached_job_runs_on(own_server, small, clips):
    server = own_server(LUMA_RECONNECT_GRACE=1)
    data = clips("long.mp4")
    with Client(server.port) as first:
        job = first.start("compress", [len(data)],
                          {"preset": "custom", "crf": 45, "encoder_preset": "veryfast"},
                          detach=True)
        first.upload(job, data)
        first.wait_for(job, "processing")
    time.sleep(2)
    with Client(server.port) as second:
        view, _ = attach(second, job, outputs=[])
        second.finish(view).completed()


def test_coming_back_within_the_grace(own_server, clips):
    server = own_server(LUMA_RECONNECT_GRACE=4)
    data = clips("long.mp4")
    with Client(server.port) as first:
        job = first.start("compress", [len(data)], HEAVY)
        first.upload(job, data)
        first.wait_for(job, "processing")
    time.sleep(1)
    with Client(server.port) as second:
        view, answer = attach(second, job, outputs=[])
        assert answer["status"] == "running"
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            second.pump(0.5)
        assert view.last is None
        second.request({"type": "cancel_job", "job_id": job.id})
        second.finish(view).failed("cancelled")


def test_fetch(client, small):
    job = client.start("remove_audio", [len(small)], delivery="pull")
    client.upload(job, small)
    told = client.finish(job).last["outputs"][0]
    data = fetch(client, job.id, 0)
    assert len(data) == told["size"] and hashlib.sha256(data).hexdigest() == told["sha256"]
    assert fetch(client, job.id, 0, offset=1000) == data[1000:]
    assert fetch(client, job.id, 0, offset=10, length=20) == data[10:30]
    assert fetch(client, job.id, 0, offset=told["size"]) == b""


def test_a_large_fetch_comes_in_pieces(client, clips):
    data = clips("big.mp4")
    job = client.start("remove_audio", [len(data)], delivery="pull")
    client.upload(job, data)
    told = client.finish(job).last["outputs"][0]
    assert hashlib.sha256(fetch(client, job.id, 0)).hexdigest() == told["sha256"]


def test_what_cannot_be_fetched(client, small):
    job = client.start("remove_audio", [len(small)])
    client.error({"type": "fetch", "job_id": job.id, "output": 0}, "output_not_ready")
    client.error({"type": "fetch", "job_id": "f" * 32, "output": 0}, "job_not_found")
    client.upload(job, small)
    client.finish(job).completed()
    client.error({"type": "fetch", "job_id": job.id, "output": 1}, "output_not_ready",
                 "invalid_message", "invalid_input")
    client.error({"type": "fetch", "job_id": job.id, "output": -1}, "invalid_message")
    client.error({"type": "fetch", "job_id": job.id, "output": 0, "offset": -1}, "invalid_message")


def test_a_job_key_makes_a_retry_safe(connect, small):
    first, second = connect(), connect()
    job = first.start("remove_audio", [len(small)], job_key="holiday")
    again = second.request({"type": "start_job", "operation": "remove_audio", "options": {},
                            "inputs": [{"kind": "upload", "name": "input-0.mp4",
                                        "size": len(small)}], "job_key": "holiday"})
    assert again["type"] == "ack" and again["duplicate"] is True and again["job_id"] == job.id
    view = second.jobs[job.id]
    second.upload(view, small)
    second.finish(view).completed()


def test_a_job_key_belongs_to_one_request(client, small):
    client.start("probe", [len(small)], job_key="mine")
    client.error({"type": "start_job", "operation": "probe", "job_key": "mine",
                  "inputs": [{"kind": "upload", "size": len(small) + 1}]}, "job_key_conflict")
    client.error({"type": "start_job", "operation": "remove_audio", "job_key": "mine",
                  "inputs": [{"kind": "upload", "size": len(small)}]}, "job_key_conflict")


def test_get_job(client, small):
    job = client.run("probe", small, metadata={"a": 1})
    record = client.request({"type": "get_job", "job_id": job.id})
    assert record["type"] == "job"
    text = json.dumps(record)
    assert job.id in text and '"completed"' in text and '"probe"' in text
    client.error({"type": "get_job", "job_id": "f" * 32}, "job_not_found")


def test_list_jobs_shows_this_connections_jobs(connect, small):
    client, other = connect(), connect()
    other.run("probe", small).completed()
    jobs = [client.run("probe", small) for _ in range(3)]
    answer = client.request({"type": "list_jobs"})
    assert answer["type"] == "jobs"
    listed = [entry.get("job_id") or entry.get("id") for entry in answer["jobs"]]
    assert listed == [job.id for job in reversed(jobs)]
    assert len(client.request({"type": "list_jobs", "limit": 2})["jobs"]) == 2
    assert client.request({"type": "list_jobs", "status": "failed"})["jobs"] == []


@pytest.mark.parametrize("stage", ["uploading", "running", "completed"])
def test_delete_job(client, server, small, clips, stage):
    if stage == "running":
        data = clips("long.mp4")
        job = client.start("compress", [len(data)], HEAVY)
        client.upload(job, data)
        client.wait_for(job, "processing")
    elif stage == "uploading":
        job = client.start("probe", [len(small)])
        client.send_upload(job, small[:100])
    else:
        job = client.run("remove_audio", small)
    answer = client.request({"type": "delete_job", "job_id": job.id})
    assert answer["type"] == "ack" and answer["job_id"] == job.id
    server.wait_gone(job.id)
    server.wait_idle()
    client.error({"type": "get_job", "job_id": job.id}, "job_not_found")
    client.error({"type": "delete_job", "job_id": job.id}, "job_not_found")
