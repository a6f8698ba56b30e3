#!/usr/bin/env python3
"""Run one operation of a luma server on files or URLs, and save what it makes.

    client.py compress holiday.mov --preset medium --out results
    client.py thumbnail film.mkv --count 5 --format png
    client.py concat a.mp4 b.mp4
    client.py probe --url https://example.org/clip.mp4 --json

Needs only python3-websockets. Exit status: 0 done, 1 the job failed, 2 it could not be asked for.
"""

import asyncio
import hashlib
import json
import os
import struct
import sys
import time

import websockets

USAGE = """usage: client.py OPERATION [FILE]… [--url URL]… [--OPTION VALUE]…
  --server URL   where the server listens (ws://127.0.0.1:8080/ws, or $LUMA_SERVER)
  --token TOKEN  who you are, if the server asks ($LUMA_TOKEN)
  --out DIR      where the outputs go (.)
  --json         the server's messages, one a line, instead of words
Every other option is the operation's; `client.py describe [OPERATION]` lists them."""

FRAME = 512 * 1024  # bytes of a file in one message; the server takes up to 64 MiB
PATIENCE = 30  # seconds to get back to a job after a lost connection; the server keeps it as long
SILENCE = 8  # seconds; while a job is alive the server says something every two
OURS = {"server", "token", "out", "url", "json", "help"}


class Refused(Exception):
    """The request can't be made: exit status 2."""


