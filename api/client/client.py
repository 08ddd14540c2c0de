"""The client: runs proven elsewhere, proofs verified elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from api.client_errors import NotUnderstood

from .job import Job
from .submission import Told, prepare, submit
from .transport import Transport


@dataclass(frozen=True)
class Verdict:
    """What a service says about a proof. Whoever trusts it trusts the service: the verifier itself needs nobody."""

    valid: bool
    pinned: bool
    reason: str | None
    message: str | None
    statement_digest: str
    security_bits: float | None
    zero_knowledge: bool | None


class Client:
    """A service at `url`, with a key unless it is this machine's own. `insecure` allows http:// to other machines.

    Errors of all methods: Unreachable, Refused, NotUnderstood.
    """

    def __init__(self, url: str, key: str | None = None, *, insecure: bool = False) -> None:
        self._transport = Transport(url, key, insecure)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives up connections."""
        self._transport.close()

    def prove(self, folder: Path, *, attempts: int = 2, told: Told | None = None) -> Job:
        """A job that proves a trained run; done again after an interruption, it goes on where it was.

        Openings for `attempts` tries are granted to the service and count as spent in the folder. The service sees
        data and weights. BudgetExhausted: too few openings are left.
        """
        return Job(self._transport, submit(self._transport, folder, attempts, told))

    def prepare(self, folder: Path, *, attempts: int = 2) -> Job | None:
        """Grants the openings of `prove` and sends nothing: the service's console can then submit the folder.

        The job that is under way, if there is one already. BudgetExhausted: too few openings are left.
        """
        job = prepare(self._transport, folder, attempts)
        return None if job is None else Job(self._transport, job)

    def verify(
        self,
        statement: bytes,
        proof: bytes,
        *,
        expect_statement: str | None = None,
        expect_params: str | None = None,
        min_security_bits: int = 128,
        require_zk: bool = True,
    ) -> Verdict:
        """The service's verdict on a proof of one segment."""
        fields = {
            "expect_statement": expect_statement,
            "expect_params": expect_params,
            "min_security_bits": str(min_security_bits),
            "require_zk": "true" if require_zk else "false",
        }
        parts: list[tuple[str, Any]] = [("statement", ("statement.json", statement))]
        parts += [(name, (None, value)) for name, value in fields.items() if value is not None]
        parts.append(("proof", ("proof.zkp", proof)))
        answer = self._transport.json("POST", "/v1/verify", files=parts)
        try:
            return Verdict(**{name: answer[name] for name in Verdict.__dataclass_fields__})
        except (KeyError, TypeError):
            raise NotUnderstood("the answer is no verdict") from None

    def job(self, job: str) -> Job:
        """A job by its id, which may turn out not to exist."""
        return Job(self._transport, job)

    def jobs(self, status: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """The newest jobs."""
        page = self._transport.json("GET", "/v1/jobs", params={"status": status, "limit": limit})
        return list(page["items"])
