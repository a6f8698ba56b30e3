"""A strict reader of Prometheus' text format 0.0.4: what it doesn't like is an AssertionError."""

import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\n]|\\[\"\\n])*)\"(,|\})")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
SUFFIXES = {"_bucket", "_sum", "_count"}


def number(text):
    assert re.fullmatch(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf)|NaN", text), text
    return float(text)


def parse_labels(line, position):
    """The labels from after the brace on, and where they end."""
    labels = {}
    while True:
        found = LABEL.match(line, position)
        assert found, line
        assert found[1] not in labels, f"a label twice: {line}"
        labels[found[1]] = re.sub(r"\\(.)", lambda c: {"n": "\n"}.get(c[1], c[1]), found[2])
        position = found.end()
        if found[3] == "}":
            return labels, position


class Metrics:
    def __init__(self, text):
        assert text.endswith("\n") and "\r" not in text
        self.help, self.types, self.samples = {}, {}, {}
        self.family = None
        for line in text[:-1].split("\n"):
            if line.startswith("#"):
                self.see_comment(line)
            else:
                self.see_sample(line)
        for name, kind in self.types.items():
            if kind == "histogram":
                self.check_histogram(name)

    def see_comment(self, line):
        _, word, name, rest = line.split(" ", 3)
        assert NAME.fullmatch(name), line
        if word == "HELP":
            assert name not in self.help, f"explained twice, or in two places: {line}"
            assert rest and rest[0].isupper() and rest.endswith("."), line
            self.help[name], self.family = rest, name
        else:
            assert word == "TYPE" and rest in TYPES and name == self.family, line
            assert name not in self.types, line
            self.types[name] = rest

    def see_sample(self, line):
        found = NAME.match(line)
        assert found, line
        name, position, labels = found[0], found.end(), {}
        if line[position] == "{":
            labels, position = parse_labels(line, position + 1)
        assert line[position] == " ", line
        value = number(line[position + 1 :])
        base = name.removeprefix(self.family)
        kind = self.types[self.family]
        assert base == "" or (kind == "histogram" and base in SUFFIXES), f"out of place: {line}"
        assert (kind == "histogram") == (base in SUFFIXES), line
        if kind == "counter":
            assert name.endswith("_total") and value >= 0, line
        key = (name, frozenset(labels.items()))
        assert key not in self.samples, f"a sample twice: {line}"
        self.samples[key] = value

    def check_histogram(self, name):
        series = {}
        for (sample, labels), value in self.samples.items():
            if sample == name + "_bucket":
                rest = dict(labels)
                bound = number(rest.pop("le"))
                series.setdefault(frozenset(rest.items()), []).append((bound, value))
        for labels, buckets in series.items():
            bounds, counts = zip(*buckets)
            assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, name
            assert list(counts) == sorted(counts), f"{name} is not cumulative"
            assert counts[-1] == self.samples[name + "_count", labels]
            assert self.samples[name + "_sum", labels] >= 0
        assert {labels for (sample, labels) in self.samples if sample == name + "_sum"} == \
            set(series)

    def get(self, name, **labels):
        """A sample's value; 0 if there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0)

    def total(self, name):
        return sum(value for (sample, _), value in self.samples.items() if sample == name)
