"""What changed in a region's profile and stores, in phrases. All but the file store may change while running."""

from collections.abc import Iterable, Iterator, Mapping

from core.shard_map.model import DeliveryZone, Hub, PhoneRule, RegionSpec, SessionSettings, StorageSettings


def profile_changes(old: RegionSpec, new: RegionSpec) -> Iterator[str]:
    """Each change as a phrase, such as `country BH added`; nothing of code and shards."""
    yield from _members("country", old.countries, new.countries)
    for label, before, after in (
        ("title", _title(old.title), _title(new.title)),
        ("currency", old.currency, new.currency),
        ("minor unit", str(old.minor_unit), str(new.minor_unit)),
        ("time zone", old.time_zone, new.time_zone),
        ("phone rule", _phone(old.phone), _phone(new.phone)),
        ("hub", _hub(old.hub), _hub(new.hub)),
        ("delivery zones", _zones(old.delivery_zones), _zones(new.delivery_zones)),
        ("order prefix", old.order_prefix, new.order_prefix),
        ("gateway", old.gateway or "none", new.gateway or "none"),
    ):
        if before != after:
            yield f"{label} {before} -> {after}"
    yield from _members("stand-in region", old.residency, new.residency)
    if old.sessions != new.sessions:
        yield _sessions(old.sessions, new.sessions)


def _members(label: str, old: Iterable[str], new: Iterable[str]) -> Iterator[str]:
    before, after = tuple(old), tuple(new)
    yield from (f"{label} {each} added" for each in after if each not in before)
    yield from (f"{label} {each} removed" for each in before if each not in after)


def _title(title: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({language})" for language, name in title.items())


def _phone(rule: PhoneRule) -> str:
    return f"{rule.country} (accepts {rule.accept})"


def _hub(hub: Hub) -> str:
    return f"{hub.lat}, {hub.lng}"


def _zones(zones: Iterable[DeliveryZone]) -> str:
    return ", ".join(f"{f'{zone.up_to_km} km' if zone.up_to_km else 'beyond'} {zone.fee}" for zone in zones)


def storage_change(old: RegionSpec, new: RegionSpec) -> str | None:
    """A change of the file store as a phrase, or None."""
    before, after = _storage(old.storage), _storage(new.storage)
    return None if before == after else f"file store {before} -> {after}"


def _storage(storage: StorageSettings) -> str:
    where = (storage.kind, storage.bucket, storage.endpoint, storage.folder)
    return " ".join(each for each in where if each) or "of the environment"


def _sessions(old: SessionSettings, new: SessionSettings) -> str:
    if old.redis_url and new.redis_url:
        return "session store changed to another Redis URL: its users log in again if it is another server"
    return f"session store {_store(old)} -> {_store(new)}: its users log in again"


def _store(sessions: SessionSettings) -> str:
    return "a Redis of its own" if sessions.redis_url else "of the process"
