"""A person's app, for tests that tell a story: it signs up, sends, looks, and keeps what an app keeps."""

from dataclasses import dataclass
from typing import Any

from tests.integration.http.asking import PASSWORD, Json, log_in, person_of, photo
from tests.system import Answer, Client, Person, Phones, until

STRONG = {"Consistency": "strong"}


@dataclass
class App:
    """One person's. `see` also shows what somebody else did a moment ago."""

    client: Client
    person: Person

    @classmethod
    async def sign_up(cls, client: Client, phone: str, name: str, garage: str | None = None) -> "App":
        """A new customer, or with the garage's name a new garage."""
        more = {} if garage is None else {"garage_name": garage}
        role = "customer" if garage is None else "garage"
        return cls(client, await client.register(phone, role, full_name=name, **more))

    @classmethod
    async def log_in(cls, client: Client, phone: str, password: str = PASSWORD) -> "App":
        """Somebody who has an account."""
        return cls(client, person_of(await log_in(client, phone, password)))

    @property
    def id(self) -> str:
        """The account's."""
        return self.person.id

    async def shard(self) -> str:
        """The shard that answers for the account."""
        answer = await self.client.call("GET", "/me", user=self.person)
        return answer.headers["Meridian-Route"].partition("/")[0]

    async def send(self, path: str, **body: Any) -> Json:
        """A POST that succeeds."""
        return _well(await self._post(path, body))

    async def change(self, path: str, **body: Any) -> Json:
        """A PATCH that succeeds."""
        return _well(await self.client.call("PATCH", path, user=self.person, json=body))

    async def refused(self, path: str, **body: Any) -> str:
        """Why a POST conflicts with how things stand."""
        answer = await self._post(path, body)
        assert answer.status == 409, answer
        return str(answer.json["detail"])

    async def see(self, path: str, **query: str) -> Json:
        """What a GET shows."""
        return _well(await self._get(path, query))

    async def items(self, path: str, **query: str) -> list[Json]:
        """All items of a list, page by page."""
        page = await self.see(path, limit="100", **query)
        found: list[Json] = page["items"]
        while page["next"] is not None:
            page = await self.see(path, limit="100", cursor=page["next"], **query)
            found += page["items"]
        return found

    async def file(self, path: str, **query: str) -> bytes:
        """The bytes that a GET gives."""
        answer = await self._get(path, query)
        assert answer.status == 200, answer
        return answer.body

    async def photograph(self, data: bytes) -> str:
        """The id of a photo just sent."""
        answer = await self.client.call("POST", "/uploads", user=self.person, data=photo(data))
        return str(_well(answer)["id"])

    async def is_told(self, kind: str, **about: str) -> Json:
        """The notification of this kind that says this, once it has come."""
        found: list[Json] = []

        async def has_come() -> bool:
            found[:] = [n for n in await self.items("/notifications") if n["kind"] == kind]
            found[:] = [n for n in found if about.items() <= {"subject": n["subject"], **n["about"]}.items()]
            return bool(found)

        await until(has_come, within_s=30, what=f"{kind} {about}")
        return found[0]

    async def _post(self, path: str, body: Json) -> Answer:
        return await self.client.call("POST", path, user=self.person, **({"json": body} if body else {}))

    async def _get(self, path: str, query: dict[str, str]) -> Answer:
        return await self.client.call("GET", path, user=self.person, headers=STRONG, params=query)


def _well(answer: Answer) -> Json:
    assert answer.status in (200, 201), answer
    found: Json = answer.json
    return found


async def sign_up_on(shard: str, client: Client, phones: Phones, name: str, garage: str | None = None) -> App:
    """A new Saudi who lives on this shard: the phone number decides, so numbers are tried."""
    for _ in range(40):
        app = await App.sign_up(client, phones.saudi(), name, garage)
        if await app.shard() == shard:
            return app
    raise AssertionError(f"of 40 new users none fell on {shard}")
