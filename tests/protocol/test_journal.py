"""A journal that can't be written, or not be read, while the server runs."""

import os
import sqlite3

from http_client import ask
from lumad import wait_until
from wire import Client


def change(server, *statements):
    with sqlite3.connect(os.path.join(server.data, "journal.db"), timeout=20) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def start(size, **more):
    return {"type": "start_job", "operation": "remove_audio",
            "inputs": [{"kind": "upload", "size": size}], **more}


def test_a_record_that_cant_be_read_is_not_one_that_isnt_there(own_server, small):
    server = own_server()
    with Client(server.port) as client:
        answer = client.request(start(len(small), job_key="holiday"))
        job = client.jobs[answer["job_id"]]
        client.upload(job, small)
        url = client.finish(job).completed()["outputs"][0]["url"]
        sound = client.run("remove_audio", small)
    server.crash()
    # JSON, but no number that a program could hold.
    change(server, "UPDATE jobs SET record = '{\"huge\":1e999,' || substr(record, 2)"
                   f" WHERE id = '{job.id}'")
    server.start()
    with Client(server.port) as client:
        for kind in ("get_job", "attach", "cancel_job", "delete_job"):
            client.error({"type": kind, "job_id": job.id}, "internal")
        client.error({"type": "fetch", "job_id": job.id, "output": 0}, "internal")
        client.error(start(len(small), job_key="holiday"), "internal")
        client.error({"type": "start_job", "operation": "probe",
                      "inputs": [{"kind": "job", "job_id": job.id, "output": 0}]}, "internal")
        assert ask(server.port, url).status == 500
        client.error({"type": "get_job", "job_id": "f" * 32}, "job_not_found")
        assert client.request({"type": "get_job", "job_id": sound.id})["type"] == "job"
        client.run("remove_audio", small, job_key="another").completed()
    assert "event=record_unreadable" in server.log()
    assert server.files_of(job.id), "what can't be judged is left alone"


def test_nothing_is_acknowledged_that_cant_be_written(own_server, small):
    server = own_server()
    with Client(server.port) as first, Client(server.port) as second:
        first.run("probe", small).completed()
        change(server, "CREATE TRIGGER refuse BEFORE INSERT ON jobs"
                       " BEGIN SELECT RAISE(ABORT, 'no'); END")
        first.answers["late"] = None
        first.send_json({**start(len(small)), "request_id": "late"})
        wait_until(lambda: "event=journal_failed" in server.log(), 20, "told in the log")
        assert second.error(start(len(small)), "internal")["retryable"] is True
        second.ping()
        while first.pump(0.3):
            pass
        assert first.answers["late"] is None
        change(server, "DROP TRIGGER refuse")
        wait_until(lambda: first.pump(0.1) and first.answers["late"], 20, "acknowledged")
        job = first.jobs[first.answers["late"]["job_id"]]
        first.upload(job, small)
        first.finish(job).completed()
        second.run("remove_audio", small).completed()
    assert "event=journal_recovered" in server.log()
