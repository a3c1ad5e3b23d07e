"""Health: the status follows from what was seen, and nothing is connected that was not just seen to be."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.breaker import Breaker, BreakerState
from core.database.evidence import Evidence, NodeState, Roles
from core.errors import NotFound
from core.limiter import LimiterHealth
from core.region import Region
from core.sessions import Lifetimes, MemoryStore, StoreHealth
from core.shard_map import ShardMap
from core.shard_map.model import (
    Address,
    DeliveryZone,
    Hub,
    PhoneRule,
    RegionName,
    RegionSpec,
    Secret,
    SessionSettings,
    ShardName,
    ShardSpec,
    StorageSettings,
)
from core.storage.local import LocalStore
from core.storage.spool import Spool
from core.storage.storage import Storage, StorageHealth
from gateway import health
from gateway.jwks import IssuerHealth
from gateway.runtime import MapInForce, Runtime
from gateway.settings import Settings

NOW = 1000.0
PRIMARY, REPLICA = Address("primary", 5432), Address("replica", 5432)


def spec_of(name: str, code: int, *shards: str, replicas: tuple[Address, ...] = (REPLICA,)) -> RegionSpec:
    return RegionSpec(
        name=RegionName(name),
        code=code,
        title={"en": name},
        countries=(),
        currency="QAR",
        minor_unit=2,
        time_zone="Asia/Qatar",
        phone=PhoneRule(country="QA", accept="any"),
        hub=Hub(25.3, 51.5),
        delivery_zones=(DeliveryZone(None, Decimal(10)),),
        order_prefix=name.upper(),
        residency=(),
        sessions=SessionSettings(None),
        storage=StorageSettings(None, None, None, None),
        shards=tuple(ShardSpec(ShardName(s), 1, PRIMARY, replicas, "shop", "app", Secret("s")) for s in shards),
    )


class Sessions(MemoryStore):
    """A session store whose health is what a test says."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: datetime.now(UTC), lifetimes=Lifetimes())
        self.said = StoreHealth("redis", connected=True, detail="", age_s=0.1)

    def health(self) -> StoreHealth:
        return self.said


