"""The OpenAPI document tells the truth: it is the committed one, and no answer is missing in it."""

from __future__ import annotations

import contextlib
import json

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api.service import tenants
from api.service.http.__main__ import document
from tests.service.http_support import ROOT, service

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]
LIMITS = {"max_wait_seconds": 0.1, "heartbeat_seconds": 0.1, "requests_per_minute": 10**6, "max_open_uploads": 10**6}
# Events of a job that nobody works on never end; they have tests of their own.
ENDLESS = "/v1/jobs/{job}/events"

QUIET = hypothesis.settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)


def test_the_committed_document_is_that_of_the_code():
    """After a change: python -m api.service.http > docs/openapi.json, and look at the difference."""
    assert (ROOT / "docs" / "openapi.json").read_text() == document()


def test_every_error_in_the_document_is_a_problem():
    paths = json.loads(document())["paths"]
    answers = [
        (path, method, status, answer)
        for path, operations in paths.items()
        for method, operation in operations.items()
        for status, answer in operation["responses"].items()
    ]
    assert len(answers) > 300
    for path, method, status, answer in answers:
        if int(status) >= 400:
            assert list(answer["content"]) == ["application/problem+json"], (path, method, status)
    open_ones = {path for path, operations in paths.items() if "security" not in next(iter(operations.values()))}
    assert {path for path in open_ones if path.startswith("/v1/") and not path.startswith("/v1/shared/")} == set()


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    """All operations, and the headers of a caller who may do everything."""
    with service(tmp_path_factory.mktemp("openapi"), max_active_jobs=10**6, **LIMITS) as (client, store):
        tenant = tenants.create_tenant(store, "fuzz").id
        headers = {"Authorization": f"Bearer {tenants.create_key(store, tenant, 'all', tenants.SCOPES)[1]}"}
        schema = schemathesis.openapi.from_url(str(client.base_url.join("/openapi.json")))
        yield [found.ok() for found in schema.get_all_operations()], headers


def fuzz(operations, examples: int, mode, checks) -> int:
    found, headers = operations
    count = 0
    for operation in found:
        if operation.path == ENDLESS:
            continue

        @hypothesis.settings(QUIET, max_examples=examples)
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def check(case) -> None:
            nonlocal count
            count += 1
            case.call_and_validate(headers=headers, checks=checks, timeout=60)

        # An operation without parameters and body has no malformed requests.
        with contextlib.suppress(hypothesis.errors.Unsatisfiable):
            check()
    return count


def test_no_answer_is_undeclared(operations):
    assert fuzz(operations, 3, schemathesis.GenerationMode.POSITIVE, CHECKS) > 50


def test_no_answer_to_a_malformed_request_is_undeclared(operations):
    assert fuzz(operations, 3, schemathesis.GenerationMode.NEGATIVE, [*CHECKS, negative_data_rejection]) > 50


@pytest.mark.services
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_no_answer_of_many_is_undeclared(operations, mode):
    assert fuzz(operations, 60, mode, CHECKS) > 1000
