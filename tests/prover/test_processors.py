"""Kernels for processors that this machine is not: their code compiles for ARM and for x86-64 without AVX.

That it computes the same there is not tested here; the instructions before LLVM's choice are the same.
"""

# mypy: disable-error-code="import-untyped, no-untyped-call"

from __future__ import annotations

import re
from typing import Any

import llvmlite.binding as llvm
import numba
import pytest
from numba import types
from numba.core.codegen import CPUCodeLibrary

from prover.backends import cpu_fractions, cpu_ntt, cpu_pairs, cpu_tables

LINE, PLANES, PARTS = (types.Array(types.uint64, axes, "C") for axes in (1, 2, 3))
PLACE = types.intp
KERNELS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "forward": (cpu_ntt.forward_kernel, (PLANES, PLANES, LINE, PLANES, PLACE, PLACE)),
    "fold": (cpu_fractions.fraction_fold_kernel, (PLANES, LINE, PLANES, PLACE, PLACE)),
    "inner": (cpu_tables.inner_kernel, (PLANES, PLANES, PARTS, PLACE, PLACE, PLACE)),
    "pairs": (cpu_pairs.pairs_layer_kernel, (PLANES, LINE, PLANES, PLANES, PLACE, PLACE)),
}
# A processor, what its lanes are called in assembly, and what would be another's.
PROCESSORS = {
    "ARM": ("aarch64-unknown-linux-gnu", "neoverse-n1", r"\bv\d+\.2d\b", r"%ymm"),
    "Apple": ("aarch64-apple-darwin", "apple-m1", r"\bv?\d*\.2d\b", r"%ymm"),
    "x86-64 without AVX": ("x86_64-unknown-linux-gnu", "x86-64", r"%xmm", r"%ymm"),
}


def modules(monkeypatch: pytest.MonkeyPatch, kernel: Any, signature: tuple[Any, ...]) -> list[str]:
    """What Numba hands to LLVM for a kernel."""
    found: list[str] = []
    original = CPUCodeLibrary.add_ir_module

    def keep(self: Any, module: Any) -> None:
        found.append(str(module))
        original(self, module)

    with monkeypatch.context() as patched:
        patched.setattr(CPUCodeLibrary, "add_ir_module", keep)
        anew: Any = numba.njit
        anew(nogil=True)(kernel.py_func).compile(signature)
    return found


def assembly(module: str, triple: str, processor: str) -> str:
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, opt=2)
    for name, value in (("triple", triple), ("datalayout", str(machine.target_data))):
        module = re.sub(rf'target {name} = ".*"', f'target {name} = "{value}"', module)
    parsed = llvm.parse_assembly(module)
    parsed.verify()
    return str(machine.emit_assembly(parsed))


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_for_other_processors(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    texts = modules(monkeypatch, *KERNELS[name])
    assert any("<4 x i64>" in text for text in texts)
    for triple, processor, own, foreign in PROCESSORS.values():
        made = "\n".join(assembly(text, triple, processor) for text in texts)
        assert re.search(own, made), triple
        assert not re.search(foreign, made), triple
