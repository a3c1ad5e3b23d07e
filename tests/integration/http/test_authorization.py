"""The authorization matrix: every operation, by every role, by who it belongs to and by strangers near and far.

What should be is in `authority.py`. The cases are generated from the registry of operations: a new one fails until it
has its line there.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest

from core.ids import Placement, make_id
from gateway.marketplace import SERVICE
from gateway.operations.operation import Operation
from tests.integration.http.asking import REGION_OF, REQUEST, is_problem, made, photo, shard_of
from tests.integration.http.authority import AUTHORITY, Rule, body_of
from tests.integration.http.stage import ROLES, Stage
from tests.system import SHARDS, Answer, Client, Person, Phones

OPERATIONS: Mapping[str, Operation] = {operation.name: operation for operation in SERVICE.api.operations}
OF_THINGS = [name for name, rule in AUTHORITY.items() if rule.thing]
NOTHING = [
    make_id(Placement(1, 7), now_ms=1, random_bits=1),
    make_id(Placement(2, 7), now_ms=1, random_bits=1),
    make_id(Placement(9, 7), now_ms=1, random_bits=1),
    UUID("01234567-0123-4123-8123-0123456789ab"),
    UUID(int=0),
]
# Written behind the scenes while the test runs; what a stranger may have changed would be in the other tables.
_AFTERWARDS = ("notification", "login_session")
_FILES = "(SELECT bucket, id, owner, used_by, state = 'deleted' FROM meridian.file)"


def test_of_every_operation_it_is_said_who_may() -> None:
    assert sorted(AUTHORITY) == sorted(OPERATIONS), "say in authority.py who may"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_declares_what_is_said(name: str) -> None:
    operation, rule = OPERATIONS[name], AUTHORITY[name]
    assert operation.public is rule.public
    assert operation.roles <= set(ROLES)
    assert set(rule.may) <= (operation.roles or set(ROLES)), "who is said to may is refused by the declaration"
    assert operation.roles <= set(rule.may) or not operation.roles, "who is declared to may is not said to"
    assert bool(operation.path_parameters) is bool(rule.thing)
    assert (operation.body is None) or rule.public or rule.body is not None


async def ask(stage: Stage, name: str, user: Person | None, role: str, id: object = "", **headers: str) -> Answer:
    """One operation, called as it should be by somebody of that role."""
    operation, rule = OPERATIONS[name], AUTHORITY[name]
    more: dict[str, Any] = {"data": photo()} if operation.upload is not None else {}
    body = body_of(rule, stage, role)
    if body is not None:
        more["json"] = body
    path = operation.path
    if operation.path_parameters:
        path = path.replace("{" + operation.path_parameters[0].name + "}", str(id))
    return await stage.client.call(operation.method, path + rule.query, user=user, headers=headers, **more)


def strangers_to(rule: Rule, stage: Stage) -> Iterator[tuple[str, Person]]:
    """Those whose role may, and to whom a thing of the stage's shard does not belong."""
    for shard in SHARDS if not rule.public else ():
        for role in rule.may:
            near = REGION_OF[shard] == REGION_OF[stage.shard]
            if not (near and role in rule.region):
                yield role, stage.others[shard, role]


@pytest.mark.parametrize("name", sorted(name for name, rule in AUTHORITY.items() if not rule.public))
async def test_nobody_in_particular_is_asked_to_log_in(stage: Stage, name: str) -> None:
    is_problem(await ask(stage, name, None, AUTHORITY[name].may[0], NOTHING[0]), 401, "unauthenticated")


@pytest.mark.parametrize("name", sorted(name for name, operation in OPERATIONS.items() if operation.roles))
async def test_a_role_does_only_its_own_work(stage: Stage, name: str) -> None:
    for role in set(ROLES) - OPERATIONS[name].roles:
        refused = await ask(stage, name, stage.mine["qa-1", role], AUTHORITY[name].may[0], NOTHING[0])
        is_problem(refused, 403, "forbidden")


@pytest.fixture(scope="module", params=["qa-1", "sa-1"])
async def set_up(request: pytest.FixtureRequest, stage: Stage) -> tuple[Stage, Mapping[str, str]]:
    """A thing for each operation that names one."""
    here = stage.at(request.param)
    things = {name: await here.thing(AUTHORITY[name].thing) for name in OF_THINGS}
    await here.settled()
    return here, things


