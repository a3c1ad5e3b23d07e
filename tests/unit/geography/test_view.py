"""The route as an answer, as a header, and for requests that nobody sent."""

import json
from typing import Any

import pytest

from core.errors import RegionUnavailable
from core.ids import Placement, make_id
from gateway.geography.decision import Signal, Signals
from gateway.geography.headers import route_header
from gateway.geography.imagined import IMAGINED_TRUST, imagine
from gateway.geography.resolve import Geography
from gateway.geography.view import RouteView


def test_the_route_header_says_where_why_and_when() -> None:
    assert route_header("sa-2", "replica", Signal.ID, 7) == "sa-2/replica; by=id; epoch=7"


def test_the_view_is_plain_json_with_every_signal_seen(geography: Geography) -> None:
    decision = geography.decide(Signals(explicit="qa"))
    view = RouteView.from_decision(decision, geography.explain(decision))
    assert json.loads(view.model_dump_json()) == {
        "region": "qa",
        "bucket": None,
        "by": "explicit",
        "shard": None,
        "epoch": None,
        "seen": [
            {"signal": "explicit", "value": "qa", "region": "qa", "note": "decided"},
            {"signal": "default", "value": "kw", "region": "kw", "note": "not needed: explicit decided"},
        ],
    }


def test_the_caller_fills_in_shard_and_epoch(geography: Geography) -> None:
    decision = geography.decide(Signals(user=Placement(2, 8)))
    view = RouteView.from_decision(decision, (), shard="sa-2", epoch=7)
    assert (view.bucket, view.shard, view.epoch) == (8, "sa-2", 7)


def test_the_view_has_a_schema_for_the_api_description() -> None:
    assert {"region", "bucket", "by", "shard", "epoch", "seen"} == set(RouteView.model_json_schema()["properties"])


@pytest.mark.parametrize(
    ("asked", "by", "region"),
    [
        ({"country": "QA"}, Signal.COUNTRY, "qa"),
        ({"address": "37.210.4.5"}, Signal.ADDRESS, "qa"),
        ({"country": "SA", "address": "37.210.4.5"}, Signal.COUNTRY, "sa"),
        ({"phone": "+966501234567", "country": "QA"}, Signal.PHONE, "sa"),
        ({"explicit": "qa", "phone": "+966501234567"}, Signal.EXPLICIT, "qa"),
        ({"id": make_id(Placement(2, 1), now_ms=0, random_bits=0), "country": "QA"}, Signal.ID, "sa"),
        ({}, Signal.DEFAULT, "kw"),
    ],
)
def test_an_imagined_request_is_decided_as_a_trusted_edge_would_send_it(
    make_geography: Any, asked: dict[str, Any], by: Signal, region: str
) -> None:
    geography: Geography = make_geography(trusted=", ".join(map(str, IMAGINED_TRUST.networks)))
    decision = geography.decide(imagine(**asked))
    assert (decision.by, decision.region.name) == (by, region)


def test_an_imagined_request_from_an_unlisted_country_is_refused_too(make_geography: Any) -> None:
    with pytest.raises(RegionUnavailable):
        make_geography(trusted="127.0.0.1").decide(imagine(country="US"))
