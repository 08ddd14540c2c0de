"""Trains in exact integers and proves that training in zero knowledge.

`train` and `prove` work in memory, for notebooks and scripts; `prover.run` has them. They are loaded when first asked
for, so that `import prover` needs no package.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Proof, Run, prove, train

__all__ = ["Proof", "Run", "prove", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import run

    return getattr(run, name)
