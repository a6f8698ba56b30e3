"""What lumad tells of its settings without being started."""

import os
import re
import subprocess

from lumad import ROOT


def run(binary, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUMA_")}
    return subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=60,
                          env={**clean, "LUMA_ENV_FILE": os.devnull, **environment})


def test_the_page_of_settings_is_up_to_date(binary):
    with open(f"{ROOT}/docs/configuration.md") as file:
        assert run(binary, "--config-page").stdout == file.read(), \
            "lumad --config-page >docs/configuration.md"


def test_every_setting_is_printed_and_explained(binary):
    printed = run(binary, "--print-config", LUMA_TOKENS="ann:secret")
    assert printed.returncode == 0 and "secret" not in printed.stdout
    assert "LUMA_TOKENS=(hidden)\n" in printed.stdout
    names = re.findall(r"^(LUMA_\w+)=", printed.stdout, re.M)
    page, help_text = run(binary, "--config-page").stdout, run(binary, "--help").stdout
    assert len(names) > 30
    for name in names:
        assert f"| `{name}` |" in page and name in help_text


def test_a_bad_value_stops_the_start_with_its_name(binary):
    for name, value in (("LUMA_PORT", "70000"), ("LUMA_MAX_UPLOAD", "much"), ("LUMA_DIR", "x")):
        failed = run(binary, "--check-config", **{name: value})
        assert failed.returncode == (0 if name == "LUMA_DIR" else 2)
        assert (name in failed.stderr) == (name != "LUMA_DIR")
