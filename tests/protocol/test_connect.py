"""Connecting: paths, subprotocols, origins, hosts; hello, ping, describe."""

import re
import socket

import pytest

from wire import BINARY, CLOSE, PING, TEXT, WAIT, Client, Closed, Refused, WebSocket

OPERATIONS = ["compress", "convert", "extract_audio", "probe", "remove_audio", "thumbnail"]


def find(value, name):
    """The first member of that name, at any depth."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        if (found := find(item, name)) is not None:
            return found
    return None


@pytest.mark.parametrize("path", ["/", "/nope", "/ws2", "/ws/", "/ws/x", "/WS"])
def test_an_upgrade_on_another_path_is_refused(server, path):
    with pytest.raises((Refused, Closed)) as refused:
        WebSocket(server.port, path=path)
    if isinstance(refused.value, Refused):
        assert 400 <= refused.value.status < 500 or refused.value.status == 200


def test_no_subprotocol_is_welcome(connect):
    client = connect(subprotocols=None)
    assert "sec-websocket-protocol" not in client.headers
    client.ping()


@pytest.mark.parametrize("offered", ["luma.v1", "luma.v9, luma.v1", "luma.v1, chat"])
def test_the_subprotocol_is_chosen(connect, offered):
    client = connect(subprotocols=offered)
    assert client.headers["sec-websocket-protocol"] == "luma.v1"
    client.ping()


@pytest.mark.parametrize("offered", ["luma.v2", "chat", "chat, superchat", "LUMA.V1", "luma.v11"])
def test_only_other_subprotocols_fail(server, offered):
    with pytest.raises((Refused, Closed)):
        WebSocket(server.port, subprotocols=offered)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example",
                                    "http://127.0.0.1:1", "file://"])
def test_a_foreign_origin_gets_403(server, origin):
    with pytest.raises(Refused) as refused:
        WebSocket(server.port, headers=[("Origin", origin)])
    assert refused.value.status == 403


def test_the_same_origin_is_welcome(server, connect):
    for host in ("127.0.0.1", "localhost"):
        address = f"{host}:{server.port}"
        connect(host=address, headers=[("Origin", f"http://{address}")]).ping()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:{port}",
                                  "10.0.0.1:{port}"])
def test_a_foreign_host_is_refused(server, host):
    with pytest.raises((Refused, Closed)) as refused:
        WebSocket(server.port, host=host.format(port=server.port))
    if isinstance(refused.value, Refused):
        assert 400 <= refused.value.status < 500


def test_listed_origins_and_hosts_are_welcome(own_server):
    server = own_server(LUMA_ALLOWED_ORIGINS="https://studio.example",
                        LUMA_ALLOWED_HOSTS="media.example,127.0.0.1")
    with Client(server.port, host="media.example",
                headers=[("Origin", "https://studio.example")]) as client:
        client.ping()
    with pytest.raises(Refused) as refused:
        WebSocket(server.port, headers=[("Origin", "https://other.example")])
    assert refused.value.status == 403


def test_garbage_instead_of_a_handshake_hurts_nobody(server, client):
    for start in (b"\0" * 100, b"GET", b"GET /ws HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET " + b"/" * 70000,
                  b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            try:
                raw.sendall(start)
                raw.settimeout(0.2)
                raw.recv(100)
            except OSError:
                pass
    client.ping()


def test_hello_is_answered_with_welcome(client):
    welcome = client.request({"type": "hello", "client": "tests"})
    assert welcome["type"] == "welcome"
    assert find(welcome, "max_upload_frame") == 64 * 1024 * 1024
    assert find(welcome, "max_inputs") == 100
    assert find(welcome, "max_upload_bytes") > 0
    assert find(welcome, "max_message_bytes") > 0
    assert set(OPERATIONS) <= set(find(welcome, "operations"))
    assert "version" in str(welcome.keys())


def test_hello_is_optional(client):
    client.ping()


@pytest.mark.parametrize("data", [None, True, 0, -1.5, "text with \u00e9 and \U0001f600", [], {},
                                  [1, [2, {"three": None}]], "x" * 1000])
def test_pong_has_the_pings_data(client, data):
    answer = client.request({"type": "ping", "data": data})
    assert answer["type"] == "pong" and answer["data"] == data
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", answer["time"])


def test_a_ping_without_data_or_request_id(client):
    client.send_json({"type": "ping"})
    while not any(message["type"] == "pong" for message in client.others):
        assert client.pump()
    assert all("request_id" not in message for message in client.others)


def test_too_much_ping_data_is_refused(client):
    client.error({"type": "ping", "data": "x" * 1025}, "invalid_message")
    client.ping()


def test_describe_lists_every_operation(client):
    answer = client.request({"type": "describe"})
    assert answer["type"] == "operations"
    names = [operation["name"] for operation in answer["operations"]]
    assert set(OPERATIONS) <= set(names) and len(names) == len(set(names))
    for operation in answer["operations"]:
        assert operation["summary"] and "\n" not in operation["summary"]
        assert "inputs" in operation and isinstance(operation["examples"], list)
        schema = operation["options"]
        assert schema["type"] == "object" and schema.get("additionalProperties") is False
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


@pytest.mark.parametrize("name", OPERATIONS)
def test_describe_one_operation(client, name):
    answer = client.request({"type": "describe", "operation": name})
    assert [operation["name"] for operation in answer["operations"]] == [name]


def test_the_schemas_know_their_types(client):
    answer = client.request({"type": "describe", "operation": "compress"})
    properties = answer["operations"][0]["options"]["properties"]
    assert set(properties["preset"]["enum"]) == {"low", "medium", "high", "custom"}
    assert properties["crf"]["type"] in ("number", "integer")


def test_the_examples_of_an_operation_are_accepted(client):
    for operation in client.request({"type": "describe"})["operations"]:
        for example in operation["examples"]:
            count = operation["inputs"]
            count = count["min"] if isinstance(count, dict) else count
            job = client.start(operation["name"], [1000] * count, example)
            client.request({"type": "cancel_job", "job_id": job.id})
            client.finish(job).failed("cancelled")


@pytest.mark.parametrize("name", ["nope", "", "../compress", "lib/encoding", "compress.lua",
                                  "Compress", "x" * 300, "compress\n"])
def test_describe_of_an_unknown_operation(client, name):
    client.error({"type": "describe", "operation": name}, "unknown_operation", "invalid_message")
    client.ping()


def test_the_nearest_operation_is_named(client):
    error = client.error({"type": "describe", "operation": "compres"}, "unknown_operation")
    assert "compress" in error["message"] + str(error.get("details"))


def test_a_websocket_ping_is_answered(client):
    client.send_frame(PING, b"are you there")
    client.ping()
    assert client.pong == b"are you there"


def test_a_close_is_answered(connect):
    client = connect()
    client.send_frame(CLOSE, b"\x03\xe8bye")
    assert client.await_close() in (1000, None)


def test_connections_know_nothing_of_each_other(connect):
    first, second = connect(), connect()
    first.send_json({"type": "ping", "data": 1})
    second.ping()
    assert second.others == []


def test_a_connection_that_dies_in_mid_frame_hurts_nobody(connect, client):
    for opcode in (TEXT, BINARY):
        broken = connect()
        broken.socket.sendall(bytes([0x80 | opcode, 0xFE, 0x10, 0x00]) + b"\0" * 4 + b"abc")
        broken.close()
    client.ping()


def test_many_messages_in_one_packet(client):
    frames = bytearray()
    for number in range(50):
        payload = b'{"type":"ping","data":%d}' % number
        frames += bytes([0x81, 0x80 | len(payload)]) + b"\0\0\0\0" + payload
    client.socket.sendall(frames)
    while len(client.others) < 50:
        assert client.pump(WAIT)
    assert [message["data"] for message in client.others] == list(range(50))
