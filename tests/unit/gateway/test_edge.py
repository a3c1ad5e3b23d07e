"""What `meridian edge` is to be, and whose word counts about a client, without any process."""

import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from core.errors import Invalid
from edge.geography import table_of
from edge.messages import Request
from edge.reference.regions import RegionFacts
from gateway.cli import edge as edge_command
from gateway.cli import map as map_command
from gateway.edge.announcing import announce
from gateway.edge.arrivals import Arrivals
from gateway.edge.plan import PLAIN_NAME, plan_of
from gateway.edge.refused_purges import EVERY_S, RefusedPurges
from gateway.edge.settings import EdgeSettings
from gateway.geography.trust import TrustedProxies
from tests.system import ROOT

LIES = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "CF-IPCountry": "SA",
    "X-Original-URL": "/admin",
}
STRANGER, PROXY = "198.51.100.7", "10.0.0.5"


def facts(name: str, country: str) -> RegionFacts:
    return RegionFacts(name, (country,), {}, "QAR", 2, "Asia/Qatar", (0.0, 0.0), ())


TABLE = table_of([facts("qa", "QA"), facts("sa", "SA")], default_region="qa", unlisted="default")


def arrivals(own_region: str = "qa") -> Arrivals:
    return Arrivals(
        table=TABLE, own_region=own_region, trusted=TrustedProxies.parse("10.0.0.0/8"), country_header="CF-IPCountry"
    )


def asking(**headers: str) -> Request:
    return Request("GET", "/", tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def test_what_a_stranger_says_of_itself_is_taken_off() -> None:
    arrival = arrivals().arrived(Request("GET", "/", tuple(LIES.items())), STRANGER)
    assert arrival.request.headers == (("X-Forwarded-For", STRANGER), ("X-Forwarded-Proto", "http"))
    assert arrival.region == "qa"


def test_a_trusted_proxy_is_believed_but_never_about_the_host_or_the_path() -> None:
    arrival = arrivals().arrived(Request("GET", "/", tuple(LIES.items())), PROXY)
    said = dict(arrival.request.headers)
    assert said["X-Forwarded-For"] == f"203.0.113.9, {PROXY}"
    assert (said["X-Forwarded-Proto"], said["CF-IPCountry"], arrival.region) == ("https", "SA", "sa")
    assert "X-Forwarded-Host" not in said
    assert "X-Original-URL" not in said


@pytest.mark.parametrize("peer", [STRANGER, PROXY])
@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-Method-Override", "X-Forwarded-Prefix", "X-Host", "x_forwarded_host"]
)
def test_nobody_says_another_method_path_or_host(name: str, peer: str) -> None:
    arrival = arrivals().arrived(Request("GET", "/", ((name, "x"),)), peer)
    assert {name for name, _ in arrival.request.headers} == {"X-Forwarded-For", "X-Forwarded-Proto"}
    assert not arrival.is_inside


@pytest.mark.parametrize("peer", [STRANGER, PROXY])
def test_what_proxies_say_is_not_believed_in_another_spelling(peer: str) -> None:
    lies = (("X_Forwarded_For", "203.0.113.9"), ("CF_IPCountry", "SA"), ("x_real-ip", "203.0.113.9"))
    arrival = arrivals().arrived(Request("GET", "/", lies), peer)
    assert arrival.request.headers == (("X-Forwarded-For", peer), ("X-Forwarded-Proto", "http"))
    assert arrival.region == "qa"


def test_connection_takes_off_nothing_that_the_edge_adds_and_hides_no_proxy() -> None:
    named = "close, X-Forwarded-For, x-forwarded-proto, X-Region, Via"
    headers = (("connection", named), ("X-Region", "sa"), ("Via", "1.1 a"), ("Accept", "x"))
    arrival = arrivals().arrived(Request("GET", "/", headers), "127.0.0.1")
    assert arrival.request.headers == (("Accept", "x"), ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "http"))
    assert arrival.region == "qa"
    assert not arrival.is_inside


@pytest.mark.parametrize(
    ("headers", "peer", "region"),
    [
        ({"X_Region": "sa"}, STRANGER, "sa"),
        ({"X_Region": "xx"}, STRANGER, "qa"),
        ({"CF_IPCountry": "SA"}, STRANGER, "qa"),
        ({"CF_IPCountry": "SA"}, PROXY, "sa"),
        ({"CF_IPCountry": "XX"}, PROXY, "qa"),
        ({"X_Region": "qa", "CF_IPCountry": "SA"}, PROXY, "qa"),
        ({}, "", "qa"),
    ],
)
def test_the_region_of_a_request(headers: dict[str, str], peer: str, region: str) -> None:
    assert arrivals().arrived(asking(**headers), peer).region == region


