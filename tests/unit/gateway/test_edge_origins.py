"""What is known of the origin: how it answered, and not how its clients behaved."""

from edge.messages import Request, Response, Stream
from edge.origin import OriginFailed
from edge.upstream import upstream
from gateway.edge.origins import Watched

NOBODY = "http://127.0.0.1:1"


async def test_a_request_that_breaks_off_says_nothing_of_the_origin() -> None:
    changes: list[str] = []
    answers: list[Response | OriginFailed] = [
        Response(200),
        OriginFailed("broke off", by_client=True),
        OriginFailed("it could not be asked"),
    ]

    async def origin(request: Request) -> Response:
        assert request.url == "/"
        answer = answers.pop(0)
        if isinstance(answer, OriginFailed):
            raise answer
        return answer

    watched = Watched(origin, wall=lambda: 1000.0, on_change=lambda name, _: changes.append(name))
    seen = [await _is_connected(watched) for _ in range(3)]
    assert seen == [True, True, False]


async def test_who_sends_half_a_body_does_not_make_the_origin_look_away() -> None:
    async def half() -> Stream:
        yield b"a"
        raise ConnectionError

    changes: list[str] = []
    async with upstream(NOBODY, name="edge") as origin:
        watched = Watched(origin, wall=lambda: 1000.0, on_change=lambda name, _: changes.append(name))
        assert not await _answers(watched, Request("POST", "/", stream=half()))
        assert changes == []
        assert not await _answers(watched, Request("GET", "/"))
        assert len(changes) == 1


async def _is_connected(watched: Watched) -> bool:
    await _answers(watched, Request("GET", "/"))
    return (await watched.health()).connected


async def _answers(watched: Watched, request: Request) -> bool:
    try:
        await watched(request)
    except OriginFailed:
        return False
    return True
