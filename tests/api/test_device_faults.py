"""A device that fails in the middle of a job: nothing half-written, no opening spent, and it can be started again."""

from __future__ import annotations

import numpy as np
import pytest

from api.backend import Chosen
from api.commands import prove as proving
from api.commands import train as training
from api.exits import LIMIT, UNREACHABLE
from prover.backends import cpu
from prover.errors import DeviceLost, OutOfMemory

from .conftest import TRAIN


class Failing:
    """The CPU's backend, until one of its methods has been asked for more than `after` times."""

    def __init__(self, name: str, after: int, error: Exception) -> None:
        self._name, self._left, self._error = name, after, error

    def __getattr__(self, name: str):
        if name == self._name:
            self._left -= 1
            if self._left < 0:
                raise self._error
        return getattr(cpu, name)


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


FAULTS = [
    ("encode_rows", 1, DeviceLost("the GPU stopped in the middle of the work"), UNREACHABLE, "device_lost"),
    ("fraction_round", 7, DeviceLost("the GPU stopped in the middle of the work"), UNREACHABLE, "device_lost"),
    ("fold", 30, OutOfMemory("the GPU's memory is full"), LIMIT, "out_of_memory"),
    ("columns", 0, DeviceLost("the GPU stopped in the middle of the work"), UNREACHABLE, "device_lost"),
]


@pytest.mark.parametrize(("name", "after", "error", "status", "code"), FAULTS, ids=lambda value: str(value)[:15])
def test_a_proof_that_is_interrupted(name, after, error, status, code, copy, cli, monkeypatch):
    folder = copy / "run"
    (folder / "proof.zkp").unlink()
    before = files(folder)
    with monkeypatch.context() as changed:
        changed.setattr(proving, "choose_backend", lambda _: Chosen(Failing(name, after, error), "a device", 1 << 40))
        assert cli("prove", folder, "--backend", "gpu", "--json") == status
    assert cli.json()["error"]["code"] == code
    assert files(folder) == before


def test_a_proof_is_made_after_an_interruption(copy, cli, monkeypatch):
    folder = copy / "run"
    (folder / "proof.zkp").unlink()
    failing = Failing("fold", 30, DeviceLost("the GPU stopped in the middle of the work"))
    with monkeypatch.context() as changed:
        changed.setattr(proving, "choose_backend", lambda _: Chosen(failing, "a device", 1 << 40))
        assert cli("prove", folder, "--backend", "gpu") == UNREACHABLE
    assert cli("prove", folder, "--backend", "cpu") == 0
    assert (folder / "proof.zkp").exists()


@pytest.mark.parametrize(("name", "after"), [("encode_rows", 1), ("integers", 0)])
def test_a_run_that_is_interrupted(name, after, copy, cli, monkeypatch):
    """In the middle of commitments, or of training."""
    out, arguments = copy / "again", ("train", "--data", copy / "table.csv", *TRAIN, "--out", copy / "again")
    failing = Failing(name, after, DeviceLost("the GPU stopped in the middle of the work"))
    with monkeypatch.context() as changed:
        changed.setattr(training, "choose_backend", lambda _: Chosen(failing, "a device", 1 << 40))
        assert cli(*arguments, "--backend", "gpu") == UNREACHABLE
    assert not (out / "statement.json").exists() and not list(copy.glob("**/*.tmp"))
    assert cli(*arguments) == 0
    assert np.all([(out / part).exists() for part in ("statement.json", "weights.safetensors")])


def test_the_command_says_so_before_any_work(copy, cli, monkeypatch):
    """A proof that does not fit is refused with what would fit."""
    monkeypatch.setattr(proving, "choose_backend", lambda _: Chosen(cpu, "a device", 1))
    before = files(copy / "run")
    assert cli("prove", copy / "run", "--backend", "gpu", "--json") == LIMIT
    assert "no segment is small enough" in cli.json()["error"]["message"]
    assert files(copy / "run") == before
