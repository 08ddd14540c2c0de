"""The whole conversation, in order. The prover runs this same function with a channel that answers its questions."""

from __future__ import annotations

from . import commitment, lookup, merge, products, selection, zero_knowledge
from .channel import Channel
from .commitment import Code
from .relation import Relation
from .statement import Statement
from .zero_knowledge import PadCode


def converse(channel: Channel, statement: Statement, relation: Relation, code: Code, pads: PadCode) -> None:
    """Checks one proof of `statement`; raises RejectedProof or MalformedProof with the place.

    Order matters for soundness: roots before all challenges; the end claims of a sumcheck before anything else is
    drawn; coefficients that combine claims after all of these claims; the mask's share before rho; query positions
    last. The caller has checked the statement's bounds and parameters.
    """
    channel.observe("parameters", statement.parameters.digest())
    channel.observe("statement", statement.digest())
    roots = {"initial": statement.initial_root, "final": statement.final_root, "data": statement.data_root}
    roots["witness"] = channel.root("witness")
    pads_root = channel.root("pads") if channel.zero_knowledge else b""

    claims = lookup.check(channel, relation)
    points = products.draw_points(channel, relation)
    einsum_claims, weights = products.check_einsums(channel, relation, points)
    claims += einsum_claims
    claims += products.check_histories(channel, statement, relation, weights)
    claims += selection.direct_claims(statement, relation, points)

    merged = merge.check(channel, relation, claims)
    combination = commitment.check_value(channel, relation, merged, code)
    tests = zero_knowledge.check_equations(channel, pads) if channel.zero_knowledge else None
    commitment.check_columns(channel, relation, code, combination, roots)
    if tests is not None:
        zero_knowledge.check_columns(channel, pads, tests, pads_root)