class Storages(Storage):
    """A file storage whose health is what a test says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            "qa",
            store=LocalStore(folder),
            spool=Spool(folder),
            clock=lambda: NOW,
            wall=lambda: datetime.now(UTC),
            on_change=lambda name, details: None,
        )
        self.said = StorageHealth("S3", "S3", True, "", BreakerState.CLOSED, None, 0, 0, 0.0, True)

    def health(self) -> StorageHealth:
        return self.said


class SaidLimits:
    """Limiters whose health is what a test says, for every region but `sa` that they are shared."""

    def __init__(self) -> None:
        self.sa = LimiterHealth(True, None, configured=True)

    def of(self, region: str) -> Any:
        said = self.sa if region == "sa" else LimiterHealth(True, None, configured=True)
        return SimpleNamespace(health=lambda: said)


@dataclass
class World:
    """Two regions that were all seen a moment ago, before a test breaks something."""

    qa: Region
    sa: Region
    runtime: Runtime

    def status(self) -> str:
        return str(health.overall(self.runtime)["status"])


def region_of(spec: RegionSpec, settings: Settings) -> Region:
    region = Region(
        spec,
        settings=settings.database,
        sessions=Sessions(),
        storage=Storages(settings.upload_folder),
        clock=lambda: NOW,
        on_event=lambda name, details: None,
    )
    for shard in region.shards.values():
        for at in shard.nodes:
            see(region, shard.name, at, recovering=at != PRIMARY)
        shard.roles = Roles(PRIMARY, spec.shards[0].replicas, system_id=1)
    return region


def see(region: Region, shard: str, at: Address, *, recovering: bool) -> None:
    node = region.shards[ShardName(shard)].nodes[at]
    node.watch.state = NodeState().observed(Evidence(1, 1, recovering, 100, NOW - 0.5))


@pytest.fixture
def world(tmp_path: Path) -> World:
    settings = Settings.from_environment({"NODE_ENV": "test", "UPLOAD_FOLDER": str(tmp_path)})
    qa, sa = region_of(spec_of("qa", 1, "qa-1"), settings), region_of(spec_of("sa", 2, "sa-1", "sa-2"), settings)
    shard_map = ShardMap(7, RegionName("qa"), "default", (qa.spec, sa.spec), "shard_map.yaml", "0" * 64)
    runtime = SimpleNamespace(
        settings=settings,
        now=lambda: NOW,
        started_at=NOW - 12.34,
        map=MapInForce(shard_map, cast("Any", None)),
        fleet=SimpleNamespace(regions={"qa": qa, "sa": sa}, epoch=3),
        migration_faults={},
        admission=SimpleNamespace(policies=settings.policies, limiters=SaidLimits()),
        issuer=None,
        edges=SimpleNamespace(are_told=False),
        references=SimpleNamespace(refused=""),
    )
    return World(qa, sa, cast("Runtime", runtime))


def lose_replica(world: World) -> None:
    world.sa.shards[ShardName("sa-2")].roles = Roles(PRIMARY, (), system_id=1)


def lose_primary(world: World) -> None:
    world.sa.shards[ShardName("sa-2")].roles = Roles(None, (REPLICA,), system_id=1)


def two_primaries(world: World) -> None:
    world.sa.shards[ShardName("sa-2")].roles = Roles(None, (REPLICA,), system_id=1, alarm="two writable nodes")


def unanswered_ownership(world: World) -> None:
    world.qa.faults[ShardName("qa-1")] = "qa-1 is not initialised"


def fall_back_to_memory(world: World) -> None:
    cast("Sessions", world.sa.sessions).said = StoreHealth("memory", False, "no answer", None, datetime.now(UTC), 2)


def fall_back_to_local_files(world: World) -> None:
    storage = cast("Storages", world.qa.storage)
    storage.said = replace(storage.said, store="Local", connected=False, fallback_since=datetime.now(UTC), spooled=3)


def files_wait(world: World) -> None:
    storage = cast("Storages", world.qa.storage)
    storage.said = replace(storage.said, spooled=1, oldest_s=90.0)


def files_pass(world: World) -> None:
    storage = cast("Storages", world.qa.storage)
    storage.said = replace(storage.said, spooled=1, oldest_s=0.2)


def disk_full(world: World) -> None:
    storage = cast("Storages", world.qa.storage)
    storage.said = replace(storage.said, has_room=False)


def a_former_primary_is_back(world: World) -> None:
    shard = world.sa.shards[ShardName("sa-2")]
    shard.roles = replace(shard.roles, alarm="a former primary that must be fenced")


def primary_fails_statements(world: World) -> None:
    world.sa.shards[ShardName("sa-2")].nodes[PRIMARY].breaker = Breaker(failures_max=1).failed(NOW)


def replica_fails_statements(world: World) -> None:
    world.sa.shards[ShardName("sa-2")].nodes[REPLICA].breaker = Breaker(failures_max=1).failed(NOW)


def limits_are_each_servers_own(world: World) -> None:
    limiters = cast("SaidLimits", world.runtime.admission.limiters)
    limiters.sa = LimiterHealth(False, datetime.now(UTC), configured=True)


def issuer_is_down(world: World) -> None:
    health = IssuerHealth(False, 2, datetime.now(UTC))
    world.runtime.issuer = cast("Any", SimpleNamespace(health=lambda: health))


def no_redis_configured(world: World) -> None:
    cast("Sessions", world.qa.sessions).said = StoreHealth("memory", True, "redis not configured", 0.0)


def refuse_a_map(world: World) -> None:
    world.runtime.map = replace(world.runtime.map, refused="shard_map.yaml:3: no")


def refuse_reference_data(world: World) -> None:
    cast("Any", world.runtime).references.refused = "makes.json:3: no"


def lag(world: World) -> None:
    shard = world.sa.shards[ShardName("sa-1")]
    shard.lag_clock.primary_at(200, NOW - 100)
    world.runtime.settings = Settings.from_environment({"DB_REPLICA_LAG_MAX": "1000"})


def nothing(world: World) -> None:
    """All is well."""


@pytest.mark.parametrize(
    ("happens", "status"),
    [
        (nothing, "OK"),
        (no_redis_configured, "OK"),
        (lose_replica, "DEGRADED"),
        (fall_back_to_memory, "DEGRADED"),
        (files_pass, "OK"),
        (fall_back_to_local_files, "DEGRADED"),
        (files_wait, "DEGRADED"),
        (disk_full, "DEGRADED"),
        (a_former_primary_is_back, "DEGRADED"),
        (replica_fails_statements, "DEGRADED"),
        (primary_fails_statements, "DOWN"),
        (refuse_a_map, "DEGRADED"),
        (refuse_reference_data, "DEGRADED"),
        (limits_are_each_servers_own, "DEGRADED"),
        (issuer_is_down, "DEGRADED"),
        (lag, "DEGRADED"),
        (lose_primary, "DOWN"),
        (two_primaries, "DOWN"),
        (unanswered_ownership, "DOWN"),
    ],
)
def test_the_status_is_that_of_the_worst_part(world: World, happens: Callable[[World], None], status: str) -> None:
    happens(world)
    found = health.overall(world.runtime)
    assert (found["status"], found["success"]) == (status, status != "DOWN")


def test_a_failing_region_does_not_colour_another(world: World) -> None:
    lose_primary(world)
    regions = health.overall(world.runtime)["regions"]
    assert (regions["qa"]["status"], regions["sa"]["status"]) == ("OK", "DOWN")
    assert regions["sa"]["shards"]["sa-1"]["status"] == "OK"


def test_the_top_is_the_home_regions_in_the_guides_shape(world: World) -> None:
    fall_back_to_memory(world)
    found = health.overall(world.runtime)
    figures = {"connected": True, "total": 0, "idle": 0, "waiting": 0}
    assert found["database"] == {"primary": figures, "replica": figures}
    assert (found["redis"], found["storage"]) == ({"connected": True}, "S3")
    assert (found["timestamp"], found["uptime"]) == ("1970-01-01T00:16:40.000Z", 12.3)
    assert (found["environment"], found["map"]) == ("test", {"version": 7, "epoch": 3})


def test_while_files_fall_back_the_top_says_where_they_go_now(world: World) -> None:
    fall_back_to_local_files(world)
    found = health.overall(world.runtime)
    assert found["storage"] == "Local"
    storage = found["regions"]["qa"]["storage"]
    assert (storage["configured"], storage["connected"], storage["spooled"]) == ("S3", False, 3)


def test_memory_is_never_told_as_a_connected_redis(world: World) -> None:
    no_redis_configured(world)
    assert health.overall(world.runtime)["redis"] == {"connected": False}


def test_without_a_replica_there_is_none_to_show_and_none_to_miss(world: World) -> None:
    alone = region_of(spec_of("qa", 1, "qa-1", replicas=()), world.runtime.settings)
    world.runtime.fleet.regions[RegionName("qa")] = alone
    found = health.overall(world.runtime)
    assert (found["status"], found["database"]["replica"]) == ("OK", None)


def test_a_node_in_the_wrong_role_is_not_connected(world: World) -> None:
    lose_primary(world)
    shard = health.of_region(world.runtime, "sa")["shards"]["sa-2"]
    assert (shard["primary"]["connected"], shard["replicas"][0]["connected"]) == (False, True)


def test_after_a_promotion_the_nodes_are_shown_as_what_they_are(world: World) -> None:
    shard = world.qa.shards[ShardName("qa-1")]
    shard.roles = Roles(REPLICA, (PRIMARY,), system_id=1)
    found = health.of_region(world.runtime, "qa")["shards"]["qa-1"]
    assert (found["primary"]["address"], found["replicas"][0]["address"]) == ("replica:5432", "primary:5432")
    assert found["status"] == "OK"


def test_a_region_that_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        health.of_region(world.runtime, "kw")


def test_a_shard_whose_schema_is_behind_is_down_until_it_is_migrated(world: World) -> None:
    world.runtime.migration_faults = {"qa-1": "another migration of shard qa-1 is running"}
    shard = health.region_health(world.qa, world.runtime)["shards"]["qa-1"]
    assert (shard["status"], shard["trouble"]) == ("DOWN", "another migration of shard qa-1 is running")


def test_limits_that_are_not_shared_say_since_when_and_only_in_their_region(world: World) -> None:
    limits_are_each_servers_own(world)
    regions = health.overall(world.runtime)["regions"]
    assert regions["qa"]["limits"] == {"enabled": True, "shared": True, "since": None}
    assert (regions["sa"]["limits"]["shared"], bool(regions["sa"]["limits"]["since"])) == (False, True)


def test_an_issuer_that_is_down_is_shown_with_the_keys_that_are_kept(world: World) -> None:
    assert "issuer" not in health.overall(world.runtime)
    issuer_is_down(world)
    shown = health.overall(world.runtime)["issuer"]
    assert (shown["connected"], shown["keys"], bool(shown["since"])) == (False, 2, True)
