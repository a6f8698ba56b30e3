"""The command line itself: arguments, exit status, where files go, what a terminal sees."""

import json
import os
import pty
import signal
import subprocess
import time

import pytest

import facts
from conftest import ROOT


def said(done):
    return done.stderr.decode()


@pytest.mark.parametrize("arguments,words", [
    ([], "luma run"),
    (["rum"], "did you mean 'run'"),
    (["run"], "which operation"),
    (["run", "compres", "x"], "did you mean 'compress'"),
    (["run", "compress"], "needs an input"),
    (["run", "compress", "x", "--crv", "3"], "did you mean '--crf'"),
    (["run", "compress", "x", "--crf"], "needs a value"),
    (["run", "compress", "x", "--crf", "much"], "crf"),
    (["run", "compress", "x", "--crf", "99"], "63"),
    (["run", "compress", "x", "--preset=tiny"], "low"),
    (["run", "compress", "x", "--video-codec=H265"], "did you mean 'hevc'"),
    (["run", "compress", "x", "--options", "{"], "JSON"),
    (["run", "compress", "x", "--threads", "-1"], "whole number"),
    (["run", "compress", "x", "-z"], "unknown option"),
    (["run", "compress", "x", "-o", "no/such/folder/y.mp4"], "no folder"),
    (["ops", "a", "b"], "one operation"),
    (["probe"], "which file"),
    (["check", "x.txt"], "not a Lua script"),
])
def test_usage(luma, arguments, words):
    done = luma.call(*arguments)
    assert done.returncode == 2
    assert words in said(done), said(done)


def test_usage_as_json(luma):
    done = luma.call("run", "compress", "x", "--json", "--crv", "3")
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "invalid_option" and "--crf" in error["message"]


def test_help(luma):
    text = luma.call("help").stdout.decode()
    for command in ("check", "explain", "ops", "probe", "run"):
        assert f"luma {command}" in text
        assert luma.call("help", command).returncode == 0
        assert luma.call(command, "--help").returncode == 0
    text = luma.call("run", "compress", "--help").stdout.decode()
    for word in ("preset", "max_width", "medium", "--output", "--threads"):
        assert word in text
    assert luma.call("--version").stdout.decode().startswith("luma ")


def test_ops(luma):
    text = luma.call("ops").stdout.decode()
    names = ("compress", "convert", "extract_audio", "gif", "probe", "remove_audio", "thumbnail")
    assert all(name in text for name in names)
    listed = json.loads(luma.call("ops", "--json").stdout)
    assert set(names) <= {operation["name"] for operation in listed}
    for operation in listed:
        assert operation["options"]["type"] == "object"
        assert operation["summary"] and operation["examples"] is not None
    assert "max_width" in luma.call("ops", "compress").stdout.decode()
    schema = json.loads(luma.call("ops", "compress", "--json").stdout)["options"]
    assert schema["properties"]["crf"]["maximum"] == 63


def test_page_of_operations(luma):
    """The documentation is what the scripts declare; else: luma ops --markdown."""
    page = luma.call("ops", "--markdown").stdout.decode()
    for operation in json.loads(luma.call("ops", "--json").stdout):
        part = page.split(f"\n## {operation['name']}\n")[1].split("\n## ")[0]
        assert operation["summary"] in part
        for name in operation["options"]["properties"]:
            assert part.count(f"| `{name}` |") == 1, name
        for example in operation["examples"]:
            assert json.dumps(example, sort_keys=True) in part
    assert "| `sheet.columns` | a whole number from 1 to 70 | `5` |" in page
    assert "| `filters[].crop" not in page
    assert (ROOT / "docs" / "operations.md").read_text() == page, \
        "docs/operations.md is out of date: luma ops --markdown >docs/operations.md"


def test_check(luma):
    done = luma.call("check")
    assert done.returncode == 0, done.stdout.decode()
    scripts = luma.folder / "scripts"
    scripts.mkdir()
    good = 'return { summary = "s", inputs = 1, options = {}, run = function() end }'
    (scripts / "good.lua").write_text(good)
    (scripts / "broken.lua").write_text("return {")
    (scripts / "wrong.lua").write_text(good.replace("options = {}", """
        options = { { "n", type = "integer", max = 3 } }, examples = { { n = 9 } }"""))
    done = luma.call("check", "--json", "--scripts", scripts)
    assert done.returncode == 1
    found = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert found["good"]["ok"] and not found["broken"]["ok"] and not found["wrong"]["ok"]
    assert "example 1" in found["wrong"]["message"]
    assert luma.call("check", scripts / "good.lua").returncode == 0
    (scripts / "broken.lua").write_text("return {\n  inputs = 1\n  options = {},\n}")
    done = luma.call("check", scripts / "broken.lua")
    assert done.returncode == 1 and "broken.lua, line 3: '}' expected" in done.stdout.decode()
    for arguments in (["run", "broken", "x.mp4"], ["ops", "broken"]):
        done = luma.call(*arguments, "--scripts", scripts)
        assert done.returncode != 0 and "broken.lua, line 3: '}' expected" in said(done)


