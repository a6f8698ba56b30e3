#!/usr/bin/python3
"""Two hundred connections that each run twenty small jobs in turn, by hand:

    tests/protocol/soak.py [--connections 200] [--jobs 20] [--rounds 1]

against LUMAD_BIN (else build/bin/lumad; sanitizers keep freed memory, so a release build). Results
are kept for 5 s and records for 10, so that both come and go while it runs. Prints jobs a second and
the server's memory, descriptors, threads, files and journal as they develop. Exit status 1 if a job
failed, the memory grew by more than 2 MiB from the first thousand jobs to the last, or something is
left when all has expired.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

from lumad import ROOT, Server
from wire import Client

KINDS = [("probe", {}), ("remove_audio", {}), ("thumbnail", {"count": 1}),
         ("convert", {"format": "mkv"}), ("extract_audio", {"format": "m4a"})]


def make_clip(folder):
    path = os.path.join(folder, "small.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=1",
                    "-f", "lavfi", "-i", "sine=440:d=1", "-c:v", "libx264", "-preset", "veryfast",
                    "-pix_fmt", "yuv420p", "-c:a", "aac", path], check=True)
    with open(path, "rb") as file:
        return file.read()


class Soak:
    def __init__(self, server, data):
        self.server, self.data = server, data
        self.lock, self.done, self.failures = threading.Lock(), 0, []

    def work(self, number, jobs):
        choose = random.Random(number)
        try:
            with Client(self.server.port) as client:
                for _ in range(jobs):
                    operation, options = choose.choice(KINDS)
                    client.run(operation, self.data, options).completed()
                    with self.lock:
                        self.done += 1
        except Exception as error:  # told at the end
            with self.lock:
                self.failures.append(f"connection {number}: {error!r}")

    def run(self, connections, jobs):
        """All of it; memory after each thousand jobs."""
        threads = [threading.Thread(target=self.work, args=(number, jobs))
                   for number in range(connections)]
        start, samples, step = time.monotonic(), [], max(1, min(1000, connections * jobs // 4))
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            if self.done >= (len(samples) + 1) * step:
                samples.append(self.server.memory())
                self.tell(start, samples[-1])
        self.server.wait_idle(30)
        samples.append(self.server.memory())
        self.tell(start, samples[-1])
        return samples

    def tell(self, start, memory):
        print(f"{self.done:>6} jobs  {self.done / (time.monotonic() - start):6.1f} a second  "
              f"{memory / 2**20:7.1f} MiB  {self.server.descriptors()} descriptors  "
              f"{self.server.threads()} threads  {len(self.files())} files  "
              f"{self.journal() / 2**20:.1f} MiB journal", flush=True)

    def files(self):
        return [name for _, _, names in os.walk(os.path.join(self.server.data, "jobs"))
                for name in names]

    def journal(self):
        return sum(os.path.getsize(os.path.join(self.server.data, name))
                   for name in os.listdir(self.server.data) if name.startswith("journal.db"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    wanted = parser.parse_args()
    binary = os.environ.get("LUMAD_BIN", os.path.join(ROOT, "build/bin/lumad"))
    with tempfile.TemporaryDirectory(prefix="luma-soak-") as folder:
        server = Server(binary, os.path.join(folder, "server"), LUMA_RESULT_TTL="5s",
                        LUMA_RECORD_TTL="10s")
        soak = Soak(server, make_clip(folder))
        samples = []
        for _ in range(wanted.rounds):
            samples += soak.run(wanted.connections, wanted.jobs)
        start = time.monotonic()
        while left := os.listdir(os.path.join(server.data, "jobs")):
            if time.monotonic() > start + 30:
                soak.failures.append(f"{len(left)} folders are left")
                break
            time.sleep(0.5)
        soak.tell(start, server.memory())
        server.stop()
    for failure in soak.failures:
        print(failure)
    growth = samples[-1] - samples[0]
    print(f"{soak.done} jobs, {len(soak.failures)} connections failed, "
          f"memory grew by {growth / 2**20:.2f} MiB from the first thousand to the last")
    return 1 if soak.failures or growth > 2 * 2**20 else 0


if __name__ == "__main__":
    sys.exit(main())
