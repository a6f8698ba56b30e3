"""A lumad process under test: started on free ports with a folder of its own, and at the end held
to what a well-behaved server leaves behind: exit status 0, no process, no stray file, and nothing
from a sanitizer in its log."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ALARMS = re.compile(r"ERROR: \w*Sanitizer|runtime error:|WARNING: ThreadSanitizer|"
                    r"SUMMARY: \w*Sanitizer|Assertion .* failed|stack smashing")

# The start's line, as text or as JSON.
STARTED = re.compile(r'event=listening port=(\d+) health_port=(\d+)|'
                     r'"event":"listening","port":(\d+),"health_port":(\d+)')


def default_binary():
    for path in (os.environ.get("LUMAD_BIN"), f"{ROOT}/build/asan/bin/lumad",
                 f"{ROOT}/build/bin/lumad"):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


def process_table():
    """{pid: (name, state, parent, session)} of everything that can be seen."""
    table = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                head, _, tail = file.read().rpartition(")")
        except OSError:
            continue
        fields = tail.split()
        table[int(pid)] = head.partition("(")[2], fields[0], int(fields[1]), int(fields[3])
    return table


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s: not {what}"
        time.sleep(0.02)


class Server:
    def __init__(self, binary, folder, wrapper=(), **settings):
        self.folder = str(folder)
        self.data = os.path.join(self.folder, "data")
        self.work = os.path.join(self.folder, "cwd")
        self.log_path = os.path.join(self.folder, "lumad.log")
        self.expected_alarms = None
        os.makedirs(self.data)
        os.makedirs(self.work)
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("LUMA_")}
        environment |= {"LUMA_HOST": "127.0.0.1", "LUMA_PORT": "0", "LUMA_HEALTH_PORT": "0",
                        "LUMA_DIR": self.data, "LUMA_SCRIPTS": f"{ROOT}/scripts",
                        "LUMA_ASSETS": f"{ROOT}/scripts/assets", "LUMA_DRAIN_TIMEOUT": "2",
                        "TMPDIR": self.work,
                        # A signal sent to a worker must end it as that signal would in production;
                        # and little freed memory is kept back, so that growth can be seen.
                        "ASAN_OPTIONS": "handle_segv=0:handle_abort=0:handle_sigbus=0:"
                                        "quarantine_size_mb=16",
                        **{name: str(value) for name, value in settings.items()}}
        self.command, self.environment = [*wrapper, binary], environment
        self.start()

    def start(self):
        with open(self.log_path, "a") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(self.command, cwd=self.work, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        self.port, self.health_port = self.wait_for_start()

    def crash(self):
        """Kills the server alone, as a crash would; what it leaves must end by itself."""
        self.process.kill()
        self.process.wait()

    def restart(self, **settings):
        """Another server for the same folder."""
        self.environment |= {name: str(value) for name, value in settings.items()}
        self.crash()
        self.start()

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def wait_for_start(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = STARTED.search(self.log(), self.log_start)
            if found:
                return tuple(int(port) for port in found.groups() if port)
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(f"the server did not start; it said:\n{self.log()}")

    # what can be seen of it from outside

    def health(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/health",
                                    timeout=30) as answer:
            return json.load(answer)

    def children(self):
        """{pid: name} of its child processes, dead ones that wait to be reaped among them."""
        return {pid: name if state != "Z" else "zombie"
                for pid, (name, state, parent, _) in process_table().items()
                if parent == self.pid}

    def workers(self):
        """Processes that work on jobs."""
        return {pid for pid, name in self.children().items() if name == "luma-worker"}

    def template(self):
        """The process from which workers are forked, once there is one and nothing else."""
        wait_until(lambda: list(self.children().values()) == ["luma-template"], 10,
                   f"one template and nothing else: {self.children()}")
        return next(iter(self.children()))

    def wait_idle(self, seconds=10):
        wait_until(lambda: len(self.children()) == 1, seconds, f"idle: {self.children()}")

    def memory(self):
        """Resident bytes of the server process."""
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def files_of(self, job_id):
        return [os.path.join(folder, name)
                for folder, folders, files in os.walk(self.data)
                for name in [*files, *folders] if job_id in os.path.join(folder, name)]

    def wait_gone(self, job_id, seconds=10):
        wait_until(lambda: not self.files_of(job_id), seconds,
                   f"rid of the files of {job_id}: {self.files_of(job_id)}")

    # its end

    def stop(self, seconds=60):
        """Asks it to end, and checks what it leaves."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {seconds} s of SIGTERM; "
                                 f"log:\n{self.log()[-3000:]}") from None
        deadline = time.monotonic() + 10
        while (left := self.session()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()
        log = self.log()
        alarm = ALARMS.search(log)
        assert not alarm, f"the log has an alarm:\n{log[max(0, alarm.start() - 500):][:6000]}"
        assert status == 0, f"exit status {status}; log:\n{log[-3000:]}"
        assert not left, f"processes left behind: {left}"
        assert os.listdir(self.work) == [], f"stray files: {os.listdir(self.work)}"

    def session(self):
        """Live processes of the server's session."""
        return {pid for pid, (_, state, _, session) in process_table().items()
                if session == self.pid and state != "Z" and pid != self.pid}

    def kill(self):
        for pid in self.session():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
