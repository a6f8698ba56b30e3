"""Jobs from their start to their last word: each operation, what its messages say, and that the
bytes that arrive are the media that they should be."""

import json
import subprocess
import threading

import pytest

from wire import KINDS, Client


def probe(data, folder):
    """ffprobe's view of some bytes."""
    path = folder / "output"
    path.write_bytes(data)
    text = subprocess.run(["ffprobe", "-v", "error", "-show_format", "-show_streams",
                           "-of", "json", str(path)], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(text)


def kinds(probed):
    return sorted((s["codec_type"], s["codec_name"]) for s in probed["streams"])


def frames(data, folder):
    """MD5 of every decoded frame of the first video stream."""
    path = folder / "output"
    path.write_bytes(data)
    text = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-f",
                           "framemd5", "-"], check=True, stdout=subprocess.PIPE).stdout.decode()
    return [line.split(",")[-1] for line in text.splitlines() if not line.startswith("#")]


def test_remove_audio(client, small, tmp_path):
    job = client.run("remove_audio", small)
    last = job.completed()
    assert kinds(probe(job.outputs[0]["data"], tmp_path)) == [("video", "h264")]
    assert frames(job.outputs[0]["data"], tmp_path) == frames(small, tmp_path)
    assert last["outputs"][0]["mime"] == "video/mp4"
    assert last["outputs"][0]["name"].endswith(".mp4")
    assert last["notes"], "what was copied is told"


def test_compress(client, small, tmp_path):
    job = client.run("compress", small, {"preset": "custom", "crf": 40})
    job.completed()
    probed = probe(job.outputs[0]["data"], tmp_path)
    assert [kind for kind, _ in kinds(probed)] == ["audio", "video"]
    assert abs(float(probed["format"]["duration"]) - 3) < 0.15
    assert len(frames(job.outputs[0]["data"], tmp_path)) == 30


def test_subtitles(client, small, tmp_path):
    """Drawn in a worker, with its clean environment: fonts and charsets are found there."""
    text = "1\n00:00:01,000 --> 00:00:02,000\nСъешь ещё этих мягких булок\n\n".encode("cp1251")
    pictures = {}
    for name, data in (("with", text), ("without", text.replace(b"00:00:0", b"00:10:0"))):
        job = client.start("subtitles", [len(small), len(data)],
                           {"action": "burn", "encoder_preset": "ultrafast", "crf": 0})
        client.upload(job, small)
        client.upload(job, data, number=1)
        client.finish(job).completed()
        pictures[name] = frames(job.outputs[0]["data"], tmp_path)
    changed = [n for n, (a, b) in enumerate(zip(pictures["with"], pictures["without"])) if a != b]
    assert changed == list(range(10, 20))


@pytest.mark.parametrize("preset", ["low", "medium", "high"])
def test_compress_never_enlarges(client, small, preset):
    job = client.run("compress", small, {"preset": preset})
    job.completed()
    assert len(job.outputs[0]["data"]) <= len(small) * 1.01


def test_convert(client, small, tmp_path):
    job = client.run("convert", small, {"format": "mkv"})
    last = job.completed()
    probed = probe(job.outputs[0]["data"], tmp_path)
    assert "matroska" in probed["format"]["format_name"]
    assert kinds(probed) == [("audio", "aac"), ("video", "h264")]
    assert frames(job.outputs[0]["data"], tmp_path) == frames(small, tmp_path)
    assert last["outputs"][0]["name"] == "input-0.mkv"


def test_thumbnail(client, small, tmp_path):
    job = client.run("thumbnail", small, {"count": 3, "width": 80, "format": "png"})
    assert len(job.completed()["outputs"]) == 3
    assert len({output["name"] for output in job.outputs.values()}) == 3
    for output in job.outputs.values():
        assert output["data"][:8] == b"\x89PNG\r\n\x1a\n"
        (stream,) = probe(output["data"], tmp_path)["streams"]
        assert (stream["width"], stream["height"]) == (80, 60)


def test_extract_audio(client, small, tmp_path):
    job = client.run("extract_audio", small, {"format": "mp3"})
    job.completed()
    probed = probe(job.outputs[0]["data"], tmp_path)
    assert kinds(probed) == [("audio", "mp3")]
    assert abs(float(probed["format"]["duration"]) - 3) < 0.2


def test_probe(client, small):
    job = client.run("probe", small)
    last = job.completed()
    assert last["outputs"] == [] and job.outputs == {}
    result = last["result"]
    assert {stream["codec"] for stream in result["streams"]} == {"h264", "aac"}
    assert abs(result["duration"] - 3) < 0.1


def test_an_operation_that_needs_a_picture_says_so(client, clips):
    client.run("thumbnail", clips("sound.flac"), {"count": 1}).failed("no_such_stream")
    client.run("remove_audio", clips("sound.flac")).failed("no_such_stream")