def test_a_request_of_which_nothing_is_known_belongs_to_where_the_edge_stands() -> None:
    assert arrivals("sa").arrived(asking(), STRANGER).region == "sa"


@pytest.mark.parametrize(
    ("headers", "peer", "is_inside"),
    [
        ({}, "127.0.0.1", True),
        ({}, "::1", True),
        ({}, PROXY, True),
        ({}, STRANGER, False),
        ({}, "", False),
        ({"X_Forwarded_For": STRANGER}, "127.0.0.1", False),
        ({"Via": "1.1 nginx"}, "127.0.0.1", False),
        ({"Forwarded": "for=a"}, PROXY, False),
    ],
)
def test_who_comes_through_a_proxy_is_not_inside(headers: dict[str, str], peer: str, is_inside: bool) -> None:
    assert arrivals().arrived(asking(**headers), peer).is_inside is is_inside


def test_an_origin_and_nothing_else_make_a_plain_cache() -> None:
    plan = plan_of({}, origin="http://127.0.0.1:9000", port=9001, workers=2)
    assert (plan.name, plan.table, plan.origins, plan.workers) == (PLAIN_NAME, None, ("http://127.0.0.1:9000",), 2)
    assert plan.settings.port == 9001
    assert plan.purge_token is None


def test_the_command_line_wins_over_the_environment() -> None:
    values = {"EDGE_ORIGIN": "http://a", "EDGE_PORT": "1234", "HOST": "127.0.0.1", "EDGE_PURGE_TOKEN": "t"}
    assert plan_of(values).origins == ("http://a",)
    plan = plan_of(values, origin="http://b", port=5678, host="::1")
    assert (plan.origins, plan.settings.port, plan.settings.host, plan.purge_token) == (("http://b",), 5678, "::1", "t")


def test_no_secret_of_the_gateway_is_asked_for() -> None:
    assert plan_of({"NODE_ENV": "production"}, origin="http://a").settings.form == "json"


def test_the_example_names_every_variable() -> None:
    lines = [line.removeprefix("# ") for line in Path(".env.example").read_text().splitlines()]
    named = {line.partition("=")[0] for line in lines if "=" in line}
    assert {str(field.validation_alias) for field in EdgeSettings.model_fields.values()} <= named


def test_with_a_region_it_ships_reference_data() -> None:
    plan = plan_of({}, origin="http://a", region="sa")
    assert (plan.name, plan.region, plan.origins) == ("meridian-sa", "sa", ("http://a",))
    assert plan.reference is not None
    assert plan.reference.shipped(Request("GET", "/api/v1/reference"), "sa") is not None


def test_with_a_map_the_regions_are_those_of_the_map(tmp_path: Path) -> None:
    text = Path("shard_map.yaml").read_text().replace("${SA_GATEWAY:-}", "https://sa.gateway.example")
    (tmp_path / "map.yaml").write_text(text)
    plan = plan_of({"SHARD_MAP": str(tmp_path / "map.yaml")}, region="sa")
    assert (plan.name, plan.origins) == ("meridian-sa", ("https://sa.gateway.example",))
    assert plan.references is not None


@pytest.mark.parametrize(
    ("values", "arguments", "name"),
    [
        ({}, {"origin": "localhost:3000"}, "--origin"),
        ({}, {"origin": "http://a/path"}, "--origin"),
        ({}, {"origin": "http://u:p@a"}, "--origin"),
        ({}, {"origin": "http://a?x=1"}, "--origin"),
        ({"EDGE_ORIGIN": "ftp://a"}, {}, "EDGE_ORIGIN"),
        ({"EDGE_PORT": "0"}, {}, "EDGE_PORT"),
        ({"TRUSTED_PROXIES": "x"}, {}, "TRUSTED_PROXIES"),
        ({"NODE_ENV": "production", "EDGE_PURGE_TOKEN": "short"}, {}, "EDGE_PURGE_TOKEN"),
        ({}, {"region": "xx"}, "--region"),
        ({}, {"workers": 0}, "--workers"),
        ({}, {"workers": 1000}, "--workers"),
        ({}, {"port": 70000}, "--port"),
        ({"EDGE_TLS_KEY": "key.pem"}, {"origin": "http://a"}, "EDGE_TLS_CERT, EDGE_TLS_KEY"),
    ],
)
def test_a_wrong_argument_or_setting_is_named(values: dict[str, str], arguments: dict[str, object], name: str) -> None:
    with pytest.raises(Invalid) as refused:
        plan_of(values, **arguments)  # type: ignore[arg-type]
    assert [field.field for field in refused.value.fields] == [name]


