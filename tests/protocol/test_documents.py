"""What the documents show is run as it stands: the requests of docs/protocol.md, and the commands
and the script of docs/quickstart.md."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from lumad import ROOT
from wire import Client

SUBTITLES = b"1\n00:00:00,500 --> 00:00:01,500\nHello\n\n"


def blocks(page, language):
    with open(f"{ROOT}/docs/{page}") as file:
        return re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.S | re.M)


REQUESTS = {request["operation"]: request
            for block in blocks("protocol.md", "json") if block.count("\n") > 8
            for request in map(json.loads, block.splitlines())}


def test_there_is_a_request_for_each_operation(client):
    described = client.request({"type": "describe"})["operations"]
    assert {operation["name"] for operation in described} == set(REQUESTS)


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_request(client, small, operation):
    request = REQUESTS[operation]
    job = client.jobs[client.request(request)["job_id"]]
    assert job.ack["status"] == "uploading"
    for number, item in enumerate(request["inputs"]):
        data = SUBTITLES if item["name"].endswith(".srt") else small
        client.upload(job, data, number)
    last = client.finish(job).completed()
    assert (operation == "probe") == (last["outputs"] == [])
    assert all(output["size"] > 0 for output in last["outputs"])


def test_the_quickstart(own_server, clips, tmp_path):
    """Its clients' commands, with the script that it has readers write."""
    scripts = tmp_path / "scripts"
    shutil.copytree(f"{ROOT}/scripts", scripts)
    (script,) = blocks("quickstart.md", "lua")
    (scripts / "teaser.lua").write_text(script)
    (tmp_path / "holiday.mp4").write_bytes(clips("small.mp4"))
    server = own_server(LUMA_SCRIPTS=scripts)
    commands = [line for block in blocks("quickstart.md", "sh") for line in block.splitlines()
                if "examples/client.py" in line]
    assert len(commands) == 4
    for command in commands:
        program, *arguments = shlex.split(command)
        ran = subprocess.run([sys.executable, f"{ROOT}/{program}", *arguments], cwd=tmp_path,
                             env={**os.environ, "LUMA_SERVER": f"ws://127.0.0.1:{server.port}/ws"},
                             capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    made = sorted(os.listdir(tmp_path / "results"))
    assert len(made) >= 5 and all(os.path.getsize(tmp_path / "results" / name) for name in made)
