"""Messages that break the rules: each gets its error, and the connection its chance."""

import json
import struct

import pytest

from wire import BINARY, TEXT, assert_sentence

NOT_JSON = ["", " ", "{", "}", '{"type":"ping"', "{'type':'ping'}", '{"type":"ping",}', "ping",
            '{"type":"ping"} {"type":"ping"}', '{"type":"ping"}x', '\ufeff{"type":"ping"}',
            '{"type":"ping","data":NaN}', '{"type":"ping","data":01}', '{"type":"ping" "data":1}']
NOT_ALLOWED = ['{"type":"ping","type":"ping"}', '{"type":"ping","data":{"a":1,"a":2}}',
               '{"type":"ping","data":"a\\u0000b"}', '{"type":"ping","data":"\x00"}',
               '{"type":"ping","data":' + "[" * 40 + "]" * 40 + "}",
               '{"type":"ping","data":' + "[" * 5000 + "]" * 5000 + "}",
               '{"type":"ping","\\u0000":1}', '{"type":"ping","data":"\\ud800"}']
NOT_OBJECTS = ["[]", "1", "null", "true", '"ping"', '[{"type":"ping"}]']


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_is_not_json(connect, text):
    client = connect()
    client.send_text(text)
    assert client.next_error()["code"] == "invalid_json"
    client.ping()


@pytest.mark.parametrize("text", NOT_ALLOWED, ids=range(len(NOT_ALLOWED)))
def test_json_that_is_not_allowed(connect, text):
    client = connect()
    client.send_text(text)
    assert client.next_error()["code"] in ("invalid_json", "invalid_message")
    client.ping()


@pytest.mark.parametrize("text", NOT_OBJECTS)
def test_json_that_is_no_object(connect, text):
    client = connect()
    client.send_text(text)
    assert client.next_error()["code"] in ("invalid_json", "invalid_message")
    client.ping()


def test_text_that_is_not_utf8(connect, client):
    other = connect()
    other.send_frame(TEXT, b'{"type":"ping","data":"\xff\xfe"}')
    try:
        assert other.next_error()["code"] == "invalid_json"
    except Exception as closed:  # WebSocket itself knows 1007 for it
        assert getattr(closed, "code", None) in (1007, None), closed
    client.ping()


def test_the_third_malformed_message_closes_4400(connect):
    client = connect()
    for _ in range(3):
        client.send_text("{")
    assert client.await_close() == 4400
    errors = [message for message in client.others if message["type"] == "error"]
    assert [error["code"] for error in errors] == ["invalid_json"] * 3
    for error in errors:
        assert_sentence(error)


def test_a_flood_of_malformed_messages_closes_once(connect, client):
    other = connect()
    frame = bytes([0x81, 0x81]) + b"\0\0\0\0{"
    other.socket.sendall(frame * 1000)
    assert other.await_close() in (4400, None)
    assert sum(message["type"] == "error" for message in other.others) == 3
    client.ping()


@pytest.mark.parametrize("message", [{}, {"type": 1}, {"type": None}, {"type": ["ping"]},
                                     {"data": 1}, {"type": {}}])
def test_a_message_without_a_type(client, message):
    client.error(message, "invalid_message")


@pytest.mark.parametrize("kind", ["", "nope", "PING", "welcome", "x" * 1000, "ping\n"])
def test_an_unknown_type(connect, kind):
    connect().error({"type": kind}, "unknown_type")


START = {"type": "start_job", "operation": "probe", "inputs": [{"kind": "upload", "size": 10}]}


