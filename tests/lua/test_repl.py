"""The REPL, as a person at a terminal finds it: keys in, what is seen out."""

import os
import signal
import stat
import termios
import time

import pytest

from conftest import CTRL_C, CTRL_D, ENTER, TAB, UP

SMALL = 'source.video:scale(160, -2):encode{ codec="h264", preset="ultrafast" }'
SLOW = 'run("compress", source, { encoder_preset="veryslow", crf=20 }, "slow.mp4")'


def tab(terminal, keys):
    """What stands on the line after keys and a tab (and what is listed), then clears the line."""
    terminal.send(keys)
    terminal.expect(r"\Z", 5)
    end = time.monotonic() + 10
    while keys.split()[-1] not in terminal.text[terminal.seen:] and time.monotonic() < end:
        terminal.read(0.1)
    terminal.send(TAB)
    before, end = len(terminal.text), time.monotonic() + 10
    while len(terminal.text) == before and time.monotonic() < end:
        terminal.read(0.1)
    terminal.read(0.3)
    terminal.send(CTRL_C)
    text = terminal.prompt()
    return text.replace("\r\n", "\n").replace("\r", "").split("^C")[0]


# ---- values ----

def test_values_print_themselves(repl):
    terminal = repl()
    assert terminal.ask("1 + 1") == "2\n"
    assert terminal.ask('"a\\27\\"b"') == '"a\\x1B\\"b"\n'
    assert terminal.ask("nil, true") == "nil\ntrue\n"
    assert terminal.ask("x = 5") == ""
    assert terminal.ask("x * 2") == "10\n"
    assert terminal.ask("_ + 1") == "11\n"
    assert terminal.ask('{ 1, "two", c = { d = {} }, [2.5] = av.null }') == (
        '{\n  1,\n  "two",\n  c = {\n    d = {}\n  },\n  [2.5] = av.null\n}\n')
    assert terminal.ask("-- nothing") == ""
    assert terminal.leave() == 0


def test_values_are_bounded(repl):
    terminal = repl()
    assert len(terminal.ask("t = {}; for i = 1, 1e5 do t[i] = {i, {i}} end") or "") == 0
    assert len(terminal.ask("t")) < 8000 and " more" in terminal.text
    assert len(terminal.ask('("x"):rep(1e6)')) < 4000
    terminal.ask("t = {}; t.t = t")
    assert "{...}" in terminal.ask("t")
    assert len(terminal.ask("for i = 1, 3 do print(i) end").split()) == 3
    assert len(terminal.ask("av")) < 20000
    assert terminal.leave() == 0


def test_media_print_themselves(repl, clip):
    terminal = repl(clip)
    said = terminal.ask("source")
    for word in ("clip.mp4", "0:03", "h264", "320x180", "25 fps", "aac"):
        assert word in said, said
    assert "two?[2J?? words" in said, said
    assert "h264, 320x180" in terminal.ask("source.video")
    assert "scale(w=160, h=-2) of stream 0 of clip.mp4" in terminal.ask(
        "source.video:scale(160, -2)")
    assert "from 1 s to 2 s" in terminal.ask("source:between(1, 2)")
    terminal.ask(f'o = output{{ format="mp4", {SMALL}, source.audio:copy() }}')
    said = terminal.ask("o")
    assert "encode libx264" in said and "copied, aac fits mp4" in said
    assert "1 input and 1 output" in terminal.ask("job")
    assert 'ffmpeg ' in terminal.ask('av.explain(o, "ffmpeg")')
    assert terminal.ask("#sources, job.input == source") == "1\ntrue\n"
    assert terminal.leave() == 0


def test_open(repl, clip):
    terminal = repl()
    assert terminal.ask(f'clip = av.open("{clip}")') == ""
    assert terminal.ask("clip.video.width") == "320\n"
    assert terminal.ask(f'for i = 1, 300 do av.open("{clip}") end') == ""
    said = terminal.ask('av.open("not-there.mp4")')
    assert said.startswith("line 1: ") and "not-there.mp4" in said
    (repl.folder / "text.txt").write_text("no media at all")
    assert "line 1: " in terminal.ask('av.open("text.txt")')
    assert terminal.ask("clip.audio.sample_rate > 0") == "true\n"
    assert terminal.leave() == 0


# ---- statements ----

def test_a_statement_over_several_lines(repl):
    terminal = repl()
    terminal.send("function double(x)" + ENTER)
    terminal.expect(r"-> \Z")
    terminal.send("return 2 * x" + ENTER)
    terminal.expect(r"-> \Z")
    assert terminal.ask("end") == ""
    assert terminal.ask("double(21)") == "42\n"
    terminal.send("{ 1," + ENTER)
    terminal.expect(r"-> \Z")
    terminal.send(CTRL_C)
    assert "^C" in terminal.prompt()
    assert terminal.ask("double(1)") == "2\n"
    assert terminal.leave() == 0


