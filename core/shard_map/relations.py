"""How the values of a map must agree with each other; every disagreement is a fault at the later of the two."""

from collections.abc import Callable, Hashable, Iterable
from itertools import chain
from typing import TypeVar

from core.limits import REGION_WEIGHT_MAX
from core.shard_map.currencies import MINOR_UNITS
from core.shard_map.faults import At, Faults, did_you_mean, show
from core.shard_map.raw import RawMap, RawRegion, RawZone

T = TypeVar("T", bound=Hashable)


def check_relations(raw: RawMap, faults: Faults) -> None:
    """Check what can be checked: values with faults of their own are None by now and are passed over."""
    regions = raw.regions or ()
    _check_region_references(raw, faults)
    _check_unique(regions, faults)
    for region in regions:
        _check_minor_unit(region, faults)
        _check_phone(region, faults)
        _check_zones(region, faults)
        _check_storage(region, faults)
        _check_weight(region, faults)


def _check_region_references(raw: RawMap, faults: Faults) -> None:
    if raw.regions is None:
        return
    names = [region.id.value for region in raw.regions]
    if raw.default_region is not None:
        _check_known_region(raw.default_region, names, faults)
    for region in raw.regions:
        residency = region.residency or ()
        for helper in residency:
            _check_known_region(helper, names, faults)
            if helper.value == region.id.value:
                faults.add(helper.place, "a region cannot stand in for itself", "Remove it.")
        _refuse_repeats(residency, lambda name: f"region {show(name)}", "Remove it.", faults)


def _check_known_region(name: At[str], names: list[str], faults: Faults) -> None:
    if name.value not in names:
        remedy = did_you_mean(name.value, names, f"The map has: {', '.join(map(show, names)) or 'no region'}.")
        faults.add(name.place, f"there is no region {show(name.value)}", remedy)


def _check_unique(regions: Iterable[RawRegion], faults: Faults) -> None:
    regions = tuple(regions)
    shards = tuple(shard for region in regions for shard in region.shards or ())
    countries = chain.from_iterable(region.countries or () for region in regions)
    codes = (region.code for region in regions)
    prefixes = (region.order_prefix for region in regions)
    nodes = chain.from_iterable((shard.primary, *(shard.replicas or ())) for shard in shards)

    _refuse_repeats(countries, lambda each: f"country {each}", "A country belongs to one region.", faults)
    _refuse_repeats(codes, lambda each: f"code {each}", "Ids carry the code: give each region its own.", faults)
    _refuse_repeats(prefixes, lambda each: f"order prefix {each}", "Give each region its own.", faults)
    _refuse_repeats(
        (shard.id for shard in shards), lambda each: f"shard {show(each)}", "Give each shard its own name.", faults
    )
    _refuse_repeats(nodes, lambda each: f"server {each}", "A server belongs to one shard, once.", faults)


def _refuse_repeats(
    values: Iterable[At[T] | At[T | None] | None], name: Callable[[T], str], remedy: str, faults: Faults
) -> None:
    first: dict[T, int] = {}
    for each in values:
        if each is None or each.value is None:
            continue
        if each.value in first:
            faults.add(each.place, f"{name(each.value)} was used before, on line {first[each.value]}", remedy)
        first.setdefault(each.value, each.place.line)


def _check_minor_unit(region: RawRegion, faults: Faults) -> None:
    if region.currency is None or region.minor_unit is None:
        return
    decimals = MINOR_UNITS[region.currency.value]
    if region.minor_unit.value != decimals:
        message = f"{region.currency.value} has {decimals} decimals, not {region.minor_unit.value} (ISO 4217)"
        faults.add(region.minor_unit.place, message, f"Write minor_unit: {decimals}, or correct the currency.")


def _check_phone(region: RawRegion, faults: Faults) -> None:
    if region.phone is None or region.phone.country is None or region.countries is None:
        return
    country, own = region.phone.country, [each.value for each in region.countries]
    if own and country.value not in own:
        message = f"{country.value} is not a country of region {show(region.id.value)}"
        faults.add(country.place, message, f"Write one of its countries: {', '.join(own)}.")


def _check_zones(region: RawRegion, faults: Faults) -> None:
    zones = region.delivery_zones or ()
    for zone in zones[:-1]:
        if zone.endless:
            faults.add(zone.place, "only the last zone may be open-ended", "Add up_to_km, or move it to the end.")
    if zones and not zones[-1].endless:
        faults.add(zones[-1].place, "the last zone must be open-ended", "Add a zone with a fee and no up_to_km.")
    _check_ascending(zones, faults)
    if region.minor_unit is not None:
        for zone in zones:
            _check_fee_decimals(zone, region.minor_unit.value, faults)


def _check_ascending(zones: Iterable[RawZone], faults: Faults) -> None:
    before = None
    for zone in zones:
        if zone.up_to_km is None:
            continue
        if before is not None and zone.up_to_km.value <= before:
            message = f"{zone.up_to_km.value} km does not lie beyond the zone before, {before} km"
            faults.add(zone.up_to_km.place, message, "Order the zones from near to far.")
        before = zone.up_to_km.value


def _check_fee_decimals(zone: RawZone, minor_unit: int, faults: Faults) -> None:
    if zone.fee is None:
        return
    exponent = zone.fee.value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > minor_unit:
        message = f"the fee {zone.fee.value} has more than {minor_unit} decimals"
        faults.add(zone.fee.place, message, "The currency cannot express it: round it.")


def _check_storage(region: RawRegion, faults: Faults) -> None:
    storage = region.storage
    if storage is None or storage.kind is None:
        return
    kind = storage.kind.value
    uses = {"S3": ("bucket", "endpoint"), "Azure": ("bucket", "endpoint"), "Local": ("folder",)}.get(kind or "", ())
    for key in ("bucket", "endpoint", "folder"):
        value: At[str | None] | None = getattr(storage, key)
        if value is not None and value.value is not None and key not in uses:
            _add_useless_key(value, key, kind, faults)
    if kind in ("S3", "Azure") and not (storage.bucket and storage.bucket.value):
        faults.add(storage.kind.place, f"storage on {kind} needs a bucket", "Add bucket: with the bucket or container.")


def _add_useless_key(value: At[str | None], key: str, kind: str | None, faults: Faults) -> None:
    message = f"storage on {kind} has no {key}" if kind else f"{key} means nothing without a kind"
    faults.add(value.place, message, "Remove it." if kind else "Add kind: S3, Azure or Local.")


def _check_weight(region: RawRegion, faults: Faults) -> None:
    weights = [shard.weight for shard in region.shards or () if shard.weight is not None]
    if sum(weight.value for weight in weights) > REGION_WEIGHT_MAX:
        faults.add(
            weights[-1].place,
            f"the weights of the region add up to more than {REGION_WEIGHT_MAX}",
            "Only their ratios count: divide every one of them.",
        )
