"""Scripts that come, change, break and go while the server runs: the next request sees it."""

import json
import os
import shutil

import pytest

from http_client import ask
from lumad import ROOT, Server, wait_until
from wire import Client

SCRIPT = """
local words = require "lib.words"
return {{
  summary = "{summary}",
  inputs = 1,
  options = {{ {{ "{option}", type = "integer", default = 1, help = "a number" }} }},
  examples = {{ {{}} }},
  run = function(job) return {{ said = words.{word}, number = job.options.{option} }} end,
}}
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    os.mkdir(folder / "lib")
    for name in ("probe.lua", "lib/color.lua"):
        shutil.copy(f"{ROOT}/scripts/{name}", folder / name)
    return folder


@pytest.fixture(scope="module")
def live(binary, scripts, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"), LUMA_SCRIPTS=scripts)
    yield running
    running.stop()


@pytest.fixture
def client(live):
    with Client(live.port) as connected:
        yield connected


def write(path, text):
    """As an editor does it: the name never stands for half a file."""
    with open(f"{path}.new", "w") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def described(client):
    answer = client.request({"type": "describe"})
    return ({operation["name"]: operation for operation in answer["operations"]},
            {entry["name"]: entry["message"] for entry in answer.get("broken", [])})


def start(operation, size):
    return {"type": "start_job", "operation": operation, "options": {},
            "inputs": [{"kind": "upload", "size": size}]}


def test_a_life_of_a_script(client, live, scripts, small):
    assert set(described(client)[0]) == {"probe"}
    client.error(start("echo", len(small)), "unknown_operation")

    # it comes
    write(scripts / "lib" / "words.lua", 'return { first = "one", second = "two" }')
    write(scripts / "echo.lua", SCRIPT.format(summary="Say it", option="times", word="first"))
    assert client.run("echo", small).completed()["result"] == {"said": "one", "number": 1}
    assert described(client)[0]["echo"]["summary"] == "Say it"

    # it changes: what it does, what it takes, what is told of it
    write(scripts / "echo.lua", SCRIPT.format(summary="Say more", option="count", word="second"))
    last = client.run("echo", small, {"count": 5}).completed()
    assert last["result"] == {"said": "two", "number": 5}
    client.error(start("echo", len(small)) | {"options": {"times": 1}}, "invalid_option")
    operation = described(client)[0]["echo"]
    assert operation["summary"] == "Say more" and "count" in operation["options"]["properties"]

    # what it leans on changes
    write(scripts / "lib" / "words.lua", 'return { second = "drei" }')
    assert client.run("echo", small).completed()["result"]["said"] == "drei"

    # it goes
    os.remove(scripts / "echo.lua")
    client.error(start("echo", len(small)), "unknown_operation")
    assert set(described(client)[0]) == {"probe"}


def test_a_broken_script_disables_itself_alone(client, live, scripts, small):
    def logged():
        return [line for line in live.log().splitlines() if "event=operation_broken" in line]

    write(scripts / "lib" / "words.lua", 'return { first = "one" }')
    write(scripts / "echo.lua", "return { summary = ")
    client.error(start("echo", len(small)), "unknown_operation")
    operations, broken = described(client)
    assert set(operations) == {"probe"} and set(broken) == {"echo"} and "echo.lua" in broken["echo"]
    client.run("probe", small).completed()
    assert len(logged()) == 1 and "operation=echo" in logged()[0]

    # the change of another file doesn't bring it up again
    write(scripts / "lib" / "words.lua", 'return { first = "eins" }')
    assert set(described(client)[1]) == {"echo"}
    assert len(logged()) == 1

    # broken otherwise: a module that isn't there, a schema that can't be
    write(scripts / "echo.lua", 'require "lib.nowhere"')
    assert "nowhere" in described(client)[1]["echo"]
    write(scripts / "echo.lua", SCRIPT.format(summary="x", option="count", word="first")
          .replace('"integer"', '"whole"'))
    assert "whole" in described(client)[1]["echo"]
    assert len(logged()) == 3

    # a module that others lean on breaks them, and only them
    write(scripts / "echo.lua", SCRIPT.format(summary="x", option="count", word="first"))
    write(scripts / "lib" / "words.lua", "return {")
    operations, broken = described(client)
    assert set(operations) == {"probe"} and "words.lua" in broken["echo"]

    # and it is mended
    write(scripts / "lib" / "words.lua", 'return { first = "uno" }')
    assert client.run("echo", small).completed()["result"]["said"] == "uno"
    assert described(client)[1] == {}
    os.remove(scripts / "echo.lua")


def test_a_script_that_never_ends_is_broken(client, scripts, small):
    write(scripts / "echo.lua", "while true do end")
    operations, broken = described(client)
    assert set(operations) == {"probe"} and set(broken) == {"echo"}
    client.run("probe", small).completed()
    os.remove(scripts / "echo.lua")


def test_a_running_job_keeps_its_script(client, scripts, clips, live):
    """The script is read when a job begins to run; a change concerns the next one."""
    shutil.copy(f"{ROOT}/scripts/compress.lua", scripts / "compress.lua")
    for name in os.listdir(f"{ROOT}/scripts/lib"):
        shutil.copy(f"{ROOT}/scripts/lib/{name}", scripts / "lib" / name)
    data = clips("long.mp4")
    job = client.start("compress", [len(data)],
                       {"preset": "custom", "crf": 45, "encoder_preset": "ultrafast"})
    client.upload(job, data)
    client.wait_for(job, "processing")
    os.remove(scripts / "compress.lua")
    client.error(start("compress", len(data)), "unknown_operation")
    client.finish(job).completed()


def test_nothing_is_known_before_the_scripts_are_read(own_server, tmp_path):
    """Each of these takes its time: a second of a processor, then it is broken."""
    for name in "abc":
        (tmp_path / f"{name}.lua").write_text("while true do end")
    server = own_server(LUMA_SCRIPTS=tmp_path)
    answer = ask(server.port, "/operations")
    assert answer.status == 503 and b"being read" in answer.body
    answer = ask(server.health_port, "/ready")
    assert answer.status == 503 and answer.body == b"starting\n"
    wait_until(lambda: ask(server.health_port, "/ready").status == 200, 60, "ready")
    answer = ask(server.port, "/operations")
    assert answer.status == 200 and json.loads(answer.body)["operations"] == []
    assert [entry["name"] for entry in json.loads(answer.body)["broken"]] == ["a", "b", "c"]
