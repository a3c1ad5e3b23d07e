"""The users: each does one thing after another through either gateway, and remembers what it was promised."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from aiohttp import FormData

from tests.soak.client import By, Client, Reply
from tests.soak.ledger import Account, Expected, Ledger
from tests.soak.logins import Logins

PNG = b"\x89PNG\r\n\x1a\n"
PAGE = 100
SURELY_ON_A_PAGE = 90  # the newest: creates that nobody knows of may be on it too
TRIES_AT_QUIET = 5


@dataclass(frozen=True)
class Kind:
    """A list that a user keeps. The field `mark` never changes and tells which create a row comes from; the field
    `value` changes.
    """

    name: str
    path: str
    fixed: dict[str, Any]
    mark: str
    value: str
    rows_max: int = 10**6

    def body(self, mark: str) -> dict[str, Any]:
        """What to send for a new one."""
        return {**self.fixed, self.mark: mark}


ADDRESS = Kind(
    "address",
    "/addresses",
    {"label": "home", "lat": 25.3, "lng": 51.5},
    mark="address_text",
    value="label",
    rows_max=12,
)
VEHICLE = Kind(
    "vehicle",
    "/vehicles",
    {"make": "Toyota", "year": 2020, "nickname": "mine"},
    mark="model",
    value="nickname",
    rows_max=5,
)
REQUEST = Kind(
    "request",
    "/requests",
    {"car_make": "Toyota", "car_model": "Hilux", "car_year": 2020},
    mark="part_description",
    value="status",
)


class User:
    """A customer: an account and an app. `live` until told to stop, then `look_back` when all is quiet."""

    def __init__(self, client: Client, ledger: Ledger, random: Random, *, region: str) -> None:
        self.client = client
        self._ledger = ledger
        self._random = random
        self._region = region
        self._logins = Logins(client, ledger)
        self._account: Account | None = None

    async def live(self, stop: asyncio.Event) -> None:
        """Register, then act until told to stop."""
        self._account = await self._logins.register(self._region)
        if self._account is None:
            return
        actions: list[tuple[int, Callable[[], Any]]] = [
            (36, self._read_lists),
            (14, lambda: self._create(self._random.choice([ADDRESS, VEHICLE, REQUEST]))),
            (10, lambda: self._change(self._random.choice([ADDRESS, VEHICLE]))),
            (5, lambda: self._remove(self._random.choice([ADDRESS, VEHICLE]))),
            (5, self._cancel),
            (6, self._rename),
            (7, self._upload),
            (8, self._download),
            (2, self._delete_upload),
            (8, lambda: self._visit(self._random.choice(["token", "cookie"]))),
            (2, self._logins.refresh),
            (1, lambda: self._log_out(self._random.choice(["token", "cookie"]))),
        ]
        weights = [weight for weight, _ in actions]
        while not stop.is_set():
            if not self.client.access_token:
                await self._logins.log_in("token")
                continue
            await self._random.choices([action for _, action in actions], weights)[0]()

    async def look_back(self) -> None:
        """When nothing is broken any more: one is still logged in, and reads everything that was acknowledged."""
        if self._account is None:
            return
        for by in self._sessions():
            await self._at_quiet(lambda by=by: self._logins.visit(self._known, by))  # type: ignore[misc]
        if not self.client.access_token:
            await self._logins.log_in("token")
        for kind in (ADDRESS, VEHICLE, REQUEST):
            await self._at_quiet(lambda kind=kind: self._sees(kind, None))  # type: ignore[misc]
        await self._at_quiet(self._reads_name)
        for id, row in self._known.rows["upload"].items():
            if row.surely_there:
                await self._at_quiet(lambda id=id, row=row: self._fetch(id, row))  # type: ignore[misc]

    async def _at_quiet(self, read: Callable[[], Any]) -> None:
        """A read that has no excuse any more."""
        for _ in range(TRIES_AT_QUIET):
            reply: Reply = await read()
            if reply.status == 200:
                return
            await asyncio.sleep(0.5)
        self.client.violated(f"cannot read although nothing is broken: {reply}")

    def _sessions(self) -> list[By]:
        kept: list[tuple[By, str]] = [("token", self.client.access_token), ("cookie", self.client.cookie)]
        return [by for by, credential in kept if credential]

    async def _visit(self, by: By) -> None:
        if by in self._sessions():
            await self._logins.visit(self._known, by)
        else:
            await self._logins.log_in(by)

    async def _log_out(self, by: By) -> None:
        if by in self._sessions():
            await self._logins.log_out(by)

    async def _create(self, kind: Kind) -> None:
        if sum(row.maybe_there for row in self._known.rows[kind.name].values()) >= kind.rows_max:
            return
        mark = f"{self._random.getrandbits(64):016x}"
        self._known.attempts[kind.name][mark] = None
        reply = await self.client.until_known("POST", kind.path, json=kind.body(mark))
        if reply is None:
            return
        if reply.status != 201:
            self.client.violated(f"POST {kind.path} answered {reply}")
            return
        id = UUID(reply.json["id"])
        self._ledger.created(self._known, kind.name, mark, id, reply.json[kind.value])
        await self._sees(kind, id)

    async def _change(self, kind: Kind) -> None:
        found = self._some(kind.name)
        if found is None:
            return
        id, row = found
        value = f"{self._random.getrandbits(64):016x}"
        reply = await self.client.call("PATCH", f"{kind.path}/{id}", json={kind.value: value})
        if reply.status == 200:
            self._ledger.changed(row.value, value, known=True)
            await self._sees(kind, id)
        elif reply.outcome_is_unknown:
            self._ledger.changed(row.value, value, known=False)
        self._judge_absence(reply, kind.name, id, row)

    async def _remove(self, kind: Kind) -> None:
        if await self._deleted(kind.name, kind.path):
            await self._sees(kind, None)

    async def _delete_upload(self) -> None:
        gone = await self._deleted("upload", "/uploads")
        if gone is None:
            return
        reply = await self.client.call("GET", f"/uploads/{gone}", expected={404})
        if reply.status == 200:
            self.client.violated(f"upload {gone} was deleted and is read")

    async def _deleted(self, kind: str, path: str) -> UUID | None:
        """Delete some row; its id if that was acknowledged."""
        found = self._some(kind)
        if found is None:
            return None
        id, row = found
        reply = await self.client.call("DELETE", f"{path}/{id}")
        if reply.status == 204:
            self._ledger.removed(row, known=True)
            return id
        if reply.outcome_is_unknown:
            self._ledger.removed(row, known=False)
        self._judge_absence(reply, kind, id, row)
        return None

    def _judge_absence(self, reply: Reply, kind: str, id: UUID, row: Expected) -> None:
        if reply.status != 404:
            return
        if row.surely_there:
            self.client.violated(f"{kind} {id} was acknowledged and is gone")
        row.maybe_there = False

    async def _cancel(self) -> None:
        found = self._some("request")
        if found is None or found[1].value.known != "active":
            return
        id, row = found
        reply = await self.client.until_known("POST", f"/requests/{id}/cancel")
        if reply is None:
            self._ledger.changed(row.value, "cancelled", known=False)
        elif reply.status == 200:
            self._ledger.changed(row.value, "cancelled", known=True)
            await self._sees(REQUEST, id)
        else:
            self.client.violated(f"cancel of {id} answered {reply}")

    async def _rename(self) -> None:
        name = f"Name {self._random.getrandbits(32):x}"
        reply = await self.client.call("PATCH", "/me", json={"full_name": name})
        if reply.status == 200:
            self._ledger.changed(self._known.name, name, known=True)
            await self._reads_name()
        elif reply.outcome_is_unknown:
            self._ledger.changed(self._known.name, name, known=False)

    async def _reads_name(self) -> Reply:
        reply = await self.client.call("GET", "/me")
        if reply.status == 200 and not self._known.name.may_be(reply.json["full_name"]):
            self.client.violated(f"is called {reply.json['full_name']}, not {self._known.name}")
        return reply

    async def _upload(self) -> None:
        data = PNG + self._random.randbytes(self._random.randint(1, 200_000))
        mark = hashlib.sha256(data).hexdigest()
        self._known.attempts["upload"][mark] = None
        reply = await self.client.until_known("POST", "/uploads", data=lambda: _form(data))
        if reply is None:
            return
        if reply.status != 201 or reply.json["sha256"] != mark:
            self.client.violated(f"upload answered {reply}")
            return
        id = UUID(reply.json["id"])
        self._ledger.created(self._known, "upload", mark, id, mark)
        await self._fetch(id, self._known.rows["upload"][id])

    async def _download(self) -> None:
        found = self._some("upload")
        if found is not None:
            await self._fetch(*found)

    async def _fetch(self, id: UUID, row: Expected) -> Reply:
        reply = await self.client.call("GET", f"/uploads/{id}")
        if reply.status == 200 and not row.value.may_be(hashlib.sha256(reply.body).hexdigest()):
            self.client.violated(f"upload {id} came back as something else")
        self._judge_absence(reply, "upload", id, row)
        return reply

    async def _read_lists(self) -> None:
        await self._sees(self._random.choice([ADDRESS, VEHICLE, REQUEST]), None)

    async def _sees(self, kind: Kind, id: UUID | None) -> Reply:
        """Read one's own list: it holds everything (or the one row) as it was acknowledged, and nothing of others."""
        reply = await self.client.call("GET", kind.path, params={"limit": str(PAGE)})
        if reply.status != 200:
            return reply
        shown = {UUID(item["id"]): item for item in reply.json["items"]}
        rows, attempts = self._known.rows[kind.name], self._known.attempts[kind.name]
        for stranger in [item for item in shown.values() if item[kind.mark] not in attempts]:
            self.client.violated(f"is shown a {kind.name} of somebody else: {stranger['id']}")
        for known in sorted(rows, reverse=True)[:SURELY_ON_A_PAGE] if id is None else [id]:
            self._compare(kind, known, rows[known], shown.get(known))
        return reply

    def _compare(self, kind: Kind, id: UUID, row: Expected, shown: dict[str, Any] | None) -> None:
        if shown is None:
            if row.surely_there:
                self.client.violated(f"{kind.name} {id} was acknowledged and is not read")
        elif not row.maybe_there:
            self.client.violated(f"{kind.name} {id} was removed and is read")
        elif not row.value.may_be(shown[kind.value]):
            self.client.violated(f"{kind.name} {id} is read as {shown[kind.value]}, not {row.value}")

    def _some(self, kind: str) -> tuple[UUID, Expected] | None:
        there = [(id, row) for id, row in self._known.rows[kind].items() if row.maybe_there]
        return self._random.choice(there) if there else None

    @property
    def _known(self) -> Account:
        assert self._account is not None
        return self._account


def _form(data: bytes) -> FormData:
    body = FormData()
    body.add_field("file", data, filename="photo.png")
    return body
