#!/usr/bin/python3
"""Clients that submit, upload, leave and come back, while the server is killed with SIGKILL and
started again at random moments; by hand:

    tests/protocol/kill_loop.py [--kills 100] [--clients 6] [--seed N]

against LUMAD_BIN (else build/bin/lumad). At the end every job that was acknowledged has had its one
last word, the same whenever it is asked for, every output has the SHA-256 that was told, a job_key
has made one job however often it was sent, and when all has expired nothing is left. Prints what
the jobs came to; exit status 1 if anything of that isn't so.
"""

import argparse
import collections
import os
import random
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import traceback

from lumad import ROOT, Server, wait_until
from soak import make_clip
from wire import Client, Closed, Job, Refused

KINDS = [("probe", {}), ("remove_audio", {}), ("thumbnail", {"count": 3}),
         ("convert", {"format": "mkv"}), ("extract_audio", {"format": "m4a"}),
         ("compress", {"preset": "custom", "crf": 30, "encoder_preset": "slow"})]
PIECE = 16 * 1024
LOST = (Closed, Refused, OSError)


class Tracked(Job):
    """One job over all of its connections: outputs of a later attempt begin anew."""

    def see_output(self, header, payload):
        output = self.outputs.get(header["output"])
        if output and header["attempt"] > output["attempt"]:
            del self.outputs[header["output"]]
        super().see_output(header, payload)
        self.outputs[header["output"]]["attempt"] = header["attempt"]

    def received(self):
        return [{"output": number, "received": len(output["data"]), "attempt": output["attempt"]}
                for number, output in self.outputs.items()]


class Loop:
    def __init__(self, binary, folder, port, data):
        self.data, self.port = data, port
        self.server = Server(binary, os.path.join(folder, "server"), LUMA_PORT=port,
                             LUMA_CONNECTIONS_PER_ADDRESS=100, LUMA_WORKERS=2)
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.jobs, self.failures, self.counts = [], [], collections.Counter()

    def connect(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                return Client(self.port)
            except LOST:
                assert time.monotonic() < deadline, "the server doesn't come back"
                time.sleep(0.02)

    # one job

    def submit(self, client, message):
        answer = client.request(message)
        assert answer["type"] == "ack", answer
        return answer

    def life(self, choose, key):
        """From its start to its last word, over as many connections as it takes."""
        operation, options = choose.choice(KINDS)
        announced = choose.random() < 0.5
        upload = {"kind": "upload", "size": len(self.data)} if announced else {"kind": "upload"}
        message = {"type": "start_job", "operation": operation, "options": options, "job_key": key,
                   "inputs": [upload], "detach": choose.random() < 0.5}
        job, connections = None, 0
        while not (job and job.last):
            client = self.connect()
            connections += 1
            try:
                if not job:
                    answer = self.submit(client, message)
                    self.counts["duplicate"] += answer.get("duplicate", False)
                    job = Tracked(answer)
                    client.jobs[job.id] = job
                    with self.lock:
                        self.jobs.append((job, key))
                else:
                    client.jobs[job.id] = job
                    answer = self.submit(client, {"type": "attach", "job_id": job.id,
                                                  "outputs": job.received()})
                    self.restart_outputs(job, answer)
                self.go_on(client, job, answer, choose)
            except LOST:
                self.counts["lost"] += 1
            finally:
                client.close()
        self.finish(job, connections)

    @staticmethod
    def restart_outputs(job, answer):
        """What an earlier attempt sent is worth nothing once there is another."""
        job.outputs = {number: output for number, output in job.outputs.items()
                       if output["attempt"] == answer["attempt"]}
        for output in job.outputs.values():
            output["last"] = False

    def go_on(self, client, job, answer, choose):
        if answer["status"] == "uploading":
            offset = answer["uploads"][0]["received"]
            while not job.last:
                piece = self.data[offset : offset + PIECE]
                last = offset + len(piece) >= len(self.data)
                client.send_upload(job, piece, offset, 0, last)
                offset += len(piece)
                if choose.random() < 0.02:
                    self.counts["left"] += 1
                    return
                if choose.random() < 0.2:
                    client.pump(choose.random() * 0.05)
                if last:
                    break
        while not job.last:
            if choose.random() < 0.02:
                self.counts["left"] += 1
                return
            client.pump(1)

    def finish(self, job, connections):
        if job.last["type"] == "completed":
            job.completed()
        outcome = job.last.get("code", "completed")
        with self.lock:
            self.counts[outcome] += 1
            self.counts["connections"] += connections
        assert outcome in ("completed", "interrupted"), job.last

    def work(self, number, seed):
        choose = random.Random(seed * 1000 + number)
        try:
            count = 0
            while not self.over.is_set():
                self.life(choose, f"client {number} job {count}")
                count += 1
        except Exception:  # told at the end
            with self.lock:
                self.failures.append(f"client {number}: {traceback.format_exc()}")

    # the whole

    def kill(self, kills, seed):
        choose = random.Random(seed)
        for _ in range(kills):
            time.sleep(choose.choice([0.02, 0.2, 0.5, 1, 2]) * choose.random())
            self.server.restart()

    def check(self):
        """Every word once more; then everything's time is over."""
        with self.connect() as client:
            for job, _ in self.jobs:
                if not job.last:
                    continue
                again = client.request({"type": "attach", "job_id": job.id})
                assert again["type"] == "ack", (again, job.last)
                view = client.finish(client.jobs[job.id])
                assert {**view.last, "seq": 0} == {**job.last, "seq": 0}, (view.last, job.last)
        database = sqlite3.connect(os.path.join(self.server.data, "journal.db"))
        keys = database.execute("SELECT job_key, count(*) FROM jobs GROUP BY job_key").fetchall()
        database.close()
        twice = [key for key, count in keys if count != 1]
        assert not twice, f"keys with more than one job: {twice}"
        known = {key for _, key in self.jobs}
        assert known <= {key for key, _ in keys}
        self.server.restart(LUMA_RESULT_TTL="1ms", LUMA_RECORD_TTL="1ms", LUMA_RECONNECT_GRACE="1ms")
        jobs = os.path.join(self.server.data, "jobs")
        wait_until(lambda: not os.listdir(jobs), 60, f"rid of all: {os.listdir(jobs)[:5]}")
        database = sqlite3.connect(os.path.join(self.server.data, "journal.db"))
        wait_until(lambda: database.execute("SELECT count(*) FROM jobs").fetchone()[0] == 0, 60,
                   "rid of all records")
        database.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    wanted = parser.parse_args()
    binary = os.environ.get("LUMAD_BIN", os.path.join(ROOT, "build/bin/lumad"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    print(f"seed {wanted.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="luma-kill-") as folder:
        loop = Loop(binary, folder, port, make_clip(folder))
        threads = [threading.Thread(target=loop.work, args=(number, wanted.seed))
                   for number in range(wanted.clients)]
        for thread in threads:
            thread.start()
        try:
            loop.kill(wanted.kills, wanted.seed)
        finally:
            loop.over.set()
            for thread in threads:
                thread.join(120)
        assert not any(thread.is_alive() for thread in threads), "a client hangs"
        if not loop.failures:
            loop.check()
        left = sorted(os.listdir(loop.server.data))
        loop.server.stop()
    for failure in loop.failures:
        print(failure)
    print(f"{wanted.kills} kills, {len(loop.jobs)} jobs: {dict(loop.counts)}; left: {left}")
    return 1 if loop.failures else 0


if __name__ == "__main__":
    sys.exit(main())
