"""Concurrent requests for one answer: the origin is asked once, and nobody suffers for another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field

import pytest

from edge.bounds import Bounds
from edge.cache import Purge
from edge.fetching import GROUPS_MAX, gathered
from edge.handler import Edge
from edge.memory import MemoryCache
from edge.messages import Request, Response
from edge.origin import OriginFailed
from tests.edge.background import Background
from tests.edge.body import Body
from tests.edge.telling import fields
from tests.system import until

GET = Request("GET", "/thing")
Say = Callable[[Request], Response]


def fresh(body: bytes = b"one", control: str = "max-age=60", **headers: str) -> Response:
    return Response(200, (("Cache-Control", control), *fields(headers)), body)


@dataclass
class HeldOrigin:
    """An origin that answers reads when it is let, each as `say` has it at that moment, and writes at once."""

    say: Say = lambda request: fresh()
    asked: list[Request] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if request.method == "GET":
            await self.open.wait()
        return self.say(request)

    async def was_asked(self, times: int) -> None:
        async def enough() -> bool:
            return len(self.asked) >= times

        await until(enough, what=f"the origin is asked {times} times")


@dataclass
class World:
    """An edge, its origin and its clock."""

    origin: HeldOrigin = field(default_factory=HeldOrigin)
    background: Background = field(default_factory=Background)
    now: float = 1_780_000_000.0
    bounds: Bounds = field(default_factory=Bounds)
    collapses: bool = True
    edge: Edge = field(init=False)

    def __post_init__(self) -> None:
        self.edge = Edge(
            name="meridian-test",
            cache=MemoryCache(self.bounds),
            origin=self.origin,
            clock=lambda: self.now,
            spawn=self.background.spawn,
            bounds=self.bounds,
            collapses=self.collapses,
        )

    def ask(self, request: Request = GET, times: int = 1) -> list[asyncio.Task[Response]]:
        return [asyncio.create_task(self.edge.handle(request, "qa")) for _ in range(times)]

    async def filled(self, response: Response) -> None:
        """The cache holds this."""
        say, self.origin.say = self.origin.say, lambda request: response
        self.origin.open.set()
        assert (await self.edge.handle(GET, "qa")).body == response.body
        self.origin.open.clear()
        self.origin.asked.clear()
        self.origin.say = say


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.origin.open.set()
    await world.background.done()


async def all_waiting(world: World) -> None:
    """Every request has come as far as it can without the origin."""
    await world.origin.was_asked(1)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_ten_thousand_misses_of_a_key_reach_the_origin_once(world: World) -> None:
    tasks = world.ask(times=10_000)
    await all_waiting(world)
    world.origin.open.set()
    answers = await asyncio.gather(*tasks)
    assert {answer.body for answer in answers} == {b"one"}
    assert len(world.origin.asked) == 1
    assert world.edge.counts["collapsed"] == 9_999
    told = [answer.field("Cache-Status") for answer in answers]
    assert told[0] == "meridian-test; fwd=uri-miss; fwd-status=200; stored"
    assert set(told[1:]) == {"meridian-test; fwd=uri-miss; collapsed"}


async def test_a_leader_that_leaves_takes_nothing_from_those_who_wait(world: World) -> None:
    leader, *followers = world.ask(times=5)
    await all_waiting(world)
    leader.cancel()
    world.origin.open.set()
    assert {answer.body for answer in await asyncio.gather(*followers)} == {b"one"}
    assert len(world.origin.asked) == 1
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_a_leader_that_fails_is_one_failure_for_all(world: World) -> None:
    def fails(request: Request) -> Response:
        raise OriginFailed("the test says so")

    world.origin.say = fails
    tasks = world.ask(times=100)
    await all_waiting(world)
    world.origin.open.set()
    answers = await asyncio.gather(*tasks)
    assert {answer.status for answer in answers} == {502}
    assert len(world.origin.asked) == 1


async def test_a_leader_that_is_told_503_is_one_failure_for_all(world: World) -> None:
    world.origin.say = lambda request: Response(503, (("X-Whose", "leader"),), b"down")
    tasks = world.ask(times=100)
    await all_waiting(world)
    world.origin.open.set()
    leader, *followers = await asyncio.gather(*tasks)
    assert (leader.status, leader.body) == (503, b"down")
    assert {(answer.status, answer.field("X-Whose")) for answer in followers} == {(502, None)}
    assert len(world.origin.asked) == 1


async def test_a_leader_that_fails_leaves_all_what_is_stale(world: World) -> None:
    await world.filled(fresh(b"old", "max-age=60, stale-if-error=600"))
    world.now += 70
    world.origin.say = lambda request: Response(503)
    tasks = world.ask(times=100)
    await all_waiting(world)
    world.origin.open.set()
    assert {answer.body for answer in await asyncio.gather(*tasks)} == {b"old"}
    assert len(world.origin.asked) == 1


async def test_an_answer_for_one_client_is_never_given_to_those_who_waited(world: World) -> None:
    world.origin.say = lambda request: fresh(request.field("Cookie").encode(), "private")  # type: ignore[union-attr]
    tasks = [task for user in range(50) for task in world.ask(Request("GET", "/thing", (("Cookie", f"user={user}"),)))]
    await all_waiting(world)
    world.origin.open.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.body for answer in answers] == [f"user={user}".encode() for user in range(50)]
    assert len(world.origin.asked) == 50


async def test_answers_that_cannot_be_shared_do_not_queue_up(world: World) -> None:
    world.origin.say = lambda request: fresh(control="no-store")
    world.origin.open.set()
    await world.edge.handle(GET, "qa")
    world.origin.open.clear()
    tasks = world.ask(times=20)
    await world.origin.was_asked(21)
    world.origin.open.set()
    await asyncio.gather(*tasks)
    world.now += Bounds().apart_s
    world.origin.open.clear()
    world.origin.asked.clear()
    tasks = world.ask(times=20)
    await all_waiting(world)
    assert len(world.origin.asked) == 1, "after a while it is tried again"
    world.origin.open.set()
    await asyncio.gather(*tasks)


async def test_different_variants_are_fetched_once_each(world: World) -> None:
    world.origin.say = lambda request: fresh((request.field("Foo") or "").encode(), Vary="Foo")
    tasks = [task for n in range(30) for task in world.ask(Request("GET", "/thing", (("Foo", str(n % 2)),)))]
    await all_waiting(world)
    world.origin.open.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.body for answer in answers] == [str(n % 2).encode() for n in range(30)]
    assert len(world.origin.asked) == 2


async def test_those_with_authorization_do_not_wait_for_each_other(world: World) -> None:
    tasks = [*world.ask(Request("GET", "/me", (("Authorization", "Bearer a"),)), times=10)]
    await world.origin.was_asked(10)
    world.origin.open.set()
    await asyncio.gather(*tasks)


async def test_a_refresh_is_done_once(world: World) -> None:
    await world.filled(fresh(b"old", "max-age=60, stale-while-revalidate=600"))
    world.now += 70
    answers = await asyncio.gather(*world.ask(times=100))
    assert {answer.body for answer in answers} == {b"old"}
    world.origin.open.set()
    await world.background.done()
    assert len(world.origin.asked) == 1
    assert (await world.edge.handle(GET, "qa")).body == b"one"


async def test_too_many_who_wait_are_told_to_come_again() -> None:
    world = World(bounds=Bounds(waiting=10))
    tasks = world.ask(times=12)
    await all_waiting(world)
    refused = [task.result() for task in tasks if task.done()]
    assert [(answer.status, answer.field("Retry-After")) for answer in refused] == [(503, "2")]
    world.origin.open.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.status for answer in answers].count(200) == 11
    await world.background.done()


async def test_nobody_waits_for_ever() -> None:
    world = World(bounds=Bounds(wait_s=0.05))
    answers = await asyncio.gather(*world.ask(times=5))
    assert {(answer.status, answer.field("Retry-After")) for answer in answers} == {(504, "2")}
    await world.background.done()


@pytest.mark.parametrize("collapses", [True, False])
async def test_an_origin_that_hangs_is_not_waited_for_where_there_is_something_stale(collapses: bool) -> None:
    world = World(bounds=Bounds(patience_s=0.05), collapses=collapses)
    await world.filled(fresh(b"old", "max-age=60"))
    world.now += 70
    answers = await asyncio.gather(*world.ask(times=20))
    assert {answer.body for answer in answers} == {b"old"}
    assert len(world.origin.asked) == (1 if collapses else 20)
    world.origin.asked.clear()
    assert (await world.edge.handle(GET, "qa")).body == b"old", "at once, while it still hangs"
    assert world.origin.asked == []
    world.origin.open.set()
    await world.background.done()
    world.now += 5
    assert (await world.edge.handle(GET, "qa")).body == b"one"


async def test_an_older_answer_does_not_take_the_place_of_a_newer_one() -> None:
    world = World(collapses=False)
    bodies = iter((b"newer", b"older"))
    slow = world.ask(Request("GET", "/thing", (("Cookie", "slow"),)))
    await world.origin.was_asked(1)
    world.now += 1
    held, world.origin.open = world.origin.open, asyncio.Event()
    world.origin.open.set()
    world.origin.say = lambda request: fresh(next(bodies))
    assert (await world.edge.handle(GET, "qa")).body == b"newer"
    held.set()
    await asyncio.gather(*slow)
    assert (await world.edge.handle(GET, "qa")).body == b"newer"


async def test_an_answer_asked_for_before_a_write_is_not_kept_after_it(world: World) -> None:
    world.origin.say = lambda request: fresh(b"before")
    early = world.ask(times=3)
    await all_waiting(world)
    assert (await world.edge.handle(Request("PUT", "/thing", body=b"x"), "qa")).status == 200
    world.origin.open.set()
    assert {answer.body for answer in await asyncio.gather(*early)} == {b"before"}
    world.origin.say = lambda request: fresh(b"after")
    assert (await world.edge.handle(GET, "qa")).body == b"after"


@pytest.mark.parametrize("purge", [Purge(url="/thing"), Purge(group="g"), Purge(region="qa")])
async def test_an_answer_asked_for_before_a_purge_is_not_kept_and_not_joined_after_it(
    world: World, purge: Purge
) -> None:
    world.origin.say = lambda request: fresh(b"before", Cache_Groups='"g"')
    early = world.ask(times=3)
    await all_waiting(world)
    await world.edge.purge(purge)
    late = world.ask(times=3)
    await world.origin.was_asked(2)
    bodies = iter((b"before", b"after"))
    world.origin.say = lambda request: fresh(next(bodies), Cache_Groups='"g"')
    world.origin.open.set()
    assert {answer.body for answer in await asyncio.gather(*early)} == {b"before"}
    assert {answer.body for answer in await asyncio.gather(*late)} == {b"after"}
    assert (await world.edge.handle(GET, "qa")).body == b"after"


@pytest.mark.parametrize("purge", [Purge(url="/thing"), Purge(group="g"), Purge(region="qa")])
async def test_after_a_soft_purge_all_who_ask_wait_for_one_new_answer(world: World, purge: Purge) -> None:
    control = "max-age=60, stale-while-revalidate=60, stale-if-error=60"
    await world.filled(fresh(b"before", control, Cache_Groups='"g"'))
    assert await world.edge.purge(purge) == 1
    world.origin.say = lambda request: fresh(b"after", control)
    tasks = world.ask(times=100)
    await all_waiting(world)
    assert not any(task.done() for task in tasks)
    world.origin.open.set()
    assert {answer.body for answer in await asyncio.gather(*tasks)} == {b"after"}
    assert len(world.origin.asked) == 1


async def test_without_collapsing_each_asks_for_itself_and_refreshes_are_still_done_once() -> None:
    world = World(collapses=False)
    tasks = world.ask(times=5)
    await world.origin.was_asked(5)
    world.origin.say = lambda request: fresh(control="max-age=60, stale-while-revalidate=60")
    world.origin.open.set()
    await asyncio.gather(*tasks)
    world.now += 70
    world.origin.asked.clear()
    await asyncio.gather(*world.ask(times=5))
    await world.background.done()
    assert len(world.origin.asked) == 1


def streamed(body: Body, control: str = "max-age=60", **headers: str) -> Say:
    return lambda request: Response(200, (("Cache-Control", control), *fields(headers)), stream=body)


async def test_an_answer_in_pieces_is_kept_whole(world: World) -> None:
    world.origin.say = streamed(Body(b"on", b"e"))
    world.origin.open.set()
    for _ in range(2):
        response = await world.edge.handle(GET, "qa")
        assert (response.body, response.stream) == (b"one", None)
    assert len(world.origin.asked) == 1


@pytest.mark.parametrize("length", [{}, {"Content_Length": "50"}])
async def test_an_answer_too_large_goes_through_in_pieces_and_is_not_kept(length: dict[str, str]) -> None:
    world = World(bounds=Bounds(object_bytes=25))
    body = Body(*[b"0123456789"] * 5)
    world.origin.say = streamed(body, **length)
    world.origin.open.set()
    response = await world.edge.handle(GET, "qa")
    assert response.stream is not None
    assert body.read == (0 if length else 3), "no more is read than tells of being too much"
    assert b"".join([piece async for piece in response.stream]) == b"0123456789" * 5
    assert "detail=too-large" in (response.field("Cache-Status") or "")
    assert body.is_closed
    assert world.edge.counts["hit"] == 0
    await world.background.done()


async def test_an_answer_that_breaks_off_is_no_answer(world: World) -> None:
    body = Body(b"on", fails=True)
    world.origin.say = streamed(body)
    world.origin.open.set()
    assert (await world.edge.handle(GET, "qa")).status == 502
    assert body.is_closed


async def test_an_answer_that_never_ends_is_let_go() -> None:
    world, body = World(bounds=Bounds(wait_s=0.05)), Body(b"on", hangs=True)
    world.origin.say = streamed(body)
    world.origin.open.set()
    assert (await world.edge.handle(GET, "qa")).status == 504
    await world.background.done()
    assert body.is_closed


async def test_an_answer_that_takes_long_goes_through_as_it_comes() -> None:
    body = Body(b"on", b"e")
    response, reason = await gathered(Response(200, stream=body), 100, within_s=-1.0)
    assert (reason, body.read) == ("too-slow", 1)
    assert response.stream is not None
    assert b"".join([piece async for piece in response.stream]) == b"one"
    assert body.is_closed


@pytest.mark.parametrize(("groups", "is_kept"), [(GROUPS_MAX, True), (GROUPS_MAX + 1, False)])
async def test_an_answer_of_too_many_groups_is_not_kept(world: World, groups: int, is_kept: bool) -> None:
    world.origin.say = lambda request: fresh(Cache_Groups=", ".join(f'"{n}"' for n in range(groups)))
    world.origin.open.set()
    told = (await world.edge.handle(GET, "qa")).field("Cache-Status") or ""
    assert ("detail=too-many-groups" not in told) is is_kept
    await world.edge.handle(GET, "qa")
    assert world.edge.counts["hit"] == int(is_kept)


async def test_a_body_shorter_than_it_says_is_not_kept(world: World) -> None:
    world.origin.say = lambda request: fresh(b"on", Content_Length="3")
    world.origin.open.set()
    response = await world.edge.handle(GET, "qa")
    assert "detail=incomplete" in (response.field("Cache-Status") or "")


async def test_a_body_that_nobody_will_read_is_let_go(world: World) -> None:
    body = Body(b"one")
    world.origin.say = streamed(body, "private")
    (leader,) = world.ask()
    await all_waiting(world)
    leader.cancel()
    world.origin.open.set()
    await world.background.done()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert body.is_closed


async def test_a_body_is_let_go_when_its_client_leaves_in_the_very_moment_that_it_comes() -> None:
    body, world = Body(b"one"), World()
    tasks: list[asyncio.Task[Response]] = []

    async def leaving(work: Coroutine[None, None, None]) -> None:
        await work
        tasks[0].cancel()

    world.edge = Edge(
        name="e",
        cache=MemoryCache(Bounds()),
        origin=world.origin,
        clock=lambda: world.now,
        spawn=lambda work: world.background.spawn(leaving(work)),
    )
    world.origin.say = streamed(body, "private")
    tasks += world.ask()
    await all_waiting(world)
    world.origin.open.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await world.background.done()
    assert body.is_closed


async def test_a_body_is_let_go_when_the_client_holds_it_already(world: World) -> None:
    body = Body(b"one")
    world.origin.say = streamed(body, "no-store", ETag='"a"')
    world.origin.open.set()
    response = await world.edge.handle(Request("GET", "/thing", (("If-None-Match", '"a"'),)), "qa")
    assert (response.status, response.stream) == (304, None)
    await world.background.done()
    assert body.is_closed
