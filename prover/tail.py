"""Where the last rounds of a sumcheck are computed: tables that have become short leave a device for the host."""

from __future__ import annotations

from collections.abc import Sequence

from .backends import cpu
from .backends.interface import Backend, Table


def near(backend: Backend, tables: Sequence[Table]) -> tuple[Backend, list[Table]]:
    """The backend that tables of one length are best worked on by, and the tables there.

    What a device needs to start a round and to answer does not shrink with the tables. So short ones are read once, and
    no kernel is launched for the rounds that are left. The bytes are the same.
    """
    if not tables or tables[0].shape[-1] > backend.short_length:
        return backend, list(tables)
    return cpu.BACKEND, [backend.host(table) for table in tables]
