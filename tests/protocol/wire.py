"""A WebSocket client written by hand, so that the tests can break every rule, and on top of it a
client of the luma protocol that watches the rules which hold for every job.

Nothing here is taken from the server: what it expects stands in the protocol's description.
Single-threaded and blocking; every wait has a limit and fails the test when it is over.
"""

import base64
import hashlib
import json
import os
import select
import socket
import ssl
import struct
import time

from contract import judge

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
WAIT = float(os.environ.get("LUMA_TEST_WAIT", "60"))  # seconds; sanitizers make everything slower
STAGES = {"uploading", "queued", "downloading", "processing", "delivering"}
KINDS = (int, float)


class Refused(Exception):
    """The handshake was answered with another status than 101."""

    def __init__(self, status, headers, body):
        super().__init__(f"HTTP {status}")
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    """The connection has ended; code is the close frame's, None without one."""

    def __init__(self, code=None, reason=""):
        super().__init__(f"closed with {code} {reason}")
        self.code, self.reason = code, reason


def masked(payload, key):
    if key == b"\0\0\0\0":
        return payload
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


class WebSocket:
    """Frames in and out. The mask is zero unless asked otherwise: legal, and free of cost."""

    def __init__(self, port, path="/ws", subprotocols="luma.v1", headers=(), host=None,
                 receive_buffer=None, tls=None):
        self.buffer, self.eof = bytearray(), False
        self.head = None     # of the frame that is coming: opcode, whether it is the last part
        self.payload = None  # its bytes, the first self.filled of which are there
        self.filled, self.kind, self.parts = 0, None, bytearray()
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WAIT)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}",
                 "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        if subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocols}")
        lines += [f"{name}: {value}" for name, value in headers]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.read_handshake()

    def read_handshake(self):
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill(WAIT):
                raise Closed(None, "in the handshake")
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        first, *lines = head.decode("latin-1").split("\r\n")
        self.headers = {name.strip().lower(): value.strip()
                        for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        if status != 101:
            self.socket.close()
            raise Refused(status, self.headers, rest)

    # sending

    def send_frame(self, opcode, payload=b"", fin=True, key=b"\0\0\0\0"):
        self.send_parts(opcode, [payload], fin, key)

    def send_parts(self, opcode, parts, fin=True, key=b"\0\0\0\0"):
        """One frame; its payload in parts, which are not copied together."""
        size = sum(map(len, parts))
        head = bytes([(0x80 if fin else 0) | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack(">BH", 0x80 | 126, size)
        else:
            head += struct.pack(">BQ", 0x80 | 127, size)
        if key != b"\0\0\0\0":
            parts = [masked(b"".join(parts), key)]
        self.send_all([head + key, *parts])

    def send_all(self, parts):
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.sendall(b"".join(parts))
            return
        left = [memoryview(part) for part in parts if part]
        while left:
            sent = self.socket.sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if left:
                left[0] = left[0][sent:]

    def send_text(self, text):
        self.send_frame(TEXT, text.encode() if isinstance(text, str) else text)

    def send_fragments(self, opcode, pieces, between=None, key=b"\0\0\0\0"):
        for number, piece in enumerate(pieces):
            self.send_frame(opcode if number == 0 else CONTINUATION, piece,
                            number == len(pieces) - 1, key)
            if between and number < len(pieces) - 1:
                between(number)

    # receiving

    def fill(self, seconds):
        """Reads what there is, waiting at most so long; False at a timeout or the end."""
        decrypted = hasattr(self.socket, "pending") and self.socket.pending()
        if not decrypted and not select.select([self.socket], [], [], max(seconds, 0))[0]:
            return False
        try:
            if self.payload is not None:  # straight to where it belongs
                count = self.socket.recv_into(memoryview(self.payload)[self.filled :])
                self.filled += count
            else:
                data = self.socket.recv(1 << 16)
                self.buffer += data
                count = len(data)
        except ConnectionError:
            count = 0
        self.eof = self.eof or count == 0
        return count > 0

    def take_head(self):
        """The head of a frame out of the buffer, and what is there of its payload."""
        data = self.buffer
        if len(data) < 2:
            return
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return
            size = int.from_bytes(data[2:start], "big")
        assert not data[1] & 0x80, "a server's frame must not be masked"
        self.head = data[0] & 0x0F, bool(data[0] & 0x80)
        self.filled = min(size, len(data) - start)
        self.payload = bytearray(size)
        self.payload[: self.filled] = data[start : start + self.filled]
        del data[: start + self.filled]

    def take_frame(self):
        """One whole frame, or None."""
        if self.payload is None:
            self.take_head()
        if self.payload is None or self.filled < len(self.payload):
            return None
        frame = *self.head, self.payload
        self.payload = None
        return frame

    def receive(self, seconds=WAIT):
        """The next text (str) or binary (bytearray) message; None at a timeout; raises Closed."""
        deadline = time.monotonic() + seconds
        while True:
            frame = self.take_frame()
            if frame is None:
                if self.eof:
                    raise Closed
                if not self.fill(deadline - time.monotonic()) and not self.eof:
                    return None
                continue
            opcode, fin, payload = frame
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
                self.close_code = code
                raise Closed(code, payload[2:].decode(errors="replace"))
            if opcode == PING:
                self.send_frame(PONG, payload)
            elif opcode == PONG:
                self.pong = bytes(payload)
            else:
                if opcode == CONTINUATION:
                    self.parts += payload
                else:
                    self.kind, self.parts = opcode, payload
                if fin:
                    return self.parts.decode() if self.kind == TEXT else self.parts

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Job:
    """What came about one job, in its order, and the rules that it must keep."""

    def __init__(self, ack):
        self.id, self.ack = ack["job_id"], ack
        self.messages = []  # the text messages after the first ack
        self.outputs = {}   # number: {"name", "data", "last"}
        self.last = None
        self.seq, self.percent, self.attempt = -1, -1.0, 0
        assert len(self.id) == 32 and set(self.id) <= set("0123456789abcdef"), self.id

    def see_text(self, message):
        assert self.last is None, f"a message after the last word: {message}"
        self.messages.append(message)
        if "seq" in message:
            assert message["seq"] > self.seq, f"seq fell: {self.seq}, then {message}"
            self.seq = message["seq"]
        if message["type"] == "progress":
            self.see_progress(message)
        if message["type"] == "completed" or message.get("final"):
            assert "seq" in message, message
            self.last = message

    def see_progress(self, message):
        assert message["stage"] in STAGES, message
        attempt = message["attempt"]
        assert attempt >= 1 and attempt >= self.attempt, message
        if attempt > self.attempt:
            self.attempt, self.percent = attempt, -1.0
        percent = message.get("percent")
        if percent is not None:
            assert 0 <= percent <= 100, message
            assert percent >= self.percent, f"percent fell from {self.percent}: {message}"
            self.percent = percent

    def see_output(self, header, payload):
        assert self.last is None, "an output after the last word"
        assert len(payload) <= 512 * 1024, "an output message is larger than 512 KiB"
        output = self.outputs.setdefault(
            header["output"], {"name": header["name"], "data": bytearray(), "last": False})
        assert header["name"] == output["name"]
        assert not output["last"], "bytes after the last of an output"
        assert header["offset"] == len(output["data"]), "pushed outputs come in their order"
        assert header["attempt"] >= 1
        output["data"] += payload
        output["last"] = header.get("last", False)

    def completed(self):
        """Asserts that it ended well, with outputs as announced; returns the last word."""
        assert self.last is not None, "no last word came"
        assert self.last["type"] == "completed", self.last
        assert [o["index"] for o in self.last["outputs"]] == list(range(len(self.outputs)))
        for told in self.last["outputs"]:
            output = self.outputs[told["index"]]
            assert output["last"], f"output {told['index']} was not ended"
            assert output["name"] == told["name"]
            assert len(output["data"]) == told["size"]
            assert hashlib.sha256(output["data"]).hexdigest() == told["sha256"]
        return self.last

    def failed(self, *codes):
        """Asserts that it ended in an error with one of the codes; returns the last word."""
        assert self.last is not None, "no last word came"
        assert self.last["type"] == "error" and self.last["code"] in codes, self.last
        assert_sentence(self.last)
        return self.last

    def texts(self, kind):
        return [message for message in self.messages if message["type"] == kind]


def assert_sentence(error):
    assert error["message"] and error["message"][0].isprintable(), error
    assert isinstance(error["retryable"], bool), error


class Client(WebSocket):
    """The protocol: requests with their answers, jobs with their messages and outputs."""

    def __init__(self, port, judged=True, **more):
        """judged: every message is held against docs/asyncapi.yaml."""
        super().__init__(port, **more)
        self.judge = judge if judged else lambda message: None
        self.jobs, self.answers, self.others, self.count = {}, {}, [], 0

    def send_json(self, message):
        self.send_text(json.dumps(message))

    def pump(self, seconds=WAIT):
        """Takes in one message; False at a timeout."""
        data = self.receive(seconds)
        if data is None:
            return False
        if isinstance(data, bytearray):
            (size,) = struct.unpack_from(">I", data)
            header = json.loads(data[4 : 4 + size])
            assert header["type"] == "output", header
            self.judge(header)
            self.jobs[header["job_id"]].see_output(header, memoryview(data)[4 + size :])
            return True
        message = json.loads(data)
        self.judge(message)
        if message.get("request_id") in self.answers:
            assert self.answers[message["request_id"]] is None, f"two answers: {message}"
            self.answers[message["request_id"]] = message
            if message["type"] == "ack" and message.get("job_id") not in (None, *self.jobs):
                self.jobs[message["job_id"]] = Job(message)
        elif message.get("job_id") in self.jobs:
            self.jobs[message["job_id"]].see_text(message)
        else:
            self.others.append(message)
        return True

    def request(self, message, seconds=WAIT):
        """Sends a message and returns its direct answer."""
        self.count += 1
        request_id = f"r{self.count}"
        self.answers[request_id] = None
        self.send_json({"request_id": request_id, **message})
        deadline = time.monotonic() + seconds
        while self.answers[request_id] is None:
            assert self.pump(deadline - time.monotonic()), f"no answer to {message}"
        answer = self.answers.pop(request_id)
        if answer["type"] != "error":  # what the server takes, the document must take
            self.judge(message)
        return answer

    def ping(self):
        """Seconds that a ping took."""
        start = time.monotonic()
        answer = self.request({"type": "ping", "data": self.count})
        assert answer["type"] == "pong", answer
        return time.monotonic() - start

    def error(self, message, *codes):
        """Sends a message that must be refused with one of the codes; returns the error."""
        answer = self.request(message)
        assert answer["type"] == "error" and answer["code"] in codes, answer
        assert not answer.get("final"), answer
        assert_sentence(answer)
        return answer

    def next_error(self, seconds=WAIT):
        """The next error that belongs to no request and no job."""
        deadline = time.monotonic() + seconds
        while True:
            for number, message in enumerate(self.others):
                if message["type"] == "error":
                    assert_sentence(message)
                    return self.others.pop(number)
            assert self.pump(deadline - time.monotonic()), "no error came"

    def await_close(self, seconds=WAIT):
        """Reads until the other side closes; the close code."""
        try:
            while self.pump(seconds):
                pass
        except Closed as closed:
            return closed.code
        raise AssertionError("the connection was not closed")

    # jobs

    def start(self, operation, sizes=(), options=None, **more):
        """start_job with an upload of each size (None: not announced); its Job."""
        inputs = [{"kind": "upload", "name": f"input-{number}.mp4"} for number in range(len(sizes))]
        for item, size in zip(inputs, sizes):
            if size is not None:
                item["size"] = size
        answer = self.request({"type": "start_job", "operation": operation, "inputs": inputs,
                               "options": options or {}, **more})
        assert answer["type"] == "ack", answer
        return self.jobs[answer["job_id"]]

    @staticmethod
    def upload_head(job, offset=0, number=0, last=None, **more):
        header = {"type": "upload", "job_id": job.id, "input": number, "offset": offset, **more}
        if last is not None:
            header["last"] = last
        head = json.dumps(header).encode()
        return struct.pack(">I", len(head)) + head

    @staticmethod
    def upload_message(job, payload, offset=0, number=0, last=None, **more):
        return Client.upload_head(job, offset, number, last, **more) + payload

    def send_upload(self, job, payload, offset=0, number=0, last=None):
        self.send_parts(BINARY, [self.upload_head(job, offset, number, last), payload])

    def upload(self, job, data, number=0, frame=256 * 1024, offset=0):
        """A whole input from an offset on; reads what comes meanwhile."""
        while True:
            piece = memoryview(data)[offset : offset + frame]
            last = offset + len(piece) >= len(data)
            self.send_upload(job, piece, offset, number, last)
            offset += len(piece)
            while select.select([self.socket], [], [], 0)[0] and not job.last:
                self.pump(0)
            if last or job.last:
                return

    def finish(self, job, seconds=WAIT):
        """Reads until the job's last word."""
        deadline = time.monotonic() + seconds
        while job.last is None:
            assert self.pump(deadline - time.monotonic()), \
                f"no last word; so far: {job.messages[-5:]}"
        return job

    def run(self, operation, data, options=None, **more):
        """A job with one input, from its start to its last word."""
        job = self.start(operation, [len(data)], options, **more)
        self.upload(job, data)
        return self.finish(job)

    def wait_for(self, job, stage, seconds=WAIT):
        """Reads until a progress message of that stage has come."""
        deadline = time.monotonic() + seconds
        while not any(m["stage"] == stage for m in job.texts("progress")):
            assert job.last is None, f"ended before {stage}: {job.last}"
            assert self.pump(deadline - time.monotonic()), f"never {stage}"

    def assert_silent(self, seconds=0.3):
        """Nothing but progress comes for a while."""
        deadline = time.monotonic() + seconds
        count = len(self.others)
        while self.pump(max(deadline - time.monotonic(), 0)):
            pass
        assert len(self.others) == count, self.others[count:]