def test_what_completed_says(client, small):
    metadata = {"album": 7, "nested": {"list": [1, None, "\u00e9"]}}
    job = client.run("remove_audio", small, metadata=metadata)
    last = job.completed()
    assert last["metadata"] == metadata and last["attempt"] == 1
    assert last["result"] is None and isinstance(last["notes"], list)
    for name in ("queued_s", "run_s", "total_s", "cpu_s", "peak_memory_bytes"):
        assert isinstance(last["stats"][name], KINDS) and last["stats"][name] >= 0, name
    assert last["stats"]["total_s"] >= last["stats"]["run_s"]
    (output,) = last["outputs"]
    assert output["url"].split("?")[0].startswith(f"/jobs/{job.id}/outputs/0")
    assert len(output["sha256"]) == 64
    assert output["media"]["duration"] == pytest.approx(3, abs=0.15)


def test_what_progress_says(client, clips):
    job = client.run("compress", clips("long.mp4"), {"preset": "custom", "crf": 45,
                                                     "encoder_preset": "ultrafast"})
    job.completed()
    reports = job.texts("progress")
    working = [m for m in reports if m["stage"] == "processing" and m.get("percent")]
    assert working, [m["stage"] for m in reports]
    for message in reports:
        assert {"job_id", "seq", "attempt", "stage", "percent"} <= set(message)
    for message in working:
        assert message["duration"] == pytest.approx(60, abs=1)
        assert 0 <= message["time"] <= 61
        assert isinstance(message["speed"], (*KINDS, type(None)))
        assert isinstance(message["eta"], (*KINDS, type(None)))


def test_the_ack_echoes_the_request(client, small):
    client.answers["mine"] = None
    client.send_json({"type": "start_job", "request_id": "mine", "operation": "probe",
                      "input": {"kind": "upload", "size": len(small)}})
    while (answer := client.answers["mine"]) is None:
        assert client.pump()
    assert answer["type"] == "ack" and answer["request_id"] == "mine"
    job = client.jobs[answer["job_id"]]
    client.upload(job, small)
    client.finish(job).completed()


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b\\c.mp4",
                                  "line\nbreak\x7f.mp4", "\u00fcml\u00e4ut \U0001f600.mp4",
                                  "x" * 1000 + ".mp4", "con.mp4:stream", "-rf.mp4", "%s%n.mp4"])
def test_names_are_labels(client, server, small, name):
    answer = client.request({"type": "start_job", "operation": "remove_audio",
                             "inputs": [{"kind": "upload", "name": name, "size": len(small)}]})
    if answer["type"] == "error":
        assert answer["code"] in ("invalid_message", "invalid_input")
        return
    job = client.jobs[answer["job_id"]]
    client.upload(job, small)
    client.finish(job).completed()
    made = job.outputs[0]["name"]
    assert made and "/" not in made and "\0" not in made and "\n" not in made
    assert made not in (".", "..") and len(made.encode()) <= 255


def test_pull_sends_nothing(client, small):
    job = client.start("remove_audio", [len(small)], delivery="pull")
    client.upload(job, small)
    client.finish(job)
    assert job.last["type"] == "completed" and job.outputs == {}
    assert len(job.last["outputs"]) == 1


def test_two_jobs_at_once_on_a_connection(client, small, clips):
    slow = client.start("compress", [len(clips("long.mp4"))],
                        {"preset": "custom", "crf": 45, "encoder_preset": "ultrafast"})
    client.upload(slow, clips("long.mp4"))
    quick = client.run("remove_audio", small)
    quick.completed()
    client.finish(slow).completed()


def test_many_jobs_at_once_on_a_connection(client, small):
    jobs = [client.start(*kind) for kind in [
        ("probe", [len(small)]), ("remove_audio", [len(small)]),
        ("thumbnail", [len(small)], {"count": 2}), ("convert", [len(small)], {"format": "mkv"}),
        ("extract_audio", [len(small)], {"format": "wav"})] * 3]
    for job in jobs:
        client.upload(job, small)
    for job in jobs:
        client.finish(job).completed()
    assert len({job.id for job in jobs}) == len(jobs)


def test_jobs_of_several_connections_at_once(server, small):
    failures = []

    def work():
        try:
            with Client(server.port) as mine:
                for _ in range(3):
                    mine.run("remove_audio", small).completed()
        except Exception as error:  # shown by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_failed_job_disturbs_no_other(client, small):
    good = client.start("remove_audio", [len(small)])
    client.run("remove_audio", b"this is not a film" * 1000).failed(
        "unsupported_media", "corrupt_media")
    client.upload(good, small)
    client.finish(good).completed()


def test_an_option_that_only_the_media_can_refuse(client, small):
    client.run("extract_audio", small, {"format": "mp3", "track": 7}).failed(
        "no_such_stream", "invalid_option")


@pytest.mark.parametrize("name", ["corrupt.mkv", "carriage-return.srt"])
def test_real_files_that_have_no_picture(client, real, name):
    client.run("thumbnail", real(name), {"count": 1}).failed(
        "unsupported_media", "corrupt_media", "no_such_stream")


@pytest.mark.parametrize("name", ["phone-rot180-vfr.mp4", "odd-161x121-vp9.webm",
                                  "hlg-hevc-10bit.mov", "mpeg2-mp2.ts",
                                  "nasa-2video-2audio-2subs.mp4"])
def test_real_files_over_the_wire(client, real, name, tmp_path):
    data = real(name)
    job = client.start("remove_audio", [len(data)])
    client.upload(job, data)
    client.finish(job).completed()
    assert frames(job.outputs[0]["data"], tmp_path) == frames(data, tmp_path)
