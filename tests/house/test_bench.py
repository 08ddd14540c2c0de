"""The benchmark dispatcher: one JSON object on stdout, people on stderr, whatever the benchmark prints."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from bench import __main__ as bench


@pytest.fixture
def noisy(monkeypatch):
    """A benchmark that prints where it should not."""
    module = ModuleType("bench.noisy")

    def run(json: bool = False, argv: list[str] | None = None) -> dict:
        print("noise on stdout")
        return {"seconds": 1.25, "stages": {"hash": 0.5, "bytes": 1234567}, "argv": argv, "json": json}

    module.run = run
    monkeypatch.setitem(sys.modules, "bench.noisy", module)
    monkeypatch.setattr(bench, "names", lambda: ["noisy"])


def test_json_is_the_only_thing_on_stdout(noisy, capsys):
    assert bench.main(["noisy", "--json", "--steps", "4"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "seconds": 1.25,
        "stages": {"hash": 0.5, "bytes": 1234567},
        "argv": ["--steps", "4"],
        "json": True,
    }
    assert "noise" in err


def test_people_get_a_table_on_stderr(noisy, capsys):
    assert bench.main(["noisy"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "stages.bytes  1,234,567" in err and "seconds       1.25" in err


@pytest.mark.parametrize("argv", [[], ["nothing-of-that-name"], ["__main__"]])
def test_an_unknown_benchmark_is_usage(argv, capsys):
    assert bench.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and "usage: python -m bench {" in err


def test_options_that_make_no_sense_are_one_line(capsys):
    assert bench.main(["headline", "--steps", "0", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["python -m bench headline: InputInvalid: batch = 64 and steps = 0 must be at least 1"]
