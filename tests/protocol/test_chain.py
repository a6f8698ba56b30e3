"""Inputs that are outputs of earlier jobs."""

import hashlib

import pytest

from lumad import Server, wait_until
from wire import Client

ENDLESS = {"preset": "custom", "crf": 20, "encoder_preset": "veryslow"}
QUICK = {"preset": "custom", "crf": 45, "encoder_preset": "ultrafast"}


def start(operation, source, output=0, options=None, **more):
    return {"type": "start_job", "operation": operation, "options": options or {},
            "inputs": [{"kind": "job", "job_id": source, "output": output}], **more}


def chain(client, *arguments, **more):
    answer = client.request(start(*arguments, **more))
    assert answer["type"] == "ack", answer
    return client.jobs[answer["job_id"]]


def place(error):
    return error["details"]["path"]


def test_one_jobs_output_is_the_next_ones_input(client, server, small):
    source = client.run("remove_audio", small)
    made = source.completed()["outputs"][0]
    job = chain(client, "remove_audio", source.id)
    assert job.ack["uploads"] == []
    told = client.finish(job).completed()["outputs"][0]
    # nothing to remove any more: the same bytes
    assert told["sha256"] == made["sha256"] == hashlib.sha256(source.outputs[0]["data"]).hexdigest()
    assert told["name"] == made["name"]  # the input has the name that the output had
    document = client.request({"type": "get_job", "job_id": job.id})["job"]
    assert document["inputs"] == [{"kind": "job", "job_id": source.id, "output": 0}]

    # a picture out of several
    pictures = client.run("thumbnail", small, {"count": 3}).last["job_id"]
    media = client.finish(chain(client, "probe", pictures, 2)).completed()["result"]
    assert media["streams"][0]["codec"] == "mjpeg"

    # the earlier job is none the worse for it
    answer = client.request({"type": "attach", "job_id": source.id})
    assert answer["status"] == "completed"


def test_what_cannot_be_chained(client, connect, small):
    source = client.run("remove_audio", small)
    error = client.error(start("probe", source.id, 1), "invalid_input")
    assert place(error) == "inputs[0].output"
    error = client.error(start("probe", "0" * 32), "job_not_found")
    assert place(error) == "inputs[0].job_id"

    unfinished = client.start("remove_audio", [len(small)])
    error = client.error(start("probe", unfinished.id), "output_not_ready")
    assert place(error) == "inputs[0].job_id" and error["retryable"] is True
    client.request({"type": "cancel_job", "job_id": unfinished.id})
    client.error(start("probe", unfinished.id), "invalid_input")

    # without tokens, whoever knows the id may take it
    other = connect()
    other.finish(chain(other, "probe", source.id)).completed()

    # nobody sends what is there already
    job = chain(client, "probe", source.id)
    client.send_upload(job, small)
    client.finish(job).completed()
    client.request({"type": "delete_job", "job_id": source.id})
    client.error(start("probe", source.id), "job_not_found")


def test_a_repeated_request_is_recognised(client, small):
    source = client.run("remove_audio", small)
    first = chain(client, "probe", source.id, job_key="chained")
    client.finish(first).completed()
    client.request({"type": "delete_job", "job_id": source.id})
    client.error(start("probe", source.id, 1, job_key="chained"), "job_key_conflict")
    again = client.request(start("probe", source.id, job_key="chained"))
    assert again["duplicate"] is True and again["job_id"] == first.id


@pytest.mark.parametrize("way", ["deleted", "expired"])
def test_the_earlier_job_goes_while_the_next_one_waits(own_server, clips, way):
    server = own_server(LUMA_WORKERS=1, **({"LUMA_RESULT_TTL": 1} if way == "expired" else {}))
    film = clips("long.mp4")
    with Client(server.port) as client:
        endless = client.start("compress", [len(film)], ENDLESS)
        client.upload(endless, film)
        client.wait_for(endless, "processing")
        source = client.run("remove_audio", film)
        job = chain(client, "compress", source.id, options=QUICK)
        client.wait_for(job, "queued")
        if way == "deleted":
            client.request({"type": "delete_job", "job_id": source.id})
        server.wait_gone(source.id)
        client.error(start("probe", source.id), "job_not_found")
        client.request({"type": "cancel_job", "job_id": endless.id})
        last = client.finish(job).completed()
        assert abs(last["outputs"][0]["media"]["duration"] - 60) < 0.5


def test_others_outputs_are_not_there(binary, tmp_path_factory, small):
    server = Server(binary, tmp_path_factory.mktemp("server"),
                    LUMA_TOKENS="ann:first-secret,ben:second-secret")

    def come(token):
        return Client(server.port, headers=[("Authorization", f"Bearer {token}")])

    with come("first-secret") as ann, come("second-secret") as ben, come("first-secret") as again:
        source = ann.run("remove_audio", small)
        ben.error(start("probe", source.id), "job_not_found")
        again.finish(chain(again, "probe", source.id)).completed()
    wait_until(lambda: server.health()["jobs"]["active"] == 0, 10, "without jobs")
    server.stop()
