"""Reference data from a running gateway: as the API document says, and as the marketplace and the map have it."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from openapi_schema_validator import OAS31Validator

from edge.reference import KINDS, LANGUAGES
from gateway.marketplace import SERVICE, bids, counter_offers, disputes, orders, payments, requests, reviews
from gateway.marketplace.staffing import Plan
from gateway.operations.openapi import document
from tests.integration.http.asking import Json, is_problem
from tests.system import Client, System, until

DOCUMENT = document(SERVICE.api.operations)
PATHS = ["", *(f"/{kind.name}" for kind in KINDS)]
STATES: dict[str, set[str]] = {
    "request": set(get_args(requests.Status)),
    "bid": set(get_args(bids.Status)),
    "counter_offer": set(get_args(counter_offers.Status)),
    "order": set(get_args(orders.Status)),
    "payment": set(get_args(payments.Status)),
    "refund": {"pending", "succeeded", "failed"},
    "dispute": set(get_args(disputes.Status)),
    "review": set(get_args(reviews.ModerationStatus)),
}


async def told(gateway: Client, path: str, region: str = "qa", **headers: str) -> Json:
    answer = await gateway.call("GET", f"/reference{path}", headers={"X-Region": region, **headers})
    assert answer.status == 200, answer
    found: Json = answer.json
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_set_is_as_the_api_document_says(gateway: Client, path: str, language: str) -> None:
    found = await told(gateway, path, **{"Accept-Language": language})
    answers = DOCUMENT["paths"][f"/api/v1/reference{path}"]["get"]["responses"]
    schema = answers["200"]["content"]["application/json"]["schema"]
    OAS31Validator({**schema, "components": DOCUMENT["components"]}).validate(found)
    assert found["language"] == language


async def test_conditions_and_parts_are_understood(gateway: Client) -> None:
    whole = await gateway.call("GET", "/reference/statuses")
    etag = whole.headers["ETag"]
    held = await gateway.call("GET", "/reference/statuses", headers={"If-None-Match": etag})
    assert (held.status, held.body, held.headers["ETag"]) == (304, b"", etag)
    part = await gateway.call(
        "GET", "/reference/statuses", headers={"Range": "bytes=7-16", "Accept-Encoding": "identity"}
    )
    assert (part.status, part.body) == (206, b'"statuses"')
    beyond = await gateway.call("GET", "/reference/statuses", headers={"Range": "bytes=9999999-"})
    is_problem(beyond, 416, "range_not_satisfiable")
    head = await gateway.call("HEAD", "/reference/statuses", headers={"Accept-Encoding": "br"})
    assert (head.status, head.headers["Content-Encoding"]) == (200, "br")
    is_problem(await gateway.call("POST", "/reference/statuses"), 405, "method_not_allowed")


async def test_a_region_that_is_not_on_the_map_is_refused(gateway: Client) -> None:
    for path in ("", "/makes", "/plans", "/none"):
        is_problem(await gateway.call("GET", f"/reference{path}", headers={"X-Region": "xx"}), 400, "malformed")


async def test_a_set_that_there_is_not_is_a_problem_that_names_those_there_are(gateway: Client) -> None:
    for path in ("/zones", "/none?v=1"):
        answer = await gateway.call("GET", f"/reference{path}", headers={"X-Request-Id": "mine-1"})
        is_problem(answer, 404, "not_found")
        assert answer.json["request_id"] == answer.headers["X-Request-Id"] == "mine-1"
        assert all(kind.name in answer.json["detail"] for kind in KINDS)


async def test_nothing_of_a_login_is_read(gateway: Client) -> None:
    answer = await gateway.call("GET", "/reference/makes", headers={"Authorization": "Bearer nonsense"})
    assert answer.status == 200
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("region", ["qa", "sa"])
async def test_delivery_zones_are_those_of_the_map(gateway: Client, system: System, region: str) -> None:
    found, spec = await told(gateway, "/delivery-zones", region), system.shard_map.region(region)
    assert spec is not None
    assert (found["currency"], found["hub"]) == (spec.currency, {"lat": spec.hub.lat, "lng": spec.hub.lng})
    assert [(zone["up_to_km"], zone["fee"]) for zone in found["items"]] == [
        (None if zone.up_to_km is None else str(zone.up_to_km), f"{zone.fee:.{spec.minor_unit}f}")
        for zone in spec.delivery_zones
    ]


async def test_plans_cost_what_the_marketplace_takes(gateway: Client, system: System) -> None:
    told_of = {plan["id"]: plan["commission_percent"] for plan in (await told(gateway, "/plans"))["items"]}
    assert told_of.keys() == set(get_args(Plan))
    async with system.sql("qa-1") as connection:
        taken = {plan: await connection.fetchval("SELECT marketplace.commission($1)", plan) for plan in told_of}
    assert {plan: str(percent.normalize()) for plan, percent in taken.items()} == told_of


async def test_every_state_of_the_marketplace_has_its_label_and_no_other(gateway: Client, system: System) -> None:
    found = (await told(gateway, "/statuses"))["items"]
    labelled = {bearer["id"]: {status["id"] for status in bearer["statuses"]} for bearer in found}
    async with system.sql("qa-1") as connection:
        rows = await connection.fetch(
            """SELECT entity, array_agg(from_status) || array_agg(to_status) AS states
               FROM marketplace.transition GROUP BY entity"""
        )
    reached = {row["entity"].removesuffix("s"): set(row["states"]) for row in rows}
    assert labelled == STATES
    assert labelled == reached


async def test_an_operators_bad_file_is_told_by_health_and_mended_without_a_restart(
    system: System, tmp_path: Path
) -> None:
    async with system.gateway(REFERENCE_FOLDER=str(tmp_path), RATE_LIMITS="on", RATE_LIMIT_ADDRESS="5/60s") as gateway:
        bad = tmp_path / "plans.json"
        bad.write_text('{"items": [\n{}]}')

        async def health_says(refused: bool) -> bool:
            bad.touch()
            health: dict[str, Any] = (await gateway.call("GET", "/health")).json
            return ("plans.json:2: items.0: needs 'id'" in health.get("reference", {}).get("refused", "")) is refused

        await until(lambda: health_says(True), within_s=20, what="the refusal is told")
        assert [plan["id"] for plan in (await told(gateway, "/plans"))["items"]] == [
            "free",
            "starter",
            "gold",
            "platinum",
        ]
        name = {"en": "One", "ar": "واحد"}
        plan = {"id": "one", "name": name, "description": name, "commission_percent": "1"}
        bad.write_text(json.dumps({"items": [plan]}))
        await until(lambda: health_says(False), within_s=20, what="the refusal is gone")
        assert [plan["id"] for plan in (await told(gateway, "/plans"))["items"]] == ["one"]
        statuses = [(await gateway.call("GET", "/reference/makes")).status for _ in range(6)]
        assert (statuses[0], statuses[-1]) == (200, 429), "each address has its limit"
