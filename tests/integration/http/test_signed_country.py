"""A country signed by an edge outside, at a real gateway: believed from any peer, for a minute, on its own path."""

from collections.abc import AsyncIterator
from time import time

import pytest

from edge.vouching import HEADER, vouch
from tests.integration.http.asking import Json
from tests.system import Client, System

SECRET, PREVIOUS = "e" * 32, "p" * 32
PATH = "/api/v1/route"


@pytest.fixture(scope="module")
async def known(system: System) -> AsyncIterator[Client]:
    """A gateway that shares a secret with the edges, and trusts no proxy."""
    async with system.gateway(EDGE_SECRET=SECRET, EDGE_SECRET_PREVIOUS=PREVIOUS) as client:
        yield client


def signed(country: str, *, secret: str = SECRET, path: str = PATH, age_s: float = 0) -> dict[str, str]:
    return {HEADER: vouch(secret.encode(), country=country, client="37.210.4.5", path=path, now=time() - age_s)}


async def asked(client: Client, headers: dict[str, str]) -> Json:
    answer = await client.call("GET", "/route", headers=headers)
    assert answer.status == 200, answer
    found: Json = answer.json
    return found


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS])
async def test_a_signed_country_is_believed_of_any_peer(known: Client, secret: str) -> None:
    found = await asked(known, signed("SA", secret=secret))
    assert (found["region"], found["by"]) == ("sa", "country")
    assert found["seen"][0]["note"] == "decided; signed by the edge"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (signed("SA", age_s=3600), "not of the last 60 s"),
        (signed("SA", path="/api/v1/me"), "not of EDGE_SECRET for this path"),
        (signed("SA", secret="x" * 32), "not of EDGE_SECRET for this path"),
        ({HEADER: "SA"}, "malformed"),
    ],
)
async def test_a_replayed_a_moved_and_a_forged_signature_are_ignored_and_explained(
    known: Client, headers: dict[str, str], reason: str
) -> None:
    found = await asked(known, headers)
    assert (found["region"], found["by"]) == ("qa", "default")
    assert reason in found["seen"][0]["note"]


async def test_without_a_secret_nothing_is_believed(gateway: Client) -> None:
    found = await asked(gateway, signed("SA"))
    assert found["by"] == "default"
    assert "EDGE_SECRET is not set" in found["seen"][0]["note"]