def test_errors_and_on(repl, clip):
    terminal = repl(clip)
    assert "did you mean 'scale'" in terminal.ask("source.video:scal(1, 2)")
    terminal.send("do" + ENTER)
    terminal.expect(r"-> \Z")
    terminal.send('error("here")' + ENTER)
    terminal.expect(r"-> \Z")
    assert terminal.ask("end") == "line 2: here\n"
    assert terminal.ask("x = = 2").startswith("line 1: unexpected symbol near '='")
    assert "nil value (global 'nothing')" in terminal.ask("nothing.at_all")
    assert "no_such_stream" not in terminal.ask('job:fail("no_such_stream", "none there")')
    assert terminal.ask('job:note("noted")') == "note: noted\n"
    assert terminal.ask('error({ message = "of a table" })') == "line 1: of a table\n"
    assert terminal.ask("load, io, os, debug, require and 1") == "nil\nnil\nnil\nnil\n1\n"
    assert "read-only" in terminal.ask("string.rep = nil")
    assert "it stays" in terminal.ask("local y = 1")
    assert terminal.ask("y") == "nil\n"
    assert "memory" in terminal.ask('t = {}; while true do t[#t + 1] = ("x"):rep(1e6) .. #t end')
    assert terminal.ask("t = nil") == ""
    assert terminal.ask("1") == "1\n"
    assert terminal.leave() == 0


def test_an_endless_loop_is_interrupted(repl):
    terminal = repl()
    for loop in ("while true do end", "while true do pcall(error) end",
                 "coroutine.wrap(function() while true do end end)()"):
        terminal.send(loop + ENTER)
        terminal.expect(r"\r\n")
        time.sleep(0.5)
        terminal.send(CTRL_C)
        assert "cancelled" in terminal.prompt(10)
        assert terminal.ask("2 * 3") == "6\n"
    terminal.send("while true do end" + ENTER)
    terminal.expect(r"\r\n")
    time.sleep(0.3)
    terminal.signal(signal.SIGTERM)
    assert terminal.end() == 0


def test_leaving(repl):
    for keys in (CTRL_D, "exit" + ENTER, "quit" + ENTER):
        terminal = repl()
        terminal.send(keys)
        assert terminal.end() == 0
    terminal = repl()
    terminal.send("abc" + CTRL_C)
    terminal.prompt()
    terminal.signal(signal.SIGINT)
    terminal.prompt()
    assert terminal.ask("1") == "1\n"
    assert not termios.tcgetattr(terminal.fd)[3] & termios.ICANON
    terminal.signal(signal.SIGHUP)
    assert terminal.end() == 0
    modes = termios.tcgetattr(terminal.fd)[3]
    assert modes & termios.ICANON and modes & termios.ECHO


def test_arguments(repl, clip):
    status, said, _ = repl.pipe("", "--help")
    assert status == 0 and "luma repl" in said
    status, _, report = repl.pipe("", "--nonsense")
    assert status == 2 and "nonsense" in report
    status, _, report = repl.pipe("1", "not-there.mp4")
    assert status == 1 and "not-there.mp4" in report
    status, said, report = repl.pipe("if true then\nx = 1 end\nx\nerror('no')\nx\n", clip)
    assert (status, said, report) == (1, "1\n", "line 1: no\n")
    assert repl.pipe("source.video.height")[0] == 1
    assert repl.pipe("source.video.height", clip)[:2] == (0, "180\n")
    status, said, report = repl.pipe("x = 1\nif x then")
    assert status == 1 and "incomplete" in report
    assert repl.pipe("x = '" + "y" * 70000 + "'")[0] == 1
    assert not (repl.state / "luma").exists()


# ---- completion and history ----

@pytest.mark.parametrize("keys,seen", [
    ("sour", ["source"]),
    ("source.cha", ["source.chapters"]),
    ("source:bet", ["source:between"]),
    ("source.video.fra", ["source.video.frame_rate"]),
    ("source.streams[2].sample_r", ["source.streams[2].sample_rate"]),
    ("source.video:sc", ["scale", "scdet"]),
    ("source.video:scale(1, 2):hqdn", ["hqdn3d"]),
    ("source:from(1).vid", ["video"]),
    ("source.video:scale{ w", ["w=", "width="]),
    ("source.video:scale{ w=1, force_original_aspect_r", ["force_original_aspect_ratio="]),
    ('source.video:encode{ codec="libx264", prese', ["preset="]),
    ('source.video:encode{ codec="libx26', ["libx264"]),
    ("output{ fast", ["faststart="]),
    ('output{ format="matro', ['format="matro']),
    ('run("compr', ["compress"]),
    ('run("compress", source, { encoder_pre', ["encoder_preset="]),
    ('run("compress", source, { preset="hi', ["high"]),
    ('av.open("hol', ["holiday.mp4"]),
    ("av.form", ["av.formats"]),
    ("job.inputs:", ["job.inputs:"]),
    ("job.no", ["job.note"]),
    ("table.ins", ["table.insert"]),
    ("nothing.at", ["nothing.at"]),
    ("-- comm", ["-- comm"]),
    ('x = "source.vid', ['"source.vid']),
    ("whi", ["while"]),
])
def test_completion(repl, clip, keys, seen):
    (repl.folder / "holiday.mp4").write_bytes(b"")
    terminal = repl(clip)
    said = tab(terminal, keys)
    for word in seen:
        assert word in said, said
    assert terminal.leave() == 0


