"""Devices: what a table on one refuses, errors of CUDA in our words, and nothing of it where no GPU is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from api import backend as choosing
from api.app import run
from api.backend import Chosen, choose_backend
from api.commands import doctor
from api.exits import LIMIT, UNREACHABLE, classify
from prover.backends import cpu
from prover.backends.gpu import GpuBackend
from prover.backends.gpu_cupy import CupyDevice, describe, load_cupy
from prover.backends.gpu_device import THREADS, kernel_names, kernel_source
from prover.errors import DeviceLost, DeviceUnavailable, OutOfMemory
from prover.evaluation import use_parameters
from prover.plan import plan, steps_that_fit
from prover.selftest import small_proof
from tests.support import preset
from verifier.statement import Inference, Statement

from .emulation import EmulatedDevice

ROOT = Path(__file__).parents[2]


# -- tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [np.sum, np.asarray, list, int, lambda t: t + t, lambda t: t[[0, 1]], lambda t: t[t.size > 0, None],
     lambda t: t.max(), lambda t: np.add(t, t), lambda t: np.concatenate([t, t])],
)
def test_a_table_on_a_device_is_not_read_by_accident(use: Any) -> None:
    table = GpuBackend(EmulatedDevice()).zeros(4)
    with pytest.raises((TypeError, AttributeError)):
        use(table)


# -- a stand-in for CuPy ------------------------------------------------------------------------------


class RuntimeFault(RuntimeError):
    """As CuPy's CUDARuntimeError."""


class DriverFault(RuntimeError):
    """As CuPy's CUDADriverError."""


class NoMemory(MemoryError):
    """As CuPy's OutOfMemoryError."""


class NoCompile(Exception):
    """As CuPy's CompileException."""


