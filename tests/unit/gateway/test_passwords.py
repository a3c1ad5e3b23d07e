"""Passwords: argon2id, the same work whether the account exists or not, and a queue that has an end."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from core.errors import RateLimited
from core.limits import PASSWORD_HASHES_AT_ONCE, PASSWORD_HASHES_WAITING_MAX
from gateway import passwords as module
from gateway.passwords import Passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


async def test_a_hash_is_argon2id_as_owasp_has_it_and_fits_its_password_only(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify(hashed, "correct horse")
    assert not await passwords.verify(hashed, "correct hors")
    assert await passwords.hash("correct horse") != hashed, "salted"


async def test_nobody_is_verified_with_as_much_work_as_somebody(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []

    class Counting:
        def verify(self, hashed: str, password: str) -> bool:
            verified.append(hashed.rpartition("$")[0].rpartition("$")[0])
            return True

    somebody = await passwords.hash("x")
    monkeypatch.setattr(module, "_HASHER", Counting())
    assert not await passwords.verify(None, "x"), "even where the stand-in's password is guessed"
    assert await passwords.verify(somebody, "x")
    assert verified[0] == verified[1], "the same algorithm, memory and passes"


async def test_a_stored_value_that_is_no_hash_fits_nothing(passwords: Passwords) -> None:
    assert not await passwords.verify("plain", "plain")


async def test_the_queue_has_an_end_and_frees_itself(passwords: Passwords) -> None:
    free = threading.Event()
    work: Callable[[], bool] = free.wait
    waiting = [asyncio.create_task(passwords._run(work)) for _ in range(PASSWORD_HASHES_WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await passwords.hash("one too many")
    free.set()
    assert all(await asyncio.gather(*waiting))
    assert await passwords.hash("room again")


async def test_a_caller_that_gives_up_leaves_its_place(passwords: Passwords) -> None:
    free = threading.Event()
    waiting = [asyncio.create_task(passwords._run(free.wait)) for _ in range(PASSWORD_HASHES_WAITING_MAX)]
    await asyncio.sleep(0)
    waiting[-1].cancel()
    await asyncio.wait([waiting[-1]])
    last = asyncio.create_task(passwords._run(lambda: "in"))
    free.set()
    assert await last == "in"
    await asyncio.gather(*waiting[:-1])
    assert PASSWORD_HASHES_AT_ONCE < PASSWORD_HASHES_WAITING_MAX
