"""GET /openapi.json: valid, complete, and what the server really does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks
from schemathesis.core.parameters import ParameterLocation

from paycollect.sandbox import Sandbox, SyncSandbox
from paycollect.sandbox.provider.endpoints import ENDPOINTS
from paycollect.sandbox.provider.openapi import document
from tests.sandbox.conftest import ORDER, Caller

SCHEMA = schemathesis.openapi.from_dict(document("http://localhost/api/v3"))
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[SyncSandbox, str]]:
    """A sandbox in a thread of its own, with a token."""
    with Sandbox(time_scale=0) as sandbox:
        paid = sandbox.create(ORDER | {"orderId": "PAID"})
        sandbox.pay(paid.collection_id)
        token = sandbox._sandbox.provider.tokens.authenticate(
            sandbox.app_id, sandbox.secret_key, sandbox.clock.now()
        )
        yield sandbox, token.value


def test_it_is_valid() -> None:
    """By the specification of OpenAPI 3.1."""
    validate(document("http://localhost/api/v3"))


def test_every_endpoint_is_in_it() -> None:
    """And nothing else."""
    paths = document("")["paths"]
    told = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert told == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}


async def test_it_is_served(call: Caller) -> None:
    """With the address of this sandbox."""
    reply = await call.send("GET", "/openapi.json")
    assert reply.json["servers"] == [{"url": call.sandbox.base_url}]


# Counting lines here would take longer than the test, and others reach them all.
@pytest.mark.no_cover
@SCHEMA.parametrize()
@settings(
    # An example is a request here; beside them come all that the document suggests by itself.
    max_examples=settings().max_examples // 5,
    suppress_health_check=[
        HealthCheck.filter_too_much,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
def test_the_server_does_what_it_says(
    case: schemathesis.Case[Any], served: tuple[SyncSandbox, str]
) -> None:
    """For good data and bad, no answer but the documented ones, each as it is documented."""
    sandbox, token = served
    if case.operation.path == "/auth/revoke":
        token = "another"
    # No operation has a header of its own, and a made-up Transfer-Encoding breaks HTTP itself.
    case.headers.clear()
    response = case.call(base_url=sandbox.base_url, headers={"Authorization": f"Bearer {token}"})
    wanted: list[Any] = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    # The server ignores further parameters, and the header is ours; a wrong body it must refuse.
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    if body is not None and body.mode is GenerationMode.NEGATIVE:
        wanted.append(checks.negative_data_rejection)
    case.validate_response(response, checks=wanted)