def test_examples_run(luma, clips):
    """Every example of every operation does what it says on a plain clip."""
    for operation in json.loads(luma.call("ops", "--json").stdout):
        assert operation["examples"], operation["name"]
        for example in operation["examples"]:
            clip = "tracks.mkv" if operation["name"] == "subtitles" else "clip.mp4"
            luma.ok(operation["name"], *[clips[clip]] * operation["inputs"]["min"], **example)


def test_options_in_words(luma, clips):
    done = luma.call("run", "thumbnail", clips["clip.mp4"], "-o", luma.folder / "p", "--json",
                     "--timestamps", "0.5,50%", "--timestamps=1", "--no-exact", "--width", "100")
    assert done.returncode == 0, said(done)
    paths = [output["path"] for output in json.loads(done.stdout)["outputs"]]
    assert len(paths) == 3 and all(path.startswith(str(luma.folder / "p/")) for path in paths)


def test_where_files_go(luma, clips):
    clip = clips["clip.mp4"]
    done = luma.call("run", "remove_audio", clip)
    assert done.returncode == 0 and (luma.folder / "clip.mp4").exists()
    assert "clip.mp4" in done.stdout.decode() and "note: " in said(done)
    done = luma.call("run", "remove_audio", clip)
    assert done.returncode == 2 and "--force" in said(done)
    assert luma.call("run", "remove_audio", clip, "--force").returncode == 0
    assert luma.call("run", "remove_audio", clip, "-y", "-o", "b.mp4").returncode == 0
    assert luma.call("run", "convert", clip, "-o", "c.mkv").returncode == 0
    assert "matroska" in facts.probe(luma.folder / "c.mkv").format
    assert sorted(p.name for p in luma.folder.iterdir()) == ["b.mp4", "c.mkv", "clip.mp4"]


def test_a_name_that_says_another_format(luma, clips):
    """A file is never named as what it isn't: that is refused, and nothing is left behind."""
    clip = clips["clip.mp4"]
    for arguments in (["remove_audio", clip, "-o", "a.mkv"],
                      ["convert", clip, "--format", "mkv", "-o", "b.mp4"],
                      ["thumbnail", clip, "--format", "png", "-o", "c.jpg"]):
        done = luma.call("run", *arguments)
        made = arguments[3] if arguments[2] == "--format" else "mp4"
        assert done.returncode == 2 and f"end the name in .{made}" in said(done), said(done)
        assert list(luma.folder.iterdir()) == []
    assert luma.call("run", "convert", clip, "-o", "e.ts").returncode == 0
    assert "mpegts" in facts.probe(luma.folder / "e.ts").format
    done = luma.call("run", "thumbnail", clip, "--count", "2", "-o", "f.jpg")
    assert done.returncode == 2 and "name a folder" in said(done), said(done)
    assert [path.name for path in luma.folder.iterdir()] == ["e.ts"]
    for name in ("d.m4v", "d.copy", "d"):
        assert luma.call("run", "remove_audio", clip, "-o", name).returncode == 0


def test_an_input_is_never_replaced(luma, clips):
    own = luma.folder / "own.mp4"
    own.write_bytes(open(clips["clip.mp4"], "rb").read())
    before = own.read_bytes()
    done = luma.call("run", "remove_audio", own, "-o", own, "--force")
    assert done.returncode == 2 and own.read_bytes() == before
    done = luma.call("run", "remove_audio", own, "--force")
    assert done.returncode == 0 and own.read_bytes() == before
    assert (luma.folder / "own-remove_audio.mp4").exists()


def test_failure_leaves_nothing(luma, clips):
    for name in ("garbage.bin", "truncated.mp4", "silent.mp4"):
        done = luma.call("run", "extract_audio", clips[name], "--format", "mp3", "-o", "x.mp3")
        assert done.returncode == 1 and said(done).startswith("luma: ")
    done = luma.call("run", "probe", luma.folder / "not-there.mp4")
    assert done.returncode in (1, 2) and "not-there.mp4" in said(done)
    assert str(luma.folder) not in said(done)
    assert list(luma.folder.iterdir()) == []


