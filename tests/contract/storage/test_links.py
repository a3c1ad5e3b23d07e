"""Links to stored files, opened by a plain HTTP client as an app would."""

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from yarl import URL

from core.storage.opening import open_store
from core.storage.settings import S3Settings
from tests.contract.storage.world import World, new_key
from tests.system import until

DISPOSITION = 'inline; filename="a b.png"'


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def status(client: ClientSession, link: str) -> int:
    async with client.get(URL(link, encoded=True)) as answer:
        return answer.status


async def linked(world: World, *, lifetime_s: int = 60) -> str:
    """A link to a new file."""
    key = new_key()
    contents = await world.put(key, b"linked")
    link = await world.store.link(key, contents, disposition=DISPOSITION, lifetime_s=lifetime_s)
    assert link is not None
    return link


async def test_a_link_shows_the_file_with_its_type_and_name(remote: World, client: ClientSession) -> None:
    async with client.get(URL(await linked(remote), encoded=True)) as answer:
        assert (answer.status, await answer.read()) == (200, b"linked")
        assert answer.headers["Content-Type"] == "image/png"
        if remote.store.kind == "Azure":  # the S3 server of these tests does not know response-content-disposition
            assert answer.headers["Content-Disposition"] == DISPOSITION


async def test_nothing_in_a_link_can_be_changed(remote: World, client: ClientSession) -> None:
    link = await linked(remote)
    other = new_key()
    await remote.put(other, b"private")
    path, _, query = link.partition("?")
    changed = {
        "another file": f"{path[: path.rindex('/')]}/{other.partition('/')[2]}?{query}",
        "another type": f"{path}?{query.replace('png', 'html')}",
        "another name": f"{path}?{query.replace(quote('a b'), quote('a c'))}",
    }
    for what, url in changed.items():
        assert url != link, what
        assert await status(client, url) == 403, what
    assert await status(client, path) in (403, 404), "without its signature it opens nothing"
    assert await status(client, link) == 200


async def test_a_link_ends(remote: World, client: ClientSession) -> None:
    link = await linked(remote, lifetime_s=1)

    async def is_over() -> bool:
        return await status(client, link) == 403

    await until(is_over, what="the link is refused")


async def test_a_store_that_clients_cannot_reach_gives_no_links(remote: World) -> None:
    if not isinstance(remote.settings, S3Settings):
        pytest.skip("an account of Azure is where clients reach it")
    key = new_key()
    contents = await remote.put(key, b"x")
    async with open_store(replace(remote.settings, base_url=None)) as store:
        assert await store.link(key, contents, disposition=DISPOSITION, lifetime_s=60) is None
