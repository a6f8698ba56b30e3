"""docs/asyncapi.yaml as a judge: whatever passes in a protocol test is held against it, and the
error codes that were seen are counted. Where python3-jsonschema or python3-yaml is missing, nothing
is judged (and test_contract.py says so).

A client ignores fields that it doesn't know; here a server's message may have none that the
document doesn't name.
"""

import copy
import os
import re

from lumad import ROOT

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None

DOCUMENT, PAGE = f"{ROOT}/docs/asyncapi.yaml", f"{ROOT}/docs/protocol.md"
seen_codes, seen_types = set(), set()
skipped = []  # tests


def load():
    with open(DOCUMENT) as file:
        return yaml.safe_load(file)


def codes_of_the_page():
    """The codes in the table of docs/protocol.md's errors."""
    with open(PAGE) as file:
        rows = re.findall(r"^\| (?:a message|a request|an input|the run) \|(.*)\|$", file.read(),
                          re.M)
    assert len(rows) == 4
    return {code for row in rows for code in re.findall(r"`(\w+)`", row)}


def closed(schema):
    """The schema with every object closed that names its properties and says nothing else."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(value) for name, value in schema.items()}
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def validators():
    if not jsonschema:
        return {}
    components = closed(copy.deepcopy(load()["components"]))
    resolver = jsonschema.RefResolver("", {"components": components})
    return {name: jsonschema.Draft7Validator(message["payload"], resolver=resolver)
            for name, message in components["messages"].items()}


JUDGES = validators()


def judge(message):
    """Asserts that the document knows such a message."""
    kind = message.get("type")
    seen_types.add(kind)
    if kind == "error":
        seen_codes.add(message.get("code"))
    if not JUDGES:
        return
    assert kind in JUDGES, f"docs/asyncapi.yaml knows no such message: {message}"
    fault = jsonschema.exceptions.best_match(JUDGES[kind].iter_errors(message))
    assert fault is None, (f"docs/asyncapi.yaml, {kind}: {fault.message} at "
                           f"{'/'.join(map(str, fault.absolute_path))} in {str(message)[:2000]}")


def unseen(session):
    """Codes that a run of all protocol tests has not seen; none where some were left out."""
    folder = os.path.dirname(os.path.abspath(__file__))
    files = {name for name in os.listdir(folder) if re.fullmatch(r"test_\w+\.py", name)}
    ran = {item.path.name for item in session.items}
    if not files <= ran or session.config.option.keyword or session.testsfailed or skipped:
        return []
    return sorted(codes_of_the_page() - seen_codes)