@pytest.mark.parametrize("message, path", [
    ({"type": "ping", "foo": 1}, "foo"),
    ({"type": "hello", "tokn": "x"}, "tokn"),
    ({"type": "describe", "operations": "probe"}, "operations"),
    ({"type": "cancel_job", "job_id": "0" * 32, "why": "x"}, "why"),
    ({**START, "priority": 1}, "priority"),
    ({**START, "inputs": [{"kind": "upload", "siez": 1}]}, "inputs[0].siez"),
    ({**START, "inputs": [{"kind": "upload"}, {"kind": "upload", "url": "x"}]}, "inputs[1].url"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_an_unknown_field_is_named_with_its_path(connect, message, path):
    error = connect().error(message, "invalid_message")
    assert error["details"]["path"] == path


@pytest.mark.parametrize("message, path", [
    ({"type": "hello", "token": 1}, "token"),
    ({"type": "describe", "operation": 1}, "operation"),
    ({"type": "cancel_job"}, "job_id"),
    ({"type": "cancel_job", "job_id": 7}, "job_id"),
    ({"type": "start_job", "inputs": []}, "operation"),
    ({**START, "operation": None}, "operation"),
    ({**START, "options": []}, "options"),
    ({**START, "inputs": {}}, "inputs"),
    ({**START, "inputs": ["a"]}, "inputs[0]"),
    ({**START, "inputs": [{"kind": "upload", "size": -1}]}, "inputs[0].size"),
    ({**START, "inputs": [{"kind": "upload", "size": 1.5}]}, "inputs[0].size"),
    ({**START, "inputs": [{"kind": "upload", "size": "10"}]}, "inputs[0].size"),
    ({**START, "inputs": [{"kind": "upload", "name": 1}]}, "inputs[0].name"),
    ({**START, "inputs": [{"kind": "floppy"}]}, "inputs[0].kind"),
    ({**START, "inputs": [{}]}, "inputs[0].kind"),
    ({**START, "inputs": [{"kind": "url"}]}, "inputs[0].url"),
    ({**START, "delivery": "carrier pigeon"}, "delivery"),
    ({**START, "detach": "yes"}, "detach"),
    ({**START, "job_key": 1}, "job_key"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_field_of_the_wrong_kind_is_named_with_its_path(connect, message, path):
    error = connect().error(message, "invalid_message", "invalid_input")
    assert error["details"]["path"] == path


def test_request_ids_are_short_strings(connect):
    client = connect()
    for bad in ("x" * 129, 1, None, {}, "\u00e9" * 65):
        client = connect()
        client.send_json({"type": "ping", "request_id": bad})
        assert client.next_error()["code"] == "invalid_message"
    client.answers["x" * 128] = None
    client.send_json({"type": "ping", "request_id": "x" * 128})
    while client.answers["x" * 128] is None:
        assert client.pump()
    assert client.answers["x" * 128]["type"] == "pong"


def test_both_input_and_inputs(client):
    client.error({**START, "input": {"kind": "upload"}}, "invalid_message")


def test_metadata_has_a_limit(client):
    error = client.error({**START, "metadata": {"text": "x" * 4096}}, "invalid_message")
    assert error["details"]["got"] == "4107"


def test_a_text_message_that_is_too_large(connect, client):
    other = connect()
    limit = other.request({"type": "hello"})
    limit = json.dumps(limit)
    size = int(limit.split('"max_message_bytes": ')[1].split(",")[0].rstrip("}"))
    other.send_text('{"type":"ping","data":"' + "x" * size + '"}')
    assert other.await_close() == 1009
    assert [m["code"] for m in other.others if m["type"] == "error"] == ["message_too_large"]
    client.ping()


def test_a_text_message_at_the_limit_is_read(connect):
    other = connect()
    limit = json.dumps(other.request({"type": "hello"}))
    size = int(limit.split('"max_message_bytes": ')[1].split(",")[0].rstrip("}"))
    head, tail = '{"type":"ping","data":"', '"}'
    other.send_text(head + "x" * (size - len(head) - len(tail)) + tail)
    assert other.next_error()["code"] == "invalid_message"  # a ping's data: at most 1 KiB
    other.ping()


def test_a_text_message_in_fragments(client):
    text = '{"type":"ping","data":"fragments \u00e9\u00e9","request_id":"f"}'.encode()
    for size in (1, 2, 7):
        client.answers["f"] = None
        client.send_fragments(TEXT, [text[i : i + size] for i in range(0, len(text), size)],
                              key=b"\x12\x34\x56\x78")
        while client.answers["f"] is None:
            assert client.pump()
        assert client.answers["f"]["data"] == "fragments \u00e9\u00e9"


# binary headers


def binary(header, payload=b"", size=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack(">I", len(head) if size is None else size) + head + payload


UPLOAD = {"type": "upload", "job_id": "0" * 32, "input": 0, "offset": 0}
BAD_HEADERS = {
    "empty": b"",
    "one byte": b"\0",
    "three bytes": b"\0\0\0",
    "no header": b"\0\0\0\0",
    "header longer than the message": binary(UPLOAD, size=1000),
    "one byte longer": binary(UPLOAD, size=len(json.dumps(UPLOAD)) + 1),
    "four thousand millions": binary(UPLOAD, size=0xFFFFFFFF),
    "sign bit": binary(UPLOAD, size=0x80000000),
    "4097 bytes": binary(json.dumps(UPLOAD).encode().ljust(4097), b"x" * 5000),
    "not JSON": binary(b"upload!"),
    "cut JSON": binary(b'{"type":"upload"'),
    "array": binary(b"[]"),
    "not UTF-8": binary(b'{"type":"\xff"}'),
    "NUL": binary(b'{"type":"upload"}\0'),
    "duplicate keys": binary(b'{"type":"upload","type":"upload"}'),
    "no type": binary({"job_id": "0" * 32, "input": 0, "offset": 0}),
    "other type": binary({**UPLOAD, "type": "download"}),
    "output type": binary({**UPLOAD, "type": "output"}),
    "no job": binary({"type": "upload", "input": 0, "offset": 0}),
    "job number": binary({**UPLOAD, "job_id": 5}),
    "no input": binary({"type": "upload", "job_id": "0" * 32, "offset": 0}),
    "negative input": binary({**UPLOAD, "input": -1}),
    "input as text": binary({**UPLOAD, "input": "0"}),
    "no offset": binary({"type": "upload", "job_id": "0" * 32, "input": 0}),
    "negative offset": binary({**UPLOAD, "offset": -1}),
    "fraction": binary({**UPLOAD, "offset": 0.5}),
    "offset beyond 64 bits": binary(json.dumps(UPLOAD)[:-2].encode() + b"99999999999999999999}"),
    "last as number": binary({**UPLOAD, "last": 1}),
    "unknown field": binary({**UPLOAD, "note": "x"}),
    "text before": binary(b" x " + json.dumps(UPLOAD).encode()),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_bad_binary_header(connect, name):
    client = connect()
    client.send_frame(BINARY, BAD_HEADERS[name])
    assert client.next_error()["code"] == "invalid_header"
    client.ping()


def test_the_third_bad_header_closes_4400(connect):
    client = connect()
    for _ in range(3):
        client.send_frame(BINARY, b"\xff\xff\xff\xff")
    assert client.await_close() == 4400


def test_a_bad_header_in_single_bytes(connect):
    client = connect()
    message = BAD_HEADERS["header longer than the message"]
    client.send_fragments(BINARY, [bytes([byte]) for byte in message])
    assert client.next_error()["code"] == "invalid_header"
    client.ping()


@pytest.mark.parametrize("job_id", ["f" * 32, "0" * 31, "../../etc/passwd", "", "G" * 32])
def test_bytes_for_an_unknown_job(connect, job_id):
    client = connect()
    client.send_frame(BINARY, binary({**UPLOAD, "job_id": job_id}, b"x" * 100))
    client.ping()
    codes = [message["code"] for message in client.others if message["type"] == "error"]
    assert codes in ([], ["job_not_found"], ["invalid_header"])


def test_an_upload_into_an_input_that_is_not_there(connect):
    client = connect()
    job = client.start("probe", [1000])
    client.send_upload(job, b"x" * 100, number=1)
    client.ping()
    errors = [m for m in [*client.others, *job.texts("error")] if m["type"] == "error"]
    assert len(errors) == 1 and errors[0]["code"] in ("invalid_header", "invalid_input"), errors
    client.request({"type": "cancel_job", "job_id": job.id})


@pytest.mark.parametrize("message", [
    {"type": "cancel_job", "job_id": "f" * 32},
    {"type": "cancel_job", "job_id": "../" * 10},
    {"type": "cancel_job", "job_id": ""},
])
def test_an_unknown_job(connect, message):
    connect().error(message, "job_not_found", "invalid_message")


@pytest.mark.parametrize("name", ["nope", "", "../compress", "lib/encoding", "compress.lua",
                                  "/etc/passwd"])
def test_an_unknown_operation(connect, name):
    connect().error({**START, "operation": name}, "unknown_operation", "invalid_message")


def test_too_many_inputs(client):
    client.error({**START, "inputs": [{"kind": "upload"}] * 101}, "too_many_inputs")


@pytest.mark.parametrize("inputs", [[], [{"kind": "upload"}] * 2])
def test_inputs_that_do_not_fit_the_operation(connect, inputs):
    connect().error({**START, "inputs": inputs}, "invalid_input", "invalid_message",
                    "too_many_inputs")


@pytest.mark.parametrize("operation, options, path", [
    ("compress", {"crff": 28}, "options.crff"),
    ("compress", {"preset": "custom", "crf": "lots"}, "options.crf"),
    ("compress", {"preset": "custom", "crf": 1000}, "options.crf"),
    ("compress", {"preset": "extreme"}, "options.preset"),
    ("compress", {"preset": 1}, "options.preset"),
    ("convert", {}, "options.format"),
    ("convert", {"format": "exe"}, "options.format"),
    ("thumbnail", {"count": -1}, "options.count"),
    ("thumbnail", {"count": 1.5}, "options.count"),
    ("thumbnail", {"timestamps": [1, "x"]}, "options.timestamps[1]"),
    ("remove_audio", {"x": 1}, "options.x"),
])
def test_an_invalid_option_is_refused_before_the_ack(connect, operation, options, path):
    error = connect().error({**START, "operation": operation, "options": options},
                            "invalid_option")
    assert error["details"]["path"] == path


def test_the_nearest_option_is_named(client):
    error = client.error({**START, "operation": "compress", "options": {"prest": "low"}},
                         "invalid_option")
    assert "preset" in error["message"] + json.dumps(error["details"])


def test_many_refused_requests_do_not_close_the_connection(client):
    for _ in range(10):
        client.error({**START, "operation": "nope"}, "unknown_operation")
        client.error({**START, "options": {"x": 1}}, "invalid_option")
    client.ping()