async def rows_of(stage: Stage) -> Mapping[str, str]:
    """Table -> a digest of the rows in the buckets of those whom things belong to."""
    people = [UUID(stage.who(role).id) for role in ROLES]
    async with stage.system.sql(stage.shard) as connection:
        tables = await connection.fetch(
            """SELECT 'marketplace.' || c.table_name AS rows FROM information_schema.columns c
               WHERE c.table_schema = 'marketplace' AND c.column_name = 'bucket' AND c.table_name <> ALL($1)""",
            _AFTERWARDS,
        )
        return {
            rows: await connection.fetchval(
                f"""SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {rows} t
                    WHERE bucket IN (SELECT bucket FROM marketplace.account WHERE id = ANY($1))""",
                people,
            )
            for rows in (*(table["rows"] for table in tables), _FILES)
        }


async def test_what_is_anothers_does_not_exist_and_stays_as_it_is(set_up: tuple[Stage, Mapping[str, str]]) -> None:
    stage, things = set_up
    before = await rows_of(stage)
    asked = 0
    for name, id in things.items():
        for role, stranger in strangers_to(AUTHORITY[name], stage):
            refused = await ask(stage, name, stranger, role, id)
            assert refused.status == 404, (name, role, shard_of(stage.client, stranger), refused)
            is_problem(refused, 404, "not_found")
            assert not any(stage.who(other).id in refused.body.decode() for other in ROLES)
            asked += 1
    assert asked > 100
    assert await rows_of(stage) == before


async def test_who_may_does(set_up: tuple[Stage, Mapping[str, str]]) -> None:
    stage, things = set_up
    for name, rule in AUTHORITY.items():
        for at, role in enumerate(rule.may if not rule.public else ()):
            if rule.alone:
                user = await stage.client.register(stage.phones.qatar())
            else:
                user = stage.who(role)
            answer = await ask(stage, name, user, role, things.get(name, ""))
            expected = OPERATIONS[name].status
            assert answer.status == expected or (at > 0 and answer.status == 409), (name, role, answer)
            if rule.alone:
                break


async def test_a_list_shows_nothing_that_is_anothers(set_up: tuple[Stage, Mapping[str, str]]) -> None:
    stage, things = set_up
    lists = [name for name, rule in AUTHORITY.items() if OPERATIONS[name].page and not rule.thing]
    assert len(lists) >= 10
    theirs = {*things.values(), *(stage.who(role).id for role in ROLES)}
    for name in lists:
        for role, stranger in strangers_to(AUTHORITY[name], stage):
            answer = await ask(stage, name, stranger, role, limit="100")
            assert answer.status == 200, (name, role, answer)
            assert not [id for id in theirs if id in answer.body.decode()], (name, role)


@pytest.mark.parametrize("name", OF_THINGS)
async def test_what_does_not_exist_looks_like_what_is_anothers(stage: Stage, name: str) -> None:
    rule, here = AUTHORITY[name], stage.at("sa-1")
    user = here.who(rule.may[0])
    for id in NOTHING if not rule.public else []:
        is_problem(await ask(here, name, user, rule.may[0], id), 404, "not_found")
    wrong = await ask(here, name, user, rule.may[0], "seven")
    is_problem(wrong, 422, "invalid", OPERATIONS[name].path_parameters[0].name)


async def test_a_token_of_one_region_cannot_reach_into_the_other_whatever_it_chooses(
    gateway: Client, phones: Phones
) -> None:
    doha, riyadh = await gateway.register(phones.qatar()), await gateway.register(phones.saudi())
    theirs = await made(gateway, riyadh, "/requests", REQUEST)
    for region in ("qa", "sa"):
        answer = await gateway.call(
            "GET", f"/requests/{theirs['id']}", user=doha, headers={"X-Region": region, "Consistency": "strong"}
        )
        is_problem(answer, 404, "not_found")
        assert answer.headers["Meridian-Route"].startswith(f"{shard_of(gateway, riyadh)}/primary; by=id; epoch=")


async def test_an_id_of_the_other_region_is_read_from_the_other_region(gateway: Client, customer: Person) -> None:
    created = await made(gateway, customer, "/requests", REQUEST)
    shard = shard_of(gateway, customer)
    for region in ("qa", "sa"):
        answer = await gateway.call(
            "GET", f"/requests/{created['id']}", user=customer, headers={"X-Region": region, "CF-IPCountry": "QA"}
        )
        assert (answer.status, answer.json["id"]) == (200, created["id"])
        assert answer.headers["Meridian-Route"].split("/")[0] == shard
        assert "; by=id; epoch=" in answer.headers["Meridian-Route"]