def parse(arguments):
    """Splits a command line into operation, inputs, our settings and the operation's options."""
    ours = {
        "server": os.environ.get("LUMA_SERVER", "ws://127.0.0.1:8080/ws"),
        "token": os.environ.get("LUMA_TOKEN"),
        "out": ".",
    }
    words, urls, options = [], [], {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "-h":
            word = "--help"
        if not word.startswith("--"):
            words.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:
            switch = name in ("json", "help") or not rest or rest[0].startswith("--")
            value = "true" if switch else rest.pop(0)
        if name == "url":
            urls.append(value)
        elif name in OURS:
            ours[name] = value
        else:
            options[name] = value
    if "help" in ours or not words:
        raise Refused(USAGE)
    return words[0], words[1:], urls, options, ours


def typed(text, schema):
    """The JSON value that the text of a command line stands for, by the option's JSON Schema."""
    kinds = set()
    for part in [schema, *schema.get("anyOf", []), *schema.get("oneOf", [])]:
        kind = part.get("type", [])
        kinds.update([kind] if isinstance(kind, str) else kind)
    if text[:1] in "[{" and kinds & {"array", "object"}:
        return json.loads(text)
    if "array" in kinds:
        return [typed(item.strip(), schema.get("items", {})) for item in text.split(",")]
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    for kind, convert in (("integer", int), ("number", float)):
        if kind in kinds:
            try:
                return convert(text)
            except ValueError:
                pass
    return text  # a string, or something that the server will name in its error


def human(size):
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000


class Progress:
    """A bar on a terminal; else a line when the stage changes, and every ten per cent."""

    def __init__(self, quiet):
        self.quiet, self.tty, self.last, self.open = quiet, sys.stderr.isatty(), None, False

    def show(self, stage, percent, rate=None, eta=None):
        if self.quiet:
            return
        if self.tty:
            filled = int((percent or 0) * 0.3)
            text = f"{stage:<11}[{'#' * filled:<30}]"
            text += f" {percent:5.1f} %" if percent is not None else "    ?  "
            text += f"  {rate}" if rate else ""
            text += f"  {eta:.0f} s left" if eta is not None else ""
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            self.open = True
        elif (stage, int((percent or 0) / 10)) != self.last:
            self.last = (stage, int((percent or 0) / 10))
            print(f"{stage} {percent or 0:.0f} %", *([rate] if rate else []), file=sys.stderr)

    def close(self):
        if self.open:
            print(file=sys.stderr)
        self.open = False


class Outputs:
    """Output bytes, written where their headers say, into files that replace nothing."""

    def __init__(self, folder):
        self.folder, self.files, self.received = folder, {}, {}

    def write(self, header, payload):
        if header["output"] not in self.files:
            os.makedirs(self.folder, exist_ok=True)
            self.files[header["output"]] = open(self.free_path(header), "w+b")
        file = self.files[header["output"]]
        if header["offset"] == 0 and header["attempt"] > 1:
            file.truncate(0)  # the server was restarted, the job runs again
        file.seek(header["offset"])
        file.write(payload)
        self.received[header["output"]] = {"output": header["output"], "received": file.tell(),
                                           "attempt": header["attempt"]}

    def free_path(self, header):
        """The name comes from outside: only its last part is used, and no file is replaced."""
        name = "".join(c for c in header.get("name", "") if c.isprintable())
        name = name.replace("\\", "/").split("/")[-1].lstrip(".") or f"output-{header['output']}"
        stem, extension = os.path.splitext(name)
        path, number = os.path.join(self.folder, name), 1
        while os.path.exists(path):
            number += 1
            path = os.path.join(self.folder, f"{stem}-{number}{extension}")
        return path

    def check(self, output):
        """Closes a finished output and compares it with what the server says it is."""
        file = self.files.pop(output["index"], None)
        if file is None:
            raise OSError(f"Output {output['name']} never came")
        file.seek(0)
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        file.close()
        if digest.hexdigest() != output["sha256"]:
            raise OSError(f"Output {file.name} is damaged: its sha256 is not the server's")
        return file.name

    def discard(self):
        for file in self.files.values():
            file.close()
            os.unlink(file.name)


async def ask(socket, message):
    """Sends a request and waits for its answer."""
    request_id = os.urandom(4).hex()
    await socket.send(json.dumps({**message, "request_id": request_id}))
    while True:
        answer = json.loads(await socket.recv())
        if answer["type"] == "error":
            raise Refused(sentence(answer))
        if answer.get("request_id") == request_id:
            return answer


def sentence(error):
    text = f"{error['message']} ({error['code']})"
    details = error.get("details") or {}
    return text + "".join(f"\n  {key}: {value}" for key, value in details.items())


async def upload(socket, ack, paths, progress):
    """Streams what the server lacks; send() waits while it reads slower than the disk."""
    received = {entry["input"]: entry["received"] for entry in ack["uploads"]}
    total, start = sum(map(os.path.getsize, paths)) or 1, time.monotonic()
    sent = before = sum(received.values())
    for number, path in enumerate(paths):
        size, offset = os.path.getsize(path), received[number]
        last = 0 < size <= offset
        with open(path, "rb") as file:
            file.seek(offset)
            while not last:
                payload = file.read(FRAME)
                last = not payload or offset + len(payload) >= size
                head = json.dumps({"type": "upload", "job_id": ack["job_id"], "input": number,
                                   "offset": offset, "last": last}).encode()
                await socket.send(struct.pack(">I", len(head)) + head + payload)
                offset += len(payload)
                sent += len(payload)
                rate = (sent - before) / max(time.monotonic() - start, 0.001)
                eta = (total - sent) / max(rate, 1)
                progress.show("uploading", 100 * sent / total, f"{human(rate)}/s", eta)


async def follow(socket, job_id, outputs, progress, as_json):
    """Reads messages until the job's last word, which it returns."""
    while True:
        try:
            message = await asyncio.wait_for(socket.recv(), SILENCE)
        except asyncio.TimeoutError:
            raise ConnectionError("The server has fallen silent") from None
        if isinstance(message, bytes):
            (length,) = struct.unpack_from(">I", message)
            outputs.write(json.loads(message[4 : 4 + length]), message[4 + length :])
            continue
        message = json.loads(message)
        if as_json:
            print(json.dumps(message), flush=True)
        if message.get("job_id") != job_id:
            continue
        if message["type"] == "progress" and message["stage"] != "uploading":
            speed = message.get("speed")
            rate = f"{speed:.1f}x" if speed else None
            if message["stage"] == "queued" and message.get("position"):
                rate = f"number {message['position']} in the queue"
            progress.show(message["stage"], message.get("percent"), rate, message.get("eta"))
        if message["type"] == "completed":
            progress.show("completed", 100)
        if message["type"] == "completed" or message.get("final"):
            return message


async def transfer(socket, ack, paths, outputs, progress, as_json):
    """Sends and reads at once until the job's last word, which it returns."""
    sender = asyncio.create_task(upload(socket, ack, paths, progress))
    reader = asyncio.create_task(follow(socket, ack["job_id"], outputs, progress, as_json))
    try:
        await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
        if sender.done():
            sender.result()  # raises what went wrong
        return await reader
    except asyncio.CancelledError:  # Ctrl-C
        await socket.send(json.dumps({"type": "cancel_job", "job_id": ack["job_id"]}))
        raise
    finally:
        sender.cancel()
        reader.cancel()
        await asyncio.gather(sender, reader, return_exceptions=True)
        progress.close()


def report(last, outputs, as_json):
    """Checks the outputs and tells what was made, or what went wrong; exit status."""
    if last["type"] == "error":
        print(sentence(last), file=sys.stderr)
        return 1
    try:
        saved = [(outputs.check(output), output["size"]) for output in last["outputs"]]
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    if as_json:
        return 0
    for note in last.get("notes") or []:
        print(f"note: {note}", file=sys.stderr)
    if last.get("result") is not None:
        print(json.dumps(last["result"], indent=2, ensure_ascii=False))
    for path, size in saved:
        print(f"{path}  {human(size)}")
    return 0


async def describe(socket, names):
    for name in names or [None]:
        request = {"type": "describe", **({"operation": name} if name else {})}
        for operation in (await ask(socket, request))["operations"]:
            print(f"{operation['name']}: {operation['summary']}")
            for option, schema in operation["options"].get("properties", {}).items():
                print(f"  --{option:<18} {schema.get('description', '')}")
    return 0


async def start(socket, operation, paths, urls, options):
    """Starts the job; its ack. The operation's schema says which type each option has."""
    described = await ask(socket, {"type": "describe", "operation": operation})
    schemas = described["operations"][0]["options"].get("properties", {})
    inputs = [{"kind": "upload", "name": os.path.basename(path), "size": os.path.getsize(path)}
              for path in paths]
    inputs += [{"kind": "url", "url": url} for url in urls]
    options = {name: typed(text, schemas.get(name, {})) for name, text in options.items()}
    return await ask(socket, {"type": "start_job", "operation": operation, "inputs": inputs,
                              "options": options})


async def run(operation, paths, urls, options, ours):
    """All of it; after a lost connection it goes on from where both sides are. Exit status."""
    progress, outputs = Progress("json" in ours), Outputs(ours["out"])
    hello = {"type": "hello", "client": "examples/client.py"}
    if ours["token"]:
        hello["token"] = ours["token"]
    job_id, deadline = None, None
    try:
        while True:
            try:
                # What a lost connection still has to send goes nowhere: it isn't waited for.
                async with websockets.connect(ours["server"], subprotocols=["luma.v1"],
                                              compression=None, ping_timeout=None,
                                              close_timeout=1) as socket:
                    await ask(socket, hello)
                    if operation == "describe":
                        return await describe(socket, paths)
                    if job_id is None:
                        ack = await start(socket, operation, paths, urls, options)
                    else:
                        ack = await ask(socket, {"type": "attach", "job_id": job_id,
                                                 "outputs": list(outputs.received.values())})
                    job_id, deadline = ack["job_id"], None
                    last = await transfer(socket, ack, paths, outputs, progress, "json" in ours)
                    return report(last, outputs, "json" in ours)
            except (ConnectionError, TimeoutError, websockets.WebSocketException) as error:
                if job_id is None or (deadline and time.monotonic() > deadline):
                    raise
                deadline = deadline or time.monotonic() + PATIENCE
                print(f"Connection lost, trying again: {error}", file=sys.stderr)
                await asyncio.sleep(1)
    finally:
        outputs.discard()


def main():
    try:
        return asyncio.run(run(*parse(sys.argv[1:])))
    except KeyboardInterrupt:
        return 130
    except (Refused, OSError, ValueError, websockets.WebSocketException) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
