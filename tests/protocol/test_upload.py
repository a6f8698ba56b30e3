"""Uploads: every size of frame and fragment, overlaps, gaps, limits, acknowledgements."""

import os
import struct
import time

import pytest

from wire import BINARY, Client, Closed

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def expected(server, small):
    """What remove_audio makes of the small clip when nothing special happens."""
    with Client(server.port) as client:
        job = client.run("remove_audio", small)
        job.completed()
        return bytes(job.outputs[0]["data"])


def check(client, job, expected):
    client.finish(job).completed()
    assert bytes(job.outputs[0]["data"]) == expected


@pytest.mark.parametrize("frame", [17, 1000, 4096, 65535, 65536, 256 * 1024, 1 << 20])
def test_any_frame_size(client, small, expected, frame):
    job = client.start("remove_audio", [len(small)])
    client.upload(job, small, frame=frame)
    check(client, job, expected)


def test_frames_of_changing_sizes(client, small, expected):
    job, offset, size = client.start("remove_audio", [len(small)]), 0, 1
    while offset < len(small):
        piece = small[offset : offset + size]
        client.send_upload(job, piece, offset, last=offset + len(piece) == len(small))
        offset, size = offset + len(piece), size * 3 % 10007
    check(client, job, expected)


def test_empty_frames_change_nothing(client, small, expected):
    job, half = client.start("remove_audio", [len(small)]), len(small) // 2
    client.send_upload(job, b"", 0)
    client.send_upload(job, small[:half], 0)
    client.send_upload(job, b"", half)
    client.send_upload(job, small[half:], half)
    client.send_upload(job, b"", len(small), last=True)
    check(client, job, expected)


@pytest.mark.parametrize("fragment", [1, 3, 1000, 65536])
def test_any_fragmentation(client, small, expected, fragment):
    data = small if fragment > 100 else None
    job = client.start("remove_audio", [len(small)])
    if data is None:  # the header and some of the payload in tiny pieces, the rest whole
        message = client.upload_message(job, small[:2000], 0)
        client.send_fragments(BINARY, [message[i : i + fragment]
                                       for i in range(0, len(message), fragment)])
        client.send_upload(job, small[2000:], 2000, last=True)
    else:
        message = client.upload_message(job, small, 0, last=True)
        client.send_fragments(BINARY, [message[i : i + fragment]
                                       for i in range(0, len(message), fragment)])
    check(client, job, expected)


