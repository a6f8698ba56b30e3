"""keyframes() and parts(): what a script is told of where a stream can be cut."""

import json
import shutil

import pytest

import conftest

SCRIPT = """
return {
  summary = "Where the input can be cut", inputs = 1,
  options = {
    { "start", type = "time", default = 0 }, { "stop", type = "time" },
    { "at_keyframes", type = "boolean" }, { "sound", type = "boolean" },
  },
  run = function(job)
    local options, parts = job.options, {}
    local range = job.input:between(options.start, options.stop)
    local stream = options.sound and range.audio or range.video
    local found, why = stream:parts { keyframes = options.at_keyframes }
    for _, part in ipairs(found) do
      table.insert(parts, {
        start = part.start, stop = part.stop, duration = part.duration, copied = part.copied,
        kind = part.stream.kind, seconds = part.stream.duration,
      })
    end
    return { parts = parts, why = why, keyframes = range:keyframes(),
      all = job.input:keyframes(0, 100) }
  end,
}
"""


@pytest.fixture
def cut(luma, tmp_path):
    scripts = tmp_path / "scripts"
    shutil.copytree(conftest.ROOT / "scripts" / "lib", scripts / "lib")
    (scripts / "cuts.lua").write_text(SCRIPT)
    luma.environment["LUMA_SCRIPTS"] = str(scripts)

    def run(path, **options):
        done = luma.call("run", "cuts", path, "--json", "--options", json.dumps(options))
        document = json.loads(done.stdout)
        return document.get("result") or document["error"]

    return run


def test_parts(cut, clips):
    path = clips["clip.mp4"]  # a keyframe each second
    found = cut(path, start=0.5, stop=2.5)
    assert [part["copied"] for part in found["parts"]][:2] == [False, True]
    assert found["parts"][0]["start"] == 0.52 and abs(found["parts"][1]["start"] - 1) < 1e-6
    assert abs(sum(part["duration"] for part in found["parts"]) - 2) < 1e-6
    assert all(abs(part["seconds"] - part["duration"]) < 1e-6 for part in found["parts"])
    assert {part["kind"] for part in found["parts"]} == {"video"} and "why" not in found
    assert found["keyframes"] == [1, 2] and found["all"] == [0, 1, 2]
    whole = cut(path)
    assert len(whole["parts"]) == 1 and whole["parts"][0]["copied"]
    assert "stop" not in whole["parts"][0] and "duration" not in whole["parts"][0]


def test_at_keyframes(cut, clips):
    path = clips["clip.mp4"]
    found = cut(path, start=1.5, stop=2.5, at_keyframes=True)
    assert len(found["parts"]) == 1 and found["parts"][0]["copied"]
    assert found["parts"][0]["start"] == 1 and 2.5 <= found["parts"][0]["stop"] <= 2.7


def test_reason_and_refusal(cut, clips):
    path = clips["clip.mp4"]
    found = cut(path, start=0.1, stop=0.9)
    assert len(found["parts"]) == 1 and not found["parts"][0]["copied"]
    assert "no keyframe" in found["why"] and found["keyframes"] == {}
    assert cut(path, sound=True)["code"] == "script_error"
    assert cut(clips["deep.wav"], sound=True)["code"] == "script_error"
