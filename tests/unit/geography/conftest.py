"""Three small regions, a fixed table of addresses, and builders over them."""

from collections.abc import Callable
from decimal import Decimal
from ipaddress import ip_network
from typing import Literal, Protocol

import pytest

from core.shard_map.model import (
    Address,
    DeliveryZone,
    Hub,
    PhoneRule,
    RegionName,
    RegionSpec,
    Secret,
    SessionSettings,
    ShardMap,
    ShardName,
    ShardSpec,
    StorageSettings,
)
from gateway.geography.address import IPAddress
from gateway.geography.resolve import Geography
from gateway.geography.trust import TrustedProxies

COUNTRY_OF_NETWORK = {
    ip_network("37.210.0.0/16"): "QA",
    ip_network("2001:16a0::/32"): "SA",
    ip_network("212.118.0.0/16"): "SA",
    ip_network("31.203.0.0/16"): "KW",
    ip_network("8.8.8.0/24"): "US",
}


class MakeRegion(Protocol):
    def __call__(
        self, name: str, code: int, countries: tuple[str, ...], accept: Literal["region", "any"] = "region"
    ) -> RegionSpec: ...


class MakeGeography(Protocol):
    def __call__(
        self,
        unlisted: Literal["default", "refuse"] = "refuse",
        trusted: str = "10.0.0.0/8, ::1",
        country_of: Callable[[IPAddress], str | None] | None = None,
    ) -> Geography: ...


def build_region(
    name: str, code: int, countries: tuple[str, ...], accept: Literal["region", "any"] = "region"
) -> RegionSpec:
    return RegionSpec(
        name=RegionName(name),
        code=code,
        title={"en": name},
        countries=countries,
        currency="QAR",
        minor_unit=2,
        time_zone="Asia/Qatar",
        phone=PhoneRule(country=countries[0], accept=accept),
        hub=Hub(25.3, 51.5),
        delivery_zones=(DeliveryZone(None, Decimal(10)),),
        order_prefix=name.upper(),
        residency=(),
        sessions=SessionSettings(None),
        storage=StorageSettings(None, None, None, None),
        shards=(ShardSpec(ShardName(f"{name}-1"), 1, Address("db", 5432), (), "meridian", "app", Secret("s")),),
    )


def fixed_country_of(address: IPAddress) -> str | None:
    return next((country for network, country in COUNTRY_OF_NETWORK.items() if address in network), None)


@pytest.fixture(scope="session")
def make_region() -> MakeRegion:
    return build_region


@pytest.fixture(scope="session")
def make_geography() -> MakeGeography:
    def build(
        unlisted: Literal["default", "refuse"] = "refuse",
        trusted: str = "10.0.0.0/8, ::1",
        country_of: Callable[[IPAddress], str | None] | None = None,
    ) -> Geography:
        regions = (build_region("qa", 1, ("QA",)), build_region("sa", 2, ("SA", "BH")), build_region("kw", 3, ("KW",)))
        shard_map = ShardMap(1, RegionName("kw"), unlisted, regions, "shard_map.yaml", "0" * 64)
        return Geography(shard_map, trusted=TrustedProxies.parse(trusted), country_of=country_of or fixed_country_of)

    return build


@pytest.fixture(scope="session")
def geography(make_geography: MakeGeography) -> Geography:
    """Regions qa, sa and kw (the default); other countries are refused; 10.0.0.0/8 and ::1 are trusted."""
    return make_geography()
