"""Who asks, and whether he may: keys, scopes, and a service without keys, which serves its own machine only."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from api.service.errors import Forbidden, Unauthorized
from api.service.rates import count_request
from api.service.store import Store
from api.service.tenants import SCOPES, any_key, authenticate, local_tenant
from api.service.views import Caller

from .settings import HttpSettings, is_loopback

_SAFE = ("GET", "HEAD")
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    bearerFormat="zk_<id>_<secret>",
    description="A key with the scopes that the operation names. A service without keys answers its own machine only.",
)


def the_store(request: Request) -> Store:
    """The store of the application."""
    store: Store = request.app.state.store
    return store


def the_settings(request: Request) -> HttpSettings:
    """The settings of the application."""
    settings: HttpSettings = request.app.state.settings
    return settings


def the_caller(
    request: Request,
    scopes: SecurityScopes,
    store: Annotated[Store, Depends(the_store)],
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """The owner of the key, who has all scopes asked for. Unauthorized, Forbidden, TooMany."""
    caller = _local(request, store) if given is None else authenticate(store, given.credentials)
    missing = sorted(set(scopes.scopes) - caller.scopes)
    if missing:
        raise Forbidden(f"the key lacks the scope {missing[0]}; it has {', '.join(sorted(caller.scopes))}")
    request.state.key = caller.key
    if request.method not in _SAFE:
        count_request(store, caller.tenant, "writes")
    return caller


def _local(request: Request, store: Store) -> Caller:
    """A caller without a key, where there are none at all: from this machine, and not sent by some web page."""
    if any_key(store):
        raise Unauthorized("give a key: Authorization: Bearer zk_<id>_<secret>")
    peer = request.client.host if request.client is not None else ""
    if not is_loopback(peer) or not is_loopback(request.url.hostname or ""):
        raise Unauthorized("the service has no keys yet and answers its own machine only: zkgrad keys create")
    if "forwarded" in request.headers or "x-forwarded-for" in request.headers:
        raise Unauthorized("the service has no keys yet, and does not answer a proxy: zkgrad keys create")
    origin = request.headers.get("origin")
    if origin is not None and not is_loopback(urlsplit(origin).hostname or ""):
        raise Forbidden("requests of pages of other origins are not answered")
    return Caller(local_tenant(store).id, "", frozenset(SCOPES))


def needs(scope: str) -> Any:
    """The dependency on a caller with a scope."""
    return Security(the_caller, scopes=[scope])


def a_writer(caller: Annotated[Caller, Depends(the_caller)]) -> Caller:
    """A caller who may prove or verify: whoever does either brings statements and proofs. Forbidden."""
    if not caller.scopes & {"prove", "verify"}:
        raise Forbidden(f"the key has neither the scope prove nor verify; it has {', '.join(sorted(caller.scopes))}")
    return caller


StoreOf = Annotated[Store, Depends(the_store)]
SettingsOf = Annotated[HttpSettings, Depends(the_settings)]
Writer = Annotated[Caller, Depends(a_writer)]
Prover = Annotated[Caller, needs("prove")]
Verifier = Annotated[Caller, needs("verify")]
Reader = Annotated[Caller, needs("read")]
Admin = Annotated[Caller, needs("admin")]
