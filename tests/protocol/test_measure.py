"""A job that measures before it runs: its progress goes up, and it waits for its turn once."""


def test_measure_then_run(client, clips):
    data = clips("long.mp4")
    job = client.start("filters", [len(data)], {"normalize": {"target": -30}})
    client.upload(job, data)
    client.finish(job).completed()
    told = [m["percent"] for m in job.messages
            if m["type"] == "progress" and m.get("percent") is not None]
    assert told == sorted(told)
    assert any("LUFS" in note for note in job.last["notes"])
