"""docs/asyncapi.yaml is sound, and says what docs/protocol.md and the server say. Every message of
the other tests is held against it too (contract.py)."""

import re

import pytest

import contract
from lumad import ROOT

if not contract.jsonschema:
    pytest.skip("no python3-jsonschema or python3-yaml", allow_module_level=True)

DOCUMENT = contract.load()


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            assert list(value) == ["$ref"], value
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resolve(reference):
    value = DOCUMENT
    assert reference.startswith("#/"), reference
    for step in reference[2:].split("/"):
        value = value[step]
    return value


def test_the_document_is_asyncapi_3():
    assert re.fullmatch(r"3\.\d\.\d", DOCUMENT["asyncapi"])
    assert set(DOCUMENT) <= {"asyncapi", "info", "defaultContentType", "servers", "channels",
                             "operations", "components"}
    assert DOCUMENT["info"]["title"] and DOCUMENT["info"]["version"]
    for server in DOCUMENT["servers"].values():
        assert server["host"] and server["protocol"] in ("ws", "wss")
    (channel,) = DOCUMENT["channels"].values()
    assert channel["address"] == "/ws"
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        for message in operation["messages"]:  # of its channel, as AsyncAPI 3 wants it
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")


def test_every_reference_leads_somewhere():
    found = set(references(DOCUMENT))
    for reference in found:
        assert isinstance(resolve(reference), dict), reference
    for kind in ("messages", "schemas"):  # and nothing is there for nobody
        for name in DOCUMENT["components"][kind]:
            assert f"#/components/{kind}/{name}" in found, name


def test_every_schema_is_one():
    for message in DOCUMENT["components"]["messages"].values():
        contract.jsonschema.Draft7Validator.check_schema(message["payload"])
    for schema in DOCUMENT["components"]["schemas"].values():
        contract.jsonschema.Draft7Validator.check_schema(schema)


def test_each_message_is_told_by_its_type_and_has_one_direction():
    for name, message in DOCUMENT["components"]["messages"].items():
        assert message["payload"]["properties"]["type"] == {"const": name}
        assert message["summary"].endswith(".")
    sides = [{entry["$ref"].rpartition("/")[2] for entry in operation["messages"]}
             for operation in DOCUMENT["operations"].values()]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(DOCUMENT["components"]["messages"])


def test_codes_are_those_of_the_page_and_of_the_server():
    codes = DOCUMENT["components"]["schemas"]["code"]["enum"]
    assert len(codes) == len(set(codes)) and set(codes) == contract.codes_of_the_page()
    with open(f"{ROOT}/server/protocol.c") as file:
        table = re.search(r"struct code codes\[\] = \{(.*?)\n\};", file.read(), re.S)
    assert set(re.findall(r'\{"(\w+)", (?:true|false)\}', table[1])) == set(codes)


@pytest.mark.parametrize("message", [
    {"type": "pong"}, {"type": "pong", "time": 5}, {"type": "nothing"}, {},
    {"type": "error", "code": "invented", "message": "x", "retryable": False},
    {"type": "error", "code": "internal", "message": "x", "retryable": False, "extra": 1},
    {"type": "ack", "job_id": "x", "status": "queued"},
    {"type": "cancel_job", "job_id": "0" * 32, "extra": 1}])
def test_the_judge_judges(message):
    before = set(contract.seen_codes), set(contract.seen_types)
    with pytest.raises(AssertionError):
        contract.judge(message)
    contract.seen_codes.clear(), contract.seen_types.clear()
    contract.seen_codes.update(before[0]), contract.seen_types.update(before[1])