class StandIn:
    """The names of CuPy that are used, over NumPy; `fault` is raised by the next launch."""

    __version__ = "0"
    ndarray, array, empty, zeros = np.ndarray, staticmethod(np.array), staticmethod(np.empty), staticmethod(np.zeros)
    ascontiguousarray = staticmethod(np.ascontiguousarray)
    asnumpy = staticmethod(np.asarray)

    def __init__(self, major: int = 9, count: int = 1, fault: Exception | None = None) -> None:
        self.fault, self.launched = fault, []
        properties = {"name": b"a device", "major": major, "minor": 0, "totalGlobalMem": 1 << 30}
        runtime = SimpleNamespace(
            CUDARuntimeError=RuntimeFault, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000,
            getDeviceCount=lambda: self._count(count), getDeviceProperties=lambda number: properties)
        device = SimpleNamespace(use=lambda: None, mem_info=(1 << 20, 1 << 30))
        self.cuda = SimpleNamespace(
            runtime=runtime, driver=SimpleNamespace(CUDADriverError=DriverFault), Device=lambda number: device,
            memory=SimpleNamespace(OutOfMemoryError=NoMemory), compiler=SimpleNamespace(CompileException=NoCompile))
        pool = SimpleNamespace(free_bytes=lambda: 5, free_all_blocks=lambda: None)
        self.get_default_memory_pool = lambda: pool

    def _count(self, count: int) -> int:
        if count < 0:
            raise RuntimeFault("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
        return count

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:
        assert code == kernel_source() and options == ("-std=c++17",)

        def compile() -> None:
            if isinstance(self.fault, NoCompile):
                raise self.fault

        return SimpleNamespace(compile=compile, get_function=lambda name: self._kernel(name))

    def _kernel(self, name: str) -> Any:
        assert name in kernel_names()

        def launch(grid: Any, block: Any, arguments: Any, shared_mem: int) -> None:
            if self.fault is not None:
                raise self.fault
            assert all(isinstance(a, np.ndarray | np.uint64) for a in arguments)
            self.launched.append((name, grid, block, shared_mem))

        return launch


def test_a_launch_as_cupy_takes_it() -> None:
    library = StandIn()
    device = CupyDevice(library)
    GpuBackend(device).inner(np.ones(3, np.uint64), np.ones((3, 3), np.uint64))
    assert library.launched == [("inner_sums", (1, 1), (THREADS,), 8 * THREADS)]
    assert device.description == "a device (sm_90)" and device.free_bytes() == (1 << 20) + 5


@pytest.mark.parametrize(
    ("fault", "error"),
    [(NoMemory("Out of memory allocating 8 bytes"), OutOfMemory),
     (DriverFault("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), OutOfMemory),
     (RuntimeFault("cudaErrorIllegalAddress: an illegal memory access was encountered"), DeviceLost),
     (DriverFault("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"), DeviceLost)],
)
def test_faults_in_the_middle_of_work(fault: Exception, error: type[Exception]) -> None:
    library = StandIn()
    backend = GpuBackend(CupyDevice(library))
    library.fault = fault
    with pytest.raises(error, match=str(fault)) as caught:
        backend.add(np.ones(3, np.uint64), np.ones(3, np.uint64))
    assert classify(caught.value)[1] == (LIMIT if error is OutOfMemory else UNREACHABLE)


@pytest.mark.parametrize(
    ("library", "message"),
    [(StandIn(count=-1), "InsufficientDriver.*--backend cpu"), (StandIn(count=0), "0 found"),
     (StandIn(major=7), r"compute capability 7\.0, 8\.0 is needed"),
     (StandIn(fault=NoCompile("nvrtc: error")), "cannot be compiled")],
)
def test_devices_that_cannot_be_used(library: StandIn, message: str) -> None:
    with pytest.raises(DeviceUnavailable, match=message) as caught:
        CupyDevice(library)
    assert classify(caught.value) == ("device_unavailable", UNREACHABLE)


def test_versions_and_devices_are_told() -> None:
    assert describe(StandIn())["devices"] == [{"name": "a device", "architecture": 90, "memory_bytes": 1 << 30}]
    assert "InsufficientDriver" in describe(StandIn(count=-1))["error"]


# -- choosing -----------------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    choose_backend.cache_clear()
    yield monkeypatch
    choose_backend.cache_clear()


def absent(*_: Any) -> Any:
    raise DeviceUnavailable("there is no GPU here")


def test_auto_takes_a_gpu_only_if_there_is_one(fresh: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fresh.setattr(choosing.importlib.util, "find_spec", lambda name: object())
    fresh.setattr(choosing, "_device", absent)
    assert choose_backend("auto").backend is cpu
    assert "computing on the CPU: there is no GPU here" in capsys.readouterr().err
    choose_backend.cache_clear()
    gpu = Chosen(GpuBackend(EmulatedDevice()), "a device", 1 << 30)
    fresh.setattr(choosing, "_device", lambda: gpu)
    assert choose_backend("auto") is gpu and choose_backend("cpu").backend is cpu
    assert "computing on a device" in capsys.readouterr().err


def test_a_gpu_that_is_asked_for_and_missing(
    fresh: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.setitem(sys.modules, "cupy", None)
    out, data = tmp_path / "run", ROOT / "examples" / "data" / "digits.csv.gz"
    arguments = ["train", "--data", str(data), "--layers", "64-10", "--out", str(out), "--backend", "gpu", "--json"]
    assert run(arguments) == UNREACHABLE
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "device_unavailable"
    assert not out.exists()


def test_a_proof_that_does_not_fit_names_what_would() -> None:
    p = preset(steps=64, widths=(40, 60, 3))
    statement = Statement(p, 10, *[bytes(32)] * 5)
    memory = (plan(p, 10).device_bytes + plan(preset(steps=16, widths=(40, 60, 3)), 10).device_bytes) // 2
    fitting = steps_that_fit(p, 10, memory)
    assert 0 < fitting < 64
    with pytest.raises(OutOfMemory, match=f"--segment-steps {fitting}"):
        Chosen(cpu, "a device", memory).check(statement)
    with pytest.raises(OutOfMemory, match="no segment is small enough"):
        Chosen(cpu, "a device", 1).check(statement)
    Chosen(cpu, "a device", plan(p, 10).device_bytes).check(statement)
    Chosen(cpu, "cpu").check(statement)


def test_samples_that_do_not_fit_are_to_be_fewer() -> None:
    p = use_parameters(preset(widths=(40, 60, 3)), "inference", 10, {"input": 8, "activation": 8, "output": 8})
    shown = Inference(outputs=((0, 0, 0),) * 10)
    statement = replace(Statement(p, 10, *[bytes(32)] * 5), inference=shown)
    with pytest.raises(OutOfMemory, match=r"10 samples .* fewer samples"):
        Chosen(cpu, "a device", 1).check(statement)
    Chosen(cpu, "a device", 1 << 40).check(statement)


def test_nothing_imports_cupy_unless_asked() -> None:
    code = ("import sys; import prover.proving, prover.backends.cpu, prover.backends.gpu, api.cli, bench.headline; "
            "sys.exit('cupy' in sys.modules)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False, cwd=ROOT).returncode == 0


def test_cupy_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceUnavailable, match=r"zkgrad\[gpu12\] or zkgrad\[gpu13\]"):
        load_cupy()


# -- doctor -------------------------------------------------------------------------------------------


def test_the_self_test_makes_the_cpus_bytes() -> None:
    assert small_proof(GpuBackend(EmulatedDevice(2))) == small_proof(cpu)


@pytest.mark.parametrize("sound", [True, False])
def test_doctor_compares_proofs(
    sound: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = GpuBackend(EmulatedDevice())
    if not sound:
        monkeypatch.setattr(backend, "hash_columns", lambda codeword, prefix, salts: cpu.hash_columns(
            backend.host(codeword), prefix + b"?", salts))
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr("prover.backends.gpu_cupy.load_cupy", StandIn)
    monkeypatch.setattr("prover.backends.gpu_cupy.open_backend", lambda: backend)
    assert run(["doctor", "--json"]) == (0 if sound else 70)
    assert json.loads(capsys.readouterr().out)["gpu"]["works"] is sound