def test_an_edge_announces_where_it_serves_and_from_what() -> None:
    plan = plan_of({"EDGE_PURGE_TOKEN": "t"}, origin="https://a.example", region="sa", host="::1", port=9001, workers=2)
    with capture_logs() as lines:
        announce(plan)
    [serving] = lines
    assert serving == {
        "event": "serving",
        "log_level": "info",
        "name": "meridian-sa",
        "url": "http://[::1]:9001",
        "origin": "a.example:443",
        "region": "sa",
        "server": "http1",
        "purges": "on",
        "reference": "shipped",
        "workers": 2,
    }


def test_without_an_origin_it_warns_and_says_what_to_do() -> None:
    with capture_logs() as lines:
        announce(plan_of({}, region="sa"))
    assert [(line["event"], line["log_level"]) for line in lines] == [("serving", "info"), ("no_origin", "warning")]
    assert "EDGE_ORIGIN" in lines[1]["remedy"]
    assert "region sa" in lines[1]["remedy"]


def test_refusals_are_all_counted_and_seldom_told() -> None:
    told: list[tuple[object, object]] = []
    now = 0.0
    refused = RefusedPurges(
        clock=lambda: now, on_change=lambda _, details: told.append((details["reason"], details["count"]))
    )
    for _ in range(3):
        refused.note("wrong token")
    refused.note("no token")
    assert told == [("wrong token", 1), ("no token", 1)]
    now = EVERY_S
    refused.note("wrong token")
    assert told[2:] == [("wrong token", 3)]
    assert refused.count == 5


EDGE_URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("token", "arguments", "words"),
    [
        ("", {"group": "a"}, "EDGE_PURGE_TOKEN is not set"),
        ("t", {}, "say what to purge: give one of --path"),
        ("t", {"group": "a", "path": "/a"}, "give only one of --path"),
        ("t", {"group": "a", "url": ["127.0.0.1:8080"]}, "--url: must be http:// or https:// with a host"),
        ("t", {"group": "a", "url": [EDGE_URL, "https://"]}, "--url: must be http:// or https:// with a host"),
        ("t", {"group": "a", "url": ["http://a:b"]}, "--url: must be http:// or https:// with a host"),
    ],
)
def test_each_mistake_of_a_purge_has_its_own_words(
    token: str,
    arguments: dict[str, object],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edge_command, "environment", lambda: {"EDGE_PURGE_TOKEN": token} if token else {})
    assert edge_command.purge(**{"url": [EDGE_URL], **arguments}) == 2  # type: ignore[arg-type]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(words)


def test_the_table_is_the_one_that_is_shipped_wherever_the_command_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(map_command, "environment", lambda: {"SA_GATEWAY": "https://sa.example"})
    shard_map = ROOT / "shard_map.yaml"
    assert map_command.edge_table(shard_map, check=True) == 1, "this map has a gateway"
    assert "table.json is not what" in capsys.readouterr().out
    assert map_command.edge_table(shard_map, to=Path("none/table.json")) == 2
    assert capsys.readouterr().err == "--to: there is no folder none\n"
    assert map_command.edge_table(shard_map, to=tmp_path) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert map_command.edge_table(shard_map, to=Path("table.json")) == 0
    assert capsys.readouterr().err == "region qa names no gateway: it will answer reference data alone\n"


def build(*words: str | Path) -> tuple[int, str]:
    command = [sys.executable, ROOT / "deploy" / "cloudflare" / "build.py", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr


def test_the_build_removes_nothing_but_what_it_has_built(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for folder in (tmp_path, precious):
        status, said = build("--to", folder)
        assert (status, precious.read_text()) == (1, "mine")
        assert said.startswith("--to: ")
    (tmp_path / "built").mkdir()
    for _ in range(2):
        status, said = build("--to", tmp_path / "built")
        assert status == 0, said
        assert "region qa names no gateway: it will answer reference data alone" in said
    status, said = build("--to", tmp_path / "built", "--table", tmp_path / "none")
    assert (status, "there is no file" in said) == (1, True)
