"""The plan that each operation makes of each kind of input, compared with the one that is kept.

tests/plans/OPERATION.txt holds cases: a line that begins with "$ " is what is asked of luma,

    $ luma explain convert clip.mp4 {"format": "mkv"}

(inputs are clips of clips.py by name, then the options as JSON, if there are any), and below it
stands what is answered: the plan as `luma explain` prints it and the notes, or the refusal.

To add a case, add its "$ " line, with nothing below, wherever it fits, and run tests/plans/update,
which writes all answers anew; it also adds a file for a new operation and a case for each example
that has none. Then read the difference: it is what changed for the people who use the operation.
"""

import difflib
import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import ROOT, Luma, find_luma

PLANS = ROOT / "tests" / "plans"
UPDATE = os.environ.get("LUMA_UPDATE_PLANS") == "1"
ASK = "$ luma explain "
NO_PLAN = {"probe"}
# What examples are explained on, where it isn't plain clips.
INPUTS = {"subtitles": ["tracks.mkv"], "concat": ["clip.mp4", "odd.mkv"]}


def asked(line):
    """A case's line as (operation, [clip], {option})."""
    words, _, options = line[len(ASK):].partition(" {")
    operation, *names = words.split()
    return operation, names, json.loads("{" + options) if options else {}


def ask(operation, names, options):
    """The line of a case."""
    written = " " + json.dumps(options, sort_keys=True) if options else ""
    return f"{ASK}{operation} {' '.join(names)}{written}"


def read(operation):
    """The cases of an operation: {line: answer}, in their order."""
    path = PLANS / f"{operation}.txt"
    cases, line = {}, None
    for text in path.read_text().splitlines() if path.exists() else []:
        if text.startswith(ASK):
            line = text
            assert line not in cases, f"{path.name} asks twice: {line}"
            cases[line] = ""
        elif line:
            cases[line] += text + "\n"
    return {line: answer.strip("\n") for line, answer in cases.items()}


def rounded(text):
    """Numbers to four places: what was measured or computed may differ in the last."""
    return re.sub(r"\d+\.\d{5,}", lambda number: f"{float(number[0]):.4f}", text)


def answer(luma, clips, line):
    """What luma says to a case."""
    operation, names, options = asked(line)
    done = luma.call("explain", operation, *(clips.made[name] for name in names), "--json",
                     "--options", json.dumps(options))
    document = json.loads(done.stdout)
    error = document.get("error")
    if error:
        path = error.get("details", {}).get("path")
        return f"{error['code']}{f' ({path})' if path else ''}: {error['message']}"
    notes = [f"note: {note}" for note in document["notes"]]
    return rounded("\n".join([document["text"].rstrip("\n"), *notes]).strip("\n"))


def same(made, kept):
    """Plans are kept of FFmpeg 5.1; clips that other releases write last up to 20 ms otherwise."""
    release = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    if made == kept or release.stdout.startswith("ffmpeg version 5.1"):
        return made == kept
    made, kept = (re.split(r"(\d+(?:\.\d+)?)(?= s\b)", text) for text in (made, kept))
    return made[::2] == kept[::2] and all(abs(float(one) - float(other)) <= 0.02
                                          for one, other in zip(made[1::2], kept[1::2]))


def operations(program):
    """Every operation that ships: {name: description}."""
    told = subprocess.run([program, "ops", "--json", "--scripts", ROOT / "scripts"],
                          capture_output=True, check=True).stdout
    return {entry["name"]: entry for entry in json.loads(told) if entry["name"] not in NO_PLAN}


def names_of_operations():
    """The operations, where the program is there to be asked."""
    program = find_luma()
    return sorted(operations(program)) if program.exists() else []


def with_examples(operation, description, cases):
    """The lines of the cases, and of examples that none of them covers."""
    lines = list(cases)
    covered = [asked(line)[2] for line in lines]
    for example in description["examples"]:
        if example not in covered:
            names = INPUTS.get(operation, ["clip.mp4"] * description["inputs"]["min"])
            lines.append(ask(operation, names, example))
    return lines


@pytest.mark.parametrize("operation", names_of_operations())
def test_plans(program, tmp_path, clips, operation):
    cases = read(operation)
    lines = with_examples(operation, operations(program)[operation], cases)
    if not UPDATE:
        missing = lines[len(cases):]
        assert not missing, "examples without a plan; run tests/plans/update:\n" + \
            "\n".join(missing)
    for line in lines:
        for name in asked(line)[1]:
            clips[name]  # made one by one
    luma = Luma(program, tmp_path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(lambda line: answer(luma, clips, line), lines))
    text = "\n\n".join(f"{line}\n{said}" for line, said in zip(lines, answers)) + "\n"
    if UPDATE:
        (PLANS / f"{operation}.txt").write_text(text)
        return
    kept = "\n\n".join(f"{line}\n{said}" for line, said in cases.items()) + "\n"
    difference = "\n".join(difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept",
                                                "made", lineterm=""))
    assert same(text, kept), "other plans than are kept; if they are right, run " \
        f"tests/plans/update:\n{difference}"


def test_no_plan_is_left_over(program):
    assert {path.stem for path in PLANS.glob("*.txt")} <= set(operations(program))