def long_clip(clips):
    path = clips.folder / "long.mp4"
    if not path.exists():
        facts.ffmpeg("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=60", "-c:v",
                     "libx264", "-preset", "ultrafast", path)
    return path


@pytest.mark.parametrize("times", [1, 2])
def test_interrupt(luma, clips, times):
    long = long_clip(clips)
    child = subprocess.Popen([luma.program, "run", "compress", long, "-o", "x.mp4",
                              "--encoder-preset", "veryslow", "--crf", "20"],
                             cwd=luma.folder, env=luma.environment, stderr=subprocess.PIPE)
    time.sleep(1.5)
    start = time.monotonic()
    for _ in range(times):
        child.send_signal(signal.SIGINT)
    report = child.communicate(timeout=20)[1].decode()
    assert time.monotonic() - start < 5
    assert child.returncode in ((1,) if times == 1 else (1, 130)), report
    assert "Sanitizer" not in report
    assert list(luma.folder.iterdir()) == []


def test_terminal(luma, clips):
    """On a terminal: one line that redraws itself, with a bar, a percentage and an ETA."""
    long = long_clip(clips)
    parent, child = pty.openpty()
    process = subprocess.Popen([luma.program, "run", "compress", long, "-o", "x.mp4",
                                "--encoder-preset", "ultrafast", "--max-width", "320"],
                               cwd=luma.folder, env={**luma.environment, "TERM": "xterm"},
                               stdout=subprocess.DEVNULL, stderr=child, stdin=subprocess.DEVNULL)
    os.close(child)
    text = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(parent)
    assert process.wait(timeout=60) == 0
    text = text.decode()
    assert "\r\033[K" in text and "%" in text and "[" in text and " left" in text
    assert "of 60.0 s" in text
    percents = [float(word.split()[0]) for word in text.split("] ")[1:]
                if word.split()[0].replace(".", "").isdigit()]
    assert len(percents) > 2 and percents == sorted(percents)


def test_no_escapes_in_a_pipe(luma, clips):
    done = luma.call("run", "compress", clips["silent.mp4"], "-o", "x.mp4")
    assert "\033" not in said(done) and "\r" not in said(done)
    assert b"\033" not in done.stdout


def test_explain(luma, clips):
    arguments = ["explain", "compress", clips["clip.mp4"], "--crf", "28", "--max-width", "160"]
    text = luma.call(*arguments).stdout.decode()
    for word in ("h264", "crf", "28", "scale", "copy", "clip.mp4"):
        assert word in text, text
    assert "digraph" in luma.call(*arguments, "--dot").stdout.decode()
    command = luma.call(*arguments, "--ffmpeg").stdout.decode()
    assert command.startswith("ffmpeg ") and "-crf" in command
    document = json.loads(luma.call(*arguments, "--json").stdout)
    assert {"text", "dot", "ffmpeg", "notes"} <= set(document)
    assert str(clips.folder) not in text + command
    assert list(luma.folder.iterdir()) == []


def test_scripts_of_ones_own(luma, clips):
    scripts = luma.folder / "mine"
    scripts.mkdir()
    (scripts / "half.lua").write_text("""
        return {
          summary = "Half the size", inputs = 1, options = {},
          run = function(job)
            local video = job.input.video
            job:output { format = "mkv",
              video:scale(video.width // 2, -2):encode { codec = "h264", preset = "ultrafast" } }
          end,
        }""")
    (scripts / "bad.lua").write_text("""
        return { summary = "Bad", inputs = 1, options = {}, run = function(job)
            job.input.video:scal(1, 2)
        end }""")
    done = luma.call("run", "half", clips["clip.mp4"], "--scripts", scripts, "-o", "h.mkv")
    assert done.returncode == 0, said(done)
    assert facts.probe(luma.folder / "h.mkv").video.width == 160
    done = luma.call("run", "bad", clips["clip.mp4"], "--scripts", scripts, "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "script_error" and "scale" in error["message"]


def test_scripts_are_found_beside_the_program(luma):
    if not str(luma.program).startswith(str(ROOT / "build")):
        pytest.skip("this luma wasn't built inside the tree")
    environment = {k: v for k, v in luma.environment.items() if k != "LUMA_SCRIPTS"}
    done = subprocess.run([luma.program, "ops"], env=environment, capture_output=True, check=True)
    assert b"compress" in done.stdout