def test_pings_and_empty_fragments_between(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    message = client.upload_message(job, small, 0, last=True)
    pieces = [b"", message[:2], b"", message[2:40], message[40:5000], b"", message[5000:], b""]
    client.send_fragments(BINARY, pieces, between=lambda n: client.send_frame(9, b"%d" % n),
                          key=b"\xa5\x5a\xff\x01")
    check(client, job, expected)


def test_a_message_that_dribbles_in(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    message = client.upload_message(job, small[:100], 0)
    frame = bytes([0x82, 0x80 | 126]) + struct.pack(">H", len(message)) + b"\0\0\0\0" + message
    for byte in frame:
        client.socket.sendall(bytes([byte]))
        time.sleep(0.0005)
    client.send_upload(job, small[100:], 100, last=True)
    check(client, job, expected)


def test_the_header_comes_long_before_its_payload(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    message = client.upload_message(job, small, 0, last=True)
    client.send_frame(BINARY, message[:90], fin=False)
    time.sleep(0.2)
    client.send_frame(0, message[90:], fin=True)
    check(client, job, expected)


def test_an_overlap_is_skipped(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    client.send_upload(job, small[:3000], 0)
    client.send_upload(job, b"\xff" * 1000, 1000)              # all of it is there already
    client.send_upload(job, b"\xff" * 2000 + small[3000:4000], 1000)  # its tail is new
    client.send_upload(job, small[4000:], 4000, last=True)
    check(client, job, expected)


def test_a_whole_upload_sent_twice(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    half = len(small) // 2
    client.send_upload(job, small[:half], 0)
    client.send_upload(job, small[:half], 0)
    client.send_upload(job, small, 0, last=True)
    check(client, job, expected)


def test_a_gap_is_told_and_the_job_lives_on(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    client.send_upload(job, small[:3000], 0)
    client.send_upload(job, small[5000:6000], 5000)
    client.ping()
    (error,) = job.texts("error")
    assert error["code"] == "upload_gap" and error["details"]["received"] == 3000
    assert not error.get("final")
    client.send_upload(job, small[3000:], 3000, last=True)
    check(client, job, expected)


def test_more_than_announced(client, small):
    job = client.start("remove_audio", [1000])
    client.send_upload(job, small[:1001], 0)
    client.finish(job).failed("upload_too_large")
    client.ping()


def test_more_than_announced_in_the_second_frame(client, small):
    job = client.start("remove_audio", [1000])
    client.send_upload(job, small[:600], 0)
    client.send_upload(job, small[600:1100], 600, last=True)
    client.finish(job).failed("upload_too_large")


def test_less_than_announced(client, small):
    job = client.start("remove_audio", [len(small) + 1])
    client.send_upload(job, small, 0, last=True)
    client.finish(job).failed("upload_incomplete")
    client.ping()


def test_without_a_size(client, small, expected):
    job = client.start("remove_audio", [None])
    client.send_upload(job, small[:5000], 0)
    client.send_upload(job, small[5000:], 5000, last=True)
    check(client, job, expected)


def test_the_size_ends_it_without_last(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    client.send_upload(job, small, 0)
    check(client, job, expected)


def test_the_ack_tells_what_is_there(client, small):
    job = client.start("remove_audio", [len(small)])
    assert job.ack["status"] == "uploading"
    (told,) = job.ack["uploads"]
    assert told["input"] == 0 and told["received"] == 0
    client.upload(job, small)
    client.finish(job).completed()
    acks = job.texts("ack")
    assert acks and acks[-1]["uploads"][0]["received"] == len(small)


def test_an_ack_at_least_every_8_mib(client):
    size = 20 * MIB
    job = client.start("probe", [size])
    for offset in range(0, size, 256 * 1024):
        client.send_upload(job, bytes(256 * 1024), offset, last=offset + 256 * 1024 == size)
    client.finish(job)
    received = [0] + [m["uploads"][0]["received"] for m in job.texts("ack")]
    assert received[-1] == size
    for before, after in zip(received, received[1:]):
        assert before <= after <= before + 8 * MIB + 256 * 1024


def test_a_message_of_64_mib(client):
    size = 64 * MIB
    job = client.start("probe", [size])
    head = client.upload_message(job, b"", 0, last=True)
    client.send_frame(BINARY, head + bytes(size))
    client.finish(job).failed("unsupported_media", "corrupt_media")


def test_a_message_over_the_limit(connect, client):
    other = connect()
    size = 64 * MIB + 8192
    job = other.start("probe", [size])
    try:
        other.send_frame(BINARY, other.upload_message(job, b"", 0, last=True) + bytes(size))
    except OSError:
        pass  # it need not wait for all of it
    try:
        assert other.await_close() in (1009, None)
    except Closed:
        pass
    client.ping()


def test_an_empty_input(client):
    answer = client.request({"type": "start_job", "operation": "probe",
                             "inputs": [{"kind": "upload", "size": 0}]})
    if answer["type"] == "error":
        assert answer["code"] in ("invalid_input", "invalid_message")
        return
    job = client.jobs[answer["job_id"]]
    client.send_upload(job, b"", 0, last=True)
    client.finish(job).failed("unsupported_media", "invalid_input", "corrupt_media")


def test_an_empty_input_without_a_size(client):
    job = client.start("probe", [None])
    client.send_upload(job, b"", 0, last=True)
    client.finish(job).failed("unsupported_media", "invalid_input", "corrupt_media")


def test_bytes_for_an_ended_job_are_dropped(client, small, expected):
    job = client.start("remove_audio", [len(small)])
    client.send_upload(job, small[:1000], 0)
    client.request({"type": "cancel_job", "job_id": job.id})
    client.finish(job).failed("cancelled")
    for offset in (1000, 0, 9000):
        client.send_upload(job, small[:1000], offset)
    client.ping()
    assert client.others == []
    client.run("remove_audio", small).completed()


def test_uploads_of_two_jobs_interleaved(client, small, expected):
    jobs = [client.start("remove_audio", [len(small)]) for _ in range(2)]
    for offset in range(0, len(small), 1000):
        for job in jobs:
            piece = small[offset : offset + 1000]
            client.send_upload(job, piece, offset, last=offset + len(piece) == len(small))
    for job in jobs:
        check(client, job, expected)


def test_another_callers_job_takes_no_bytes(own_server, small, expected):
    server = own_server(LUMA_TOKENS="ann:first-secret,ben:second-secret")
    owner, stranger = (Client(server.port, headers=[("Authorization", f"Bearer {token}")])
                       for token in ("first-secret", "second-secret"))
    with owner, stranger:
        job = owner.start("remove_audio", [len(small)])
        owner.send_upload(job, small[:1000], 0)
        owner.ping()
        stranger.send_upload(job, b"\xff" * 1000, 1000)
        stranger.ping()
        stranger.error({"type": "cancel_job", "job_id": job.id}, "job_not_found")
        owner.send_upload(job, small[1000:], 1000, last=True)
        check(owner, job, expected)


def test_the_largest_upload_is_bounded(own_server, small):
    server = own_server(LUMA_MAX_UPLOAD=20000)
    with Client(server.port) as client:
        client.error({"type": "start_job", "operation": "probe",
                      "inputs": [{"kind": "upload", "size": 20001}]},
                     "upload_too_large", "invalid_input")
        job = client.start("probe", [None])
        client.upload(job, small, frame=5000)
        client.finish(job).failed("upload_too_large")
        server.wait_gone(job.id)
        client.ping()


def test_an_upload_that_stops(own_server, small):
    server = own_server(LUMA_UPLOAD_TIMEOUT=1)
    with Client(server.port) as client:
        job = client.start("probe", [len(small)])
        client.send_upload(job, small[:1000], 0)
        error = client.finish(job).failed("upload_timeout")
        assert error["retryable"] is True
        server.wait_gone(job.id)
        client.ping()


def test_random_bytes_are_not_media(client):
    for size in (1, 100, 100_000):
        client.run("remove_audio", os.urandom(size)).failed(
            "unsupported_media", "corrupt_media", "no_such_stream")
