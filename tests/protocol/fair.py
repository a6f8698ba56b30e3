#!/usr/bin/python3
"""By hand, on a release build: one caller queues fifty encodes, then a second asks for a thumbnail
and an encode.

    tests/protocol/fair.py [JOBS]       LUMAD_BIN names the server

Told are the seconds until the thumbnail is there (2 are allowed), and how many more of the first
caller's encodes began before the second's did (one is).
"""

import os
import subprocess
import sys
import tempfile
import threading
import time

from lumad import Server, default_binary
from wire import Client

ENCODE = {"preset": "custom", "crf": 28, "encoder_preset": "medium"}


def clip(folder):
    path = os.path.join(folder, "clip.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi",
                    "-i", "testsrc2=s=640x360:r=30:d=8,noise=alls=8:allf=t", "-c:v", "libx264",
                    "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p", path], check=True)
    with open(path, "rb") as file:
        return file.read()


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def times(client, job):
    record = client.request({"type": "get_job", "job_id": job.id})["job"]
    return record["status"], record.get("started_at"), record.get("ended_at")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder:
        data = clip(folder)
        server = Server(default_binary(), os.path.join(folder, "server"),
                        LUMA_TOKENS="many:first-secret,few:second-secret")
        with Client(server.port, headers=bearer("first-secret")) as many, \
                Client(server.port, headers=bearer("second-secret")) as few:
            jobs = [many.start("compress", [len(data)], ENCODE, delivery="pull")
                    for _ in range(count)]
            for job in jobs:
                many.upload(job, data)
            reading = threading.Thread(target=lambda: [many.finish(job, 3600) for job in jobs])
            reading.start()
            print(f"{count} encodes of {len(data) / 1e6:.1f} MB are queued")

            asked = few.request({"type": "ping"})["time"]
            start = time.monotonic()
            few.run("thumbnail", data, {"count": 1}).completed()
            print(f"thumbnail: {time.monotonic() - start:.2f} s")
            encode = few.start("compress", [len(data)], ENCODE)
            few.upload(encode, data)
            few.finish(encode, 3600).completed()
            print(f"encode: done after {time.monotonic() - start:.2f} s")

            _, begun, _ = times(few, encode)
            with Client(server.port, headers=bearer("first-secret")) as again:
                seen = [times(again, job) for job in jobs]
                later = sum(status == "completed" and asked < started < begun
                            for status, started, _ in seen)
                waiting = sum(status == "queued" for status, _, _ in seen)
                for job in jobs:
                    again.request({"type": "cancel_job", "job_id": job.id})
            print(f"encodes of the first caller that began in between: {later}; "
                  f"{waiting} still waited when the second caller's was done")
            reading.join()
        server.stop()


if __name__ == "__main__":
    main()