def test_completion_over_lines(repl, clip):
    terminal = repl(clip)
    terminal.send("x = source.video:scale{" + ENTER)
    terminal.expect(r"-> \Z")
    terminal.send("  force_original" + TAB + '"disable" }' + ENTER)
    terminal.prompt()
    assert "force_original_aspect_ratio=disable" in terminal.ask("x")
    assert terminal.leave() == 0


def test_history(repl):
    terminal = repl()
    terminal.ask("x = 7")
    terminal.send("function f()" + ENTER)
    terminal.expect(r"-> \Z")
    terminal.send("return x + 1" + ENTER)
    terminal.expect(r"-> \Z")
    terminal.ask("end")
    terminal.send(UP + UP + ENTER)
    terminal.prompt()
    assert terminal.leave() == 0
    path = repl.state / "luma" / "repl_history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["repl_history"]

    terminal = repl()
    assert terminal.ask("x, f") == "nil\nnil\n"
    terminal.send(UP * 3 + ENTER)  # f, as one line
    terminal.expect(r"\r\n")
    terminal.prompt()
    terminal.ask("x = 1")
    assert terminal.ask("f()") == "2\n"
    assert terminal.leave() == 0


def test_history_is_bounded(repl):
    terminal = repl()
    terminal.ask("1")
    assert terminal.leave() == 0
    path = repl.state / "luma" / "repl_history"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:1] + [f"x\\040=\\040{i}" for i in range(3000)]) + "\n")
    terminal = repl()
    terminal.ask("2")
    assert terminal.leave() == 0
    assert len(path.read_text().splitlines()) <= 1001


# ---- making files ----

def test_save(repl, clip):
    terminal = repl(clip)
    said = terminal.ask(f'p = save({{ {SMALL}, source.audio:copy() }}, "small.mp4")')
    assert "small.mp4" in said and "160x90 h264" in said
    assert terminal.ask("p") == '"small.mp4"\n'
    assert terminal.ask("av.open(p).video.width") == "160\n"
    before = (repl.folder / "small.mp4").read_bytes()
    for refused in ('"small.mp4"', '{ path="small.mp4", force=true }', f'"{clip}"',
                    f'{{ path="{clip}", force=true }}', '"nowhere/x.mp4"', '{ pth="x.mp4" }'):
        said = terminal.ask(f"save({{ {SMALL} }}, {refused})")
        assert said.startswith("line 1: "), said
    assert (repl.folder / "small.mp4").read_bytes() == before
    terminal.ask(f'save({{ {SMALL} }}, "again.mp4")')
    assert "is there already" in terminal.ask(f'save({{ {SMALL} }}, "again.mp4")')
    assert "again.mp4" in terminal.ask(
        f'save({{ {SMALL} }}, {{ path="again.mp4", force=true }})')
    os.mkfifo(repl.folder / "pipe.mp4")
    said = terminal.ask(f'save({{ {SMALL} }}, {{ path="pipe.mp4", force=true }})')
    assert "is not a regular file" in said
    (repl.folder / "pipe.mp4").unlink()
    terminal.ask(f'o = output{{ format="mkv", {SMALL} }}')
    assert "says mp4" in terminal.ask('save(o, "o.mp4")')
    assert "o.mkv" in terminal.ask('save(o, "o.mkv")')
    assert "a stream: end it with" in terminal.ask('save({ source.video }, "x.mp4")')
    said = terminal.ask('save({ name="made.txt", text=function(made) return #made .. "!" end })')
    assert "made.txt" in said
    assert (repl.folder / "made.txt").read_text() == "0!"
    assert "line 1: oh" in terminal.ask(
        'save({ name="bad.txt", text=function() error("oh") end })')
    said = terminal.ask('for i = 1, 120 do save({ name="n" .. i .. ".txt", text="x" }) end')
    assert "n120.txt" in said
    for i in range(1, 121):
        (repl.folder / f"n{i}.txt").unlink()
    assert repl.made() == ["again.mp4", "made.txt", "o.mkv", "small.mp4"]
    assert terminal.leave() == 0


