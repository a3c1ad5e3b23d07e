"""Which region a request at the edge belongs to, which gateways may answer for it, and the table both come from."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.shard_map import load
from edge.failover import Failover
from edge.geography import EdgeTable, Located, gateways_of, known_country, region_of, table_from_json, table_of
from edge.messages import Request, Response
from edge.origin import OriginFailed
from edge.reference.regions import RegionFacts
from gateway.cli import map as map_command
from gateway.edge_table import TABLE_FILE, edge_table_text
from tests.system import ROOT


def facts(name: str, *countries: str, gateway: str | None = None, residency: tuple[str, ...] = ()) -> RegionFacts:
    return RegionFacts(
        name=name,
        countries=countries,
        names={"en": name},
        currency="QAR",
        minor_unit=2,
        time_zone="Asia/Qatar",
        hub=(25.0, 51.0),
        zones=(),
        residency=residency,
        gateway=gateway,
    )


QA, SA, KW, OM = "https://qa.example", "https://sa.example", "https://kw.example", "https://om.example"
TABLE = table_of(
    [
        facts("qa", "QA", gateway=QA),
        facts("sa", "SA", "BH", gateway=SA, residency=("kw", "qa")),
        facts("kw", "KW", gateway=KW, residency=("om",)),
        facts("om", "OM", residency=("sa",)),
    ],
    default_region="qa",
    unlisted="default",
)
STRICT = replace(TABLE, unlisted="refuse")


@pytest.mark.parametrize(
    ("x_region", "country", "located"),
    [
        ("sa", "QA", Located("sa", "explicit", "QA")),
        ("sa", None, Located("sa", "explicit", None)),
        (None, "BH", Located("sa", "country", "BH")),
        (None, " bh ", Located("sa", "country", "BH")),
        (None, "FR", Located("qa", "country", "FR")),
        ("atlantis", "KW", Located("kw", "country", "KW")),
        ("", "KW", Located("kw", "country", "KW")),
        ("SA", "KW", Located("kw", "country", "KW")),
        (None, None, Located("qa", "default", None)),
    ],
)
def test_the_region_is_the_explicit_one_then_the_countrys_then_the_default(
    x_region: str | None, country: str | None, located: Located
) -> None:
    assert region_of(TABLE, x_region, country) == located


@pytest.mark.parametrize("country", ["XX", "T1", "", "  ", "xx", "EU", "Q", "QAT", "قط", "Q1", "\x00\x01"])
def test_what_is_no_country_leads_to_the_default_region_and_is_told_apart(country: str) -> None:
    assert region_of(TABLE, None, country) == region_of(STRICT, None, country) == Located("qa", "default", None)
    assert known_country(country) is None


def test_a_country_that_no_region_lists_is_refused_where_the_map_says_so() -> None:
    assert region_of(STRICT, None, "FR") == Located("qa", "country", "FR", is_refused=True)
    assert not region_of(STRICT, None, "BH").is_refused
    assert not region_of(STRICT, "sa", "FR").is_refused


@pytest.mark.parametrize(("region", "gateways"), [("qa", (QA,)), ("sa", (SA, KW, QA)), ("kw", (KW,)), ("om", (SA,))])
def test_only_the_regions_own_gateway_and_those_of_its_residency_may_answer(
    region: str, gateways: tuple[str, ...]
) -> None:
    assert gateways_of(TABLE, region) == gateways


def test_a_table_whose_default_region_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="default region om"):
        table_of([facts("qa", "QA")], default_region="om", unlisted="default")


def shipped_text() -> str:
    return edge_table_text(load(ROOT / "shard_map.yaml", environment={}))


def test_the_committed_table_is_what_the_shipped_map_says() -> None:
    committed = (ROOT / TABLE_FILE).read_text("utf-8")
    assert committed == shipped_text(), "run: meridian map edge-table"


def test_a_table_is_read_back_as_it_was_and_knows_nothing_of_servers() -> None:
    text = shipped_text()
    table = table_from_json(json.loads(text))
    assert isinstance(table, EdgeTable)
    assert (table.default_region, table.unlisted, dict(table.by_country)) == ("qa", "default", {"QA": "qa", "SA": "sa"})
    assert table.regions["sa"].names == {"en": "Saudi Arabia", "ar": "السعودية"}
    for word in ("5501", "postgres", "password", "shard", "redis"):
        assert word not in text


def test_the_command_writes_the_table_and_says_when_it_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_command, "environment", lambda: {"SA_GATEWAY": SA})
    shard_map, table = str(ROOT / "shard_map.yaml"), tmp_path / "table.json"

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit:
            map_command.app(("edge-table", shard_map, "--to", str(table), *words))
        return int(exit.value.code or 0), capsys.readouterr().out

    assert run("--check")[0] == 1
    assert run()[0] == 0
    assert run("--check")[0] == 0
    assert gateways_of(table_from_json(json.loads(table.read_text())), "sa") == (SA,)
    table.write_text(table.read_text().replace("SA", "BH"))
    code, printed = run("--check")
    assert code == 1
    assert "meridian map edge-table" in printed


class Gateway:
    """An origin that is there or not, and what it was asked."""

    def __init__(self, name: str) -> None:
        self.name, self.is_there, self.asked = name, True, 0

    async def __call__(self, request: Request) -> Response:
        self.asked += 1
        if not self.is_there:
            raise OriginFailed(f"{self.name} is away")
        return Response(200, body=self.name.encode())


class Pair:
    def __init__(self) -> None:
        self.now = 1000.0
        self.own, self.stand_in = Gateway("own"), Gateway("stand-in")
        self.ask = Failover([self.own, self.stand_in], clock=lambda: self.now, rest_s=10)


async def test_a_read_goes_to_the_stand_in_while_the_own_gateway_is_away_and_back_afterwards() -> None:
    pair = Pair()
    pair.own.is_there = False
    assert (await pair.ask(Request("GET", "/"))).body == b"stand-in"
    assert (await pair.ask(Request("GET", "/"))).body == b"stand-in"
    assert pair.own.asked == 1, "a gateway that just failed is not asked again at once"
    pair.own.is_there = True
    pair.now += 10
    assert (await pair.ask(Request("GET", "/"))).body == b"own"


async def test_a_write_is_sent_once_and_to_the_stand_in_only_when_the_own_gateway_is_known_to_be_away() -> None:
    pair = Pair()
    pair.own.is_there = False
    with pytest.raises(OriginFailed, match="own is away"):
        await pair.ask(Request("POST", "/", body=b"x"))
    assert (pair.own.asked, pair.stand_in.asked) == (1, 0)
    assert (await pair.ask(Request("POST", "/", body=b"x"))).body == b"stand-in"


async def test_the_failure_of_the_last_one_is_told() -> None:
    pair = Pair()
    pair.own.is_there = pair.stand_in.is_there = False
    with pytest.raises(OriginFailed, match="stand-in is away"):
        await pair.ask(Request("GET", "/"))
    with pytest.raises(ValueError, match="there must be an origin"):
        Failover([], clock=lambda: 0.0)
