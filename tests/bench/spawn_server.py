#!/usr/bin/python3
"""The yardstick: a plain Python WebSocket server that starts the ffmpeg program for each job.

What most people would write first: it speaks enough of the luma protocol for the benchmark's
client, stores the upload, runs `ffmpeg -i in -map 0:v -c copy out` for remove_audio, and sends the
result. Prints `event=listening port=N`.
"""

import asyncio
import hashlib
import json
import os
import struct
import tempfile

import websockets

CHUNK = 500 * 1024
OPERATION = {"name": "remove_audio", "summary": "Remove the sound", "inputs": {"min": 1, "max": 1},
             "options": {"type": "object", "properties": {}}, "examples": []}


async def finish(socket, job_id, folder):
    source, target = os.path.join(folder, "in"), os.path.join(folder, "out.mp4")
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-v", "error", "-y", "-i", source, "-map", "0", "-map", "-0:a", "-c", "copy",
        "-movflags", "+faststart", target, stdin=asyncio.subprocess.DEVNULL)
    if await process.wait() != 0:
        await socket.send(json.dumps({"type": "error", "job_id": job_id, "final": True, "seq": 1,
                                      "code": "encode_failed", "message": "ffmpeg failed",
                                      "retryable": False}))
        return
    size, offset, digest = os.path.getsize(target), 0, hashlib.sha256()
    with open(target, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            head = json.dumps({"type": "output", "job_id": job_id, "output": 0, "attempt": 1,
                               "name": "out.mp4", "offset": offset, "size": size,
                               "last": offset + len(chunk) == size}).encode()
            await socket.send(struct.pack(">I", len(head)) + head + chunk)
            offset += len(chunk)
    await socket.send(json.dumps({
        "type": "completed", "job_id": job_id, "seq": 2, "attempt": 1, "result": None,
        "notes": [], "stats": {}, "metadata": None,
        "outputs": [{"index": 0, "name": "out.mp4", "size": size, "mime": "video/mp4",
                     "sha256": digest.hexdigest()}]}))


async def serve(socket):
    with tempfile.TemporaryDirectory() as folder:
        job_id, number, file = "", 0, None
        async for message in socket:
            if isinstance(message, str):
                request = json.loads(message)
                answer = {"request_id": request.get("request_id")}
                if request["type"] == "hello":
                    answer |= {"type": "welcome", "max_upload_frame": 64 << 20}
                elif request["type"] == "describe":
                    answer |= {"type": "operations", "operations": [OPERATION]}
                elif request["type"] == "start_job":
                    number += 1
                    job_id = f"{number:032x}"
                    file = open(os.path.join(folder, "in"), "wb")
                    answer |= {"type": "ack", "job_id": job_id, "status": "uploading",
                               "uploads": [{"input": 0, "received": 0}]}
                await socket.send(json.dumps(answer))
                continue
            (length,) = struct.unpack_from(">I", message)
            header = json.loads(message[4 : 4 + length])
            file.seek(header["offset"])
            file.write(message[4 + length :])
            if header.get("last"):
                file.close()
                await finish(socket, job_id, folder)


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, subprotocols=["luma.v1"], compression=None,
                                max_size=65 << 20) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"event=listening port={port} health_port=0", flush=True)
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main())