def test_save_pictures_and_alternatives(repl, clip):
    terminal = repl(clip)
    said = terminal.ask('save({ format="jpg", each_picture=true, '
                        'source:at{ 0, 1, 2 }:encode{ codec="mjpeg" } }, "pictures")')
    assert said.count(".jpg  ") == 3 and "pictures/clip-1.jpg" in said
    assert len(os.listdir(repl.folder / "pictures")) == 3
    other = 'otherwise=function() return { format="mp4", source.video:copy() } end'
    terminal.ask(f'save({{ {SMALL}, not_larger_than=100, {other} }}, "other.mp4")')
    assert terminal.ask('av.open("other.mp4").video.width') == "320\n"
    said = terminal.ask(f'save({{ {SMALL}, not_larger_than=100, otherwise=type }}, "bad.mp4")')
    assert "must return the table of an output" in said
    terminal.ask(f'save({{ {SMALL}, not_larger_than=100, otherwise=function() return source end }},'
                 ' "kept.mp4")')
    assert (repl.folder / "kept.mp4").read_bytes() == open(clip, "rb").read()
    assert repl.made() == ["kept.mp4", "other.mp4", "pictures"]
    assert terminal.leave() == 0


def test_run(repl, clip):
    terminal = repl(clip)
    said = terminal.ask('run("compress", source, { crf=35 }, "small.mp4")')
    assert "small.mp4" in said and "h264" in said and "note: " in said
    assert "mkv" in terminal.ask(f'run("convert", "{clip}", nil, "c.mkv")')
    assert terminal.ask('run("probe", source).format').strip() != "nil"
    said = terminal.ask('run("compress", source, { crf=99 })')
    assert said.startswith("line 1: ") and "crf" in said
    assert "did you mean 'compress'" in terminal.ask('run("compres", source)')
    assert "did you mean" in terminal.ask('run("compress", source, { presset="high" })')
    assert "a part of one" in terminal.ask('run("compress", source:to(1))')
    assert "is there already" in terminal.ask('run("compress", source, {}, "small.mp4")')
    assert "run takes inputs or paths" in terminal.ask('run("compress", 5)')
    assert terminal.ask('pcall(run, "compress", source, { crf=99 })').startswith("false\n")
    assert repl.made() == ["c.mkv", "small.mp4"]
    assert terminal.leave() == 0


def test_progress_and_cancel(repl, long_clip):
    terminal = repl(long_clip)
    terminal.send(SLOW + ENTER)
    said = terminal.expect(r"\] +\d+ %.* of 60\.0 s")
    assert "compress [" in said
    terminal.send(CTRL_C)
    start = time.monotonic()
    assert "cancelled" in terminal.prompt(20)
    assert time.monotonic() - start < 10
    assert repl.made() == []
    assert terminal.ask("source.video.width") == "640\n"
    said = terminal.ask('save({ source:to(1).video:scale(64, -2):encode{ codec="h264" } }, "s.mp4")')
    assert "s.mp4" in said
    assert repl.made() == ["s.mp4"]
    assert terminal.leave() == 0


def test_cancel_an_output_and_a_loop_around_it(repl, long_clip):
    terminal = repl(long_clip)
    slow = 'source.video:scale(1920, -2):encode{ codec="h264", preset="veryslow" }'
    for statement in (f'save({{ {slow} }}, "x.mp4")',
                      f'while true do pcall(save, {{ {slow} }}, "x.mp4") end'):
        terminal.send(statement + ENTER)
        terminal.expect(r"save .* s", 60)
        terminal.send(CTRL_C)
        assert "cancelled" in terminal.prompt(30)
        assert repl.made() == []
    assert terminal.ask("1") == "1\n"
    assert terminal.leave() == 0


def test_measure(repl, clip, long_clip):
    terminal = repl(clip, long_clip)
    said = terminal.ask("m = av.measure(source.audio:ebur128{ metadata=true })")
    assert "line" not in said
    assert -30 < float(terminal.ask("m.ebur128.integrated")) < -10
    terminal.send("av.measure(sources[2].video:scale(3840, -2):cropdetect())" + ENTER)
    terminal.expect(r"measure .* s")
    terminal.send(CTRL_C)
    assert "cancelled" in terminal.prompt(20)
    assert terminal.ask("1") == "1\n"
    assert terminal.leave() == 0


def test_insisting_ends_the_program(repl):
    terminal = repl()
    terminal.send('("a"):rep(40):find(("a?"):rep(40) .. ("a"):rep(40))' + ENTER)
    terminal.expect(r"\r\n")
    for _ in range(3):
        time.sleep(0.3)
        assert terminal.process.poll() is None
        terminal.send(CTRL_C)
    assert terminal.end() == 130
