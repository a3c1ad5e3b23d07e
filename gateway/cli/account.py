"""`meridian account`: show an account, change its role or plan, or make one. How the first admin comes to be."""

import sys
from collections.abc import Sequence
from getpass import getpass
from typing import Annotated, Final

from cyclopts import Parameter

from core.errors import FieldError, Invalid, MeridianError, NotFound
from core.region import Region
from core.shard_map import RegionSpec, ShardMap
from gateway import logs
from gateway.app import running
from gateway.cli.running import complain, run, settings_and_map
from gateway.geography.phone import origin_of_phone, parse_phone, phone_for_region
from gateway.marketplace import staffing
from gateway.marketplace.roles import Role
from gateway.marketplace.staffing import Plan, StaffedAccount, Wanted
from gateway.runtime import Runtime
from gateway.settings import Settings, environment

PASSWORD_VARIABLE: Final = "MERIDIAN_ACCOUNT_PASSWORD"  # noqa: S105  a variable's name


def account(
    phone: str,
    /,
    *,
    role: Role | None = None,
    plan: Plan | None = None,
    name: str | None = None,
    garage_name: str | None = None,
    region: str | None = None,
    create: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show the account of a phone number; with a role, plan or name, change it.

    Another role ends every login of the account; access tokens that are out already end within 15 minutes.
    Exit 0 when it is done, 1 when there is no such account or a shard refuses or cannot be reached, 2 when the
    settings, the map or what is asked for are wrong.

    Parameters
    ----------
    phone
        In international form, or as the region dials it when --region is given.
    role
        What the person may do.
    plan
        A garage's plan, which decides its commission.
    name
        The person's full name.
    garage_name
        The garage's name, which customers see; needed for the role garage.
    region
        The region of the account; else that of the phone number's country, then the others.
    create
        Make the account. The password is read from standard input, or from MERIDIAN_ACCOUNT_PASSWORD.
    """
    found = settings_and_map(environment())
    if found is None:
        return 2
    logs.configure(level="error", form="console")
    wanted = Wanted(role=role, plan=plan, full_name=name, garage_name=garage_name)
    try:
        password = _password() if create else None
        places = _places(found[1], phone, region)
        run(_do(*found, wanted, places[:1] if create else places, password))
    except MeridianError as exc:
        complain(exc)
        return 2 if isinstance(exc, Invalid) else 1
    return 0


def _password() -> str:
    """The password of a new account: the variable's, or a line of standard input. Never an argument: those are seen."""
    given = environment().get(PASSWORD_VARIABLE)
    if given is None:
        given = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not 8 <= len(given) <= 128:
        raise Invalid([FieldError("password", "must have 8 to 128 characters")])
    return given


def _places(shard_map: ShardMap, phone: str, name: str | None) -> list[tuple[RegionSpec, str]]:
    """Where to look, the likeliest first, and the phone number's E.164 form there."""
    if name is not None:
        spec = shard_map.region(name)
        if spec is None:
            known = ", ".join(region.name for region in shard_map.regions)
            raise Invalid([FieldError("region", f"is none of the map's: it knows {known}")])
        return [(spec, parse_phone(phone, spec.phone.country).e164)]
    e164 = parse_phone(phone, None).e164
    country = origin_of_phone(phone).country
    home = shard_map.region_of_country(country) if country else None
    first = (home or shard_map.region(shard_map.default_region) or shard_map.regions[0]).name
    return [(spec, e164) for spec in sorted(shard_map.regions, key=lambda spec: spec.name != first)]


async def _do(
    settings: Settings,
    shard_map: ShardMap,
    wanted: Wanted,
    places: Sequence[tuple[RegionSpec, str]],
    password: str | None,
) -> None:
    """Find or make the account, change it, and show it."""
    few = settings.model_copy(update={"db_pool_min": 0, "migrate_on_start": False})
    async with running(few, shard_map) as runtime:
        if password is not None:
            spec, phone = places[0]
            _show(runtime.fleet.regions[spec.name], await _create(runtime, spec, phone, wanted, password), "made")
            return
        region, before = await _find(runtime, places)
        after, ended = await staffing.change(region, before, wanted)
        said = "unchanged" if after == before else f"changed; logins ended: {ended}"
        _show(region, after, said)


async def hire(runtime: Runtime, region: Region, phone: str, *, role: Role, name: str, password: str) -> None:
    """Make an account with a role in a region, unless the phone number (E.164) has one there."""
    if await staffing.find(region, phone) is None:
        await _create(runtime, region.spec, phone, Wanted(role=role, full_name=name), password)


async def _create(runtime: Runtime, spec: RegionSpec, phone: str, wanted: Wanted, password: str) -> StaffedAccount:
    region = runtime.fleet.regions[spec.name]
    phone_for_region(phone, spec)
    hashed = await runtime.passwords.hash(password)
    return await staffing.create(region, phone, wanted, password_hash=hashed, new_id=runtime.new_id)


async def _find(runtime: Runtime, places: Sequence[tuple[RegionSpec, str]]) -> tuple[Region, StaffedAccount]:
    """The account in the first place that has it. That one cannot be asked matters only if no other has it."""
    failure: MeridianError | None = None
    for spec, phone in places:
        region = runtime.fleet.regions[spec.name]
        try:
            found = await staffing.find(region, phone)
        except MeridianError as exc:
            failure = failure or exc
        else:
            if found is not None:
                return region, found
    asked = ", ".join(spec.name for spec, _ in places)
    raise failure or NotFound(f"no account has this phone number in {asked}; --create makes one")


def _show(region: Region, account: StaffedAccount, said: str) -> None:
    garage = "" if account.garage_name is None else f" {account.garage_name} on plan {account.plan}"
    print(f"account {account.id} in {region.spec.name}: {account.full_name}, {account.role}{garage} ({said})")
