"""/metrics, /ready and the log: what an operator watches."""

import json
import re
import signal
import time

import pytest

from http_client import ask
from lumad import wait_until
from prometheus import Metrics
from wire import Client, Refused, WebSocket

SECRET = "a-very-secret-token"


def read(server):
    answer = ask(server.health_port, "/metrics")
    assert answer.status == 200
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.body.decode())


def test_the_text_is_strict(server, client, small):
    client.run("probe", small).completed()
    metrics = read(server)
    assert all(name.startswith("luma_") for name in metrics.types)
    assert set(metrics.types) == set(metrics.help)
    for name in metrics.types:  # base units
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|kilobytes|percent)\b", name)
    assert not any(re.search(r"[0-9a-f]{32}|127\.0\.0\.1", value)
                   for _, labels in metrics.samples for _, value in labels)


def test_counters_move_as_jobs_run(own_server, small):
    server = own_server(LUMA_TOKENS=f"ann:{SECRET}", LUMA_LOG_FORMAT="json",
                        LUMA_LOG_LEVEL="debug")
    before = read(server)
    assert before.total("luma_jobs_accepted_total") == 0
    with Client(server.port, headers=[("Authorization", f"Bearer {SECRET}")]) as client:
        job = client.run("remove_audio", small)
        told = job.completed()["outputs"][0]
        client.run("remove_audio", b"no media" * 50).failed("unsupported_media", "corrupt_media")
        waiting = client.start("probe", [100])
        client.error({"type": "start_job", "operation": "nope", "inputs": []}, "unknown_operation")
        client.error({"type": "get_job", "job_id": "0" * 32}, "job_not_found")
        during = read(server)
        assert during.get("luma_jobs", state="uploading") == 1
        assert during.get("luma_connections") == 1
        client.request({"type": "cancel_job", "job_id": waiting.id})
        client.finish(waiting).failed("cancelled")
        assert ask(server.port, told["url"]).status == 200
    with pytest.raises(Refused):
        WebSocket(server.port, headers=[("Authorization", "Bearer wrong")])
    server.wait_idle()
    after = read(server)
    assert after.get("luma_jobs_accepted_total", operation="remove_audio") == 2
    assert after.get("luma_jobs_accepted_total", operation="probe") == 1
    for operation, outcome in (("remove_audio", "completed"), ("remove_audio", "failed"),
                               ("probe", "cancelled")):
        labels = {"operation": operation, "outcome": outcome}
        assert after.get("luma_jobs_ended_total", **labels) == 1
        ran = outcome != "cancelled"  # it was never started
        assert after.get("luma_job_run_seconds_count", **labels) == ran
        assert (after.get("luma_job_run_seconds_sum", **labels) > 0) == ran
    assert after.get("luma_job_start_delay_seconds_count", lane="light") == 2
    assert after.get("luma_job_cpu_seconds_total", operation="remove_audio") > 0
    assert after.get("luma_input_bytes_total", source="upload") == len(small) + 8 * 50
    assert after.get("luma_output_bytes_total", channel="websocket") == told["size"]
    assert after.get("luma_output_bytes_total", channel="http") == told["size"]
    for reason in ("unknown_operation", "job_not_found", "token"):
        assert after.get("luma_rejected_total", reason=reason) == 1, reason
    assert after.get("luma_connections_total") == 1 and after.get("luma_connections") == 0
    assert after.total("luma_jobs") == after.total("luma_queue_length") == 0
    assert after.total("luma_workers") == 0 and after.get("luma_template_up") == 1
    for name in ("luma_disk_free_bytes", "luma_disk_size_bytes", "luma_start_time_seconds",
                 "luma_process_resident_memory_bytes", "luma_process_cpu_seconds_total",
                 "luma_process_open_fds", "luma_process_max_fds", "luma_process_threads",
                 "luma_event_loop_lag_seconds_count"):
        assert after.get(name) > 0, name
    assert after.total("luma_build_info") == 1 and after.get("luma_ready") == 1
    assert abs(after.get("luma_start_time_seconds") - time.time()) < 120
    check_the_log(server, job)


def check_the_log(server, job):
    """Every line is a JSON object; each job has one event at its end, that says everything."""
    server.stop()
    events = [json.loads(line) for line in server.log().splitlines()]
    for event in events:
        assert {"event", "level", "time"} <= set(event)
        assert all(isinstance(value, (str, int, float, type(None))) for value in event.values())
    ended = [event for event in events if event["event"] == "job_ended"]
    assert [event["state"] for event in ended].count("completed") == 1
    assert sorted(event["state"] for event in ended) == ["cancelled", "completed", "failed"]
    (event,) = [event for event in ended if event["job"] == job.id]
    assert event["operation"] == "remove_audio" and event["caller"] == "ann"
    assert event["attempt"] == 1 and event["inputs"] == 1 and event["outputs"] == 1
    assert event["input_bytes"] > 0 and event["output_bytes"] == job.last["outputs"][0]["size"]
    assert 0 <= event["queued_s"] <= event["total_s"] and 0 < event["run_s"] <= event["total_s"]
    assert event["cpu_s"] > 0 and event["peak_memory_bytes"] > 1_000_000
    assert "code" not in event
    (failed,) = [event for event in ended if event["state"] == "failed"]
    assert failed["code"] in ("unsupported_media", "corrupt_media")
    for secret in (SECRET, "signature", "input-0.mp4", server.folder, "outputs/0"):
        assert secret not in server.log(), secret


def test_ready_and_its_end(own_server, clips):
    server = own_server(LUMA_DRAIN_TIMEOUT="20s")
    wait_until(lambda: ask(server.health_port, "/ready").status == 200, 20, "ready")
    data = clips("long.mp4")
    with Client(server.port) as client:
        job = client.start("compress", [len(data)], {"preset": "custom", "crf": 20,
                                                     "encoder_preset": "veryslow"})
        client.upload(job, data)
        client.wait_for(job, "processing")
        running = read(server)
        assert running.get("luma_jobs", state="running") == 1
        assert running.get("luma_workers", state="running") == 1
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ask(server.health_port, "/ready").status == 503, 10, "draining")
        assert ask(server.health_port, "/ready").body == b"draining\n"
        assert ask(server.health_port, "/health").status == 200
        draining = read(server)
        assert draining.get("luma_draining") == 1 and draining.get("luma_ready") == 0
        client.request({"type": "cancel_job", "job_id": job.id})
        client.finish(job)
    server.stop()
    (event,) = re.findall(r"event=job_ended .*", server.log())
    assert f"job={job.id}" in event and "state=cancelled" in event and "code=cancelled" in event
    assert re.search(r"cpu_s=\d", event) and "attempt=1" in event


def test_the_health_ports_methods(server):
    for path in ("/health", "/ready", "/metrics"):
        head = ask(server.health_port, path, "HEAD")
        assert head.status == 200 and head.body == b"" and int(head["Content-Length"]) > 0
        for method in ("POST", "DELETE", "OPTIONS"):
            assert ask(server.health_port, path, method).status in (403, 405)
    assert ask(server.port, "/metrics").status == 404  # not for everybody
