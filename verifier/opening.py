"""The relation of an opened model: a committed state consists of the integers in a weights file."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from .builder import Builder
from .errors import FileNeeded, StatementMismatch
from .network import states
from .public import Matrix
from .relation import Public, Relation
from .statement import Statement
from .weights import parse_weights


def model_relation(statement: Statement) -> Relation:
    """Per weight matrix and bias, and per velocity: the committed value at a random entry is that of the file, which is
    still missing.

    The state's limbs are not range-checked: what a commitment to a state stands for is their weighted sum mod p, and
    the file says which integers of magnitude below p/2 that is.
    """
    build = Builder(statement)
    build.selected = ()
    for history in states(build, moving=False, checked=False).values():
        axes = (history.columns,) if history.rows is None else (history.rows, history.columns)
        for name, state in ((history.name, history.initial), (f"velocity.{history.name}", history.velocity)):
            if state is not None:
                build.publics.append(Public(f"file:{name}", state.form, axes, Matrix(()), state.offset))
    return build.relation([], {}, ())


def check_file(statement: Statement, file: bytes | None) -> dict[str, Matrix]:
    """The weights in the file that a statement of the task `model` names, by tensor; nothing for any other task.

    FileNeeded: no file; StatementMismatch: another file, or one where none is named; MalformedWeights: see `weights`.
    """
    if statement.file is None:
        if file is not None:
            task = statement.parameters.task
            raise StatementMismatch(f"a statement of the task {task} speaks of no weights file: one was given")
        return {}
    if file is None:
        raise FileNeeded(
            f"the statement speaks of the weights file with SHA-256 {statement.file.hex()}: give that file"
        )
    found = hashlib.sha256(file).digest()
    if found != statement.file:
        raise StatementMismatch(
            f"the weights file has SHA-256 {found.hex()}, the statement says {statement.file.hex()}"
        )
    return parse_weights(file, statement.parameters)


def with_file(relation: Relation, weights: dict[str, Matrix]) -> Relation:
    """The relation with the file's values in its claims."""
    return replace(
        relation,
        publics=tuple(replace(claim, values=weights[claim.name.removeprefix("file:")]) for claim in relation.publics),
    )
