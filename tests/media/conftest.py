"""Fixtures of the media tests: the luma program, clips made for the run, and the real files.

LUMA_BIN names the program (else build/asan/bin/luma, else build/bin/luma), LUMA_TEST_MEDIA the
folder of real files (else ../shared/media beside the project).
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from clips import Clips  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEDIA = pathlib.Path(os.environ.get("LUMA_TEST_MEDIA", ROOT.parent / "shared" / "media"))
NOT_MEDIA = {"INDEX.tsv", "README.md"}


def find_luma():
    named = os.environ.get("LUMA_BIN")
    if named:
        return pathlib.Path(named)
    sanitized = ROOT / "build/asan/bin/luma"
    return sanitized if sanitized.exists() else ROOT / "build/bin/luma"


def real_files():
    if not MEDIA.is_dir():
        return []
    return sorted(path.name for path in MEDIA.iterdir() if path.name not in NOT_MEDIA)


def pytest_generate_tests(metafunc):
    if "real" in metafunc.fixturenames:
        names = real_files()
        if names:
            metafunc.parametrize("real", [str(MEDIA / name) for name in names], ids=names)
        else:
            reason = f"no real media: there is no folder {MEDIA.name} (LUMA_TEST_MEDIA)"
            metafunc.parametrize("real", [pytest.param(None, marks=pytest.mark.skip(reason))],
                                 ids=["real-media"])


def pytest_report_header():
    there = len(real_files())
    return [f"luma: {find_luma()}",
            f"real media: {there} files" if there else
            "real media: not there, every test on real files is skipped (LUMA_TEST_MEDIA)"]


class Outcome:
    """What a run of luma said and made."""

    def __init__(self, done, folder):
        self.status = done.returncode
        self.stderr = done.stderr.decode(errors="replace")
        self.stdout = done.stdout.decode()
        self.folder = folder
        self.document = json.loads(self.stdout) if self.stdout.strip() else {}
        self.error = self.document.get("error") or {}
        self.code = self.error.get("code")
        self.notes = self.document.get("notes") or []
        self.paths = [output["path"] for output in self.document.get("outputs") or []]

    @property
    def path(self):
        assert len(self.paths) == 1, self.document
        return self.paths[0]

    def noted(self, *words):
        return any(all(word in note for word in words) for note in self.notes)


class Luma:
    """Runs the program in a folder of the test's own."""

    def __init__(self, program, folder):
        self.program = str(program)
        self.folder = folder
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        self.environment.setdefault("LUMA_SCRIPTS", str(ROOT / "scripts"))
        self.count = 0

    def call(self, *arguments, timeout=120, **more):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True,
                              cwd=self.folder, env=self.environment, timeout=timeout,
                              stdin=subprocess.DEVNULL, check=False, **more)
        report = done.stderr.decode(errors="replace")
        assert "Sanitizer" not in report and "runtime error" not in report, report[-4000:]
        assert done.returncode in (0, 1, 2), (done.returncode, report[-2000:])
        return done

    def run(self, operation, *inputs, **options):
        """Runs an operation with JSON options into a fresh folder."""
        self.count += 1
        folder = self.folder / f"out{self.count}"
        folder.mkdir()
        done = self.call("run", operation, *inputs, "-o", folder, "--json", "--options",
                         json.dumps(options))
        outcome = Outcome(done, folder)
        left = sorted(path.name for path in folder.iterdir())
        made = sorted(os.path.basename(path) for path in outcome.paths)
        assert left == made, f"files in the folder: {left}, told: {made}"
        return outcome

    def ok(self, operation, *inputs, **options):
        outcome = self.run(operation, *inputs, **options)
        assert outcome.status == 0, (outcome.error, outcome.stderr[-2000:])
        return outcome

    def fails(self, code, operation, *inputs, **options):
        outcome = self.run(operation, *inputs, **options)
        codes = code if isinstance(code, (set, tuple)) else {code}
        assert outcome.status != 0 and outcome.code in codes, (outcome.document, outcome.stderr)
        assert outcome.error["message"], outcome.document
        assert not outcome.paths
        return outcome


@pytest.fixture(scope="session")
def program():
    found = find_luma()
    if not found.exists():
        pytest.exit(f"{found} isn't there: build it first, or name it with LUMA_BIN", 3)
    return found


@pytest.fixture
def luma(program, tmp_path):
    return Luma(program, tmp_path)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    return Clips(tmp_path_factory.mktemp("clips"))
