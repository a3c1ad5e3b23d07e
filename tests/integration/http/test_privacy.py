"""No secret and nothing private leaves in a log, a metric, a health page or an error."""

import asyncio
from collections.abc import Callable, Iterator

import orjson
import pytest

from gateway import logs
from tests.integration.http.asking import PASSWORD, REQUEST, cookies_of, is_problem, log_in, made
from tests.system import PASSWORD as DB_PASSWORD
from tests.system import SECRET, Phones, System

EMAIL = "aisha.private@example.com"


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What is logged when everything is, for machines; afterwards the logs are as quiet as before."""
    logs.configure(level="debug", form="json")
    yield lambda: "".join(capfd.readouterr())
    logs.configure(level="error", form="console")


async def test_a_run_leaves_no_secret_behind(
    system: System, phones: Phones, said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with system.gateway() as client:
        assert client.runtime is not None
        phone, moved = phones.saudi(), phones.saudi()
        person = await client.register(phone, email=EMAIL)
        secrets = [phone[4:], moved[4:], PASSWORD, EMAIL, person.access_token, person.refresh_token, person.token]
        browser = await log_in(client, phone, cookie=True)
        secrets += [morsel.value for morsel in cookies_of(browser).values()]
        shown = [await log_in(client, phone, "another-password"), await log_in(client, moved)]
        shown.append(await client.call("POST", "/auth/register", json={"phone_number": phone, "password": PASSWORD}))
        shown.append(await client.call("GET", f"/nowhere/{phone[1:]}", params={"phone": phone}))
        shown.append(await client.call("GET", "/route", params={"phone": phone}))
        shown.append(await client.call("GET", "/me", headers={"Authorization": f"Bearer {person.access_token}x"}))
        await made(client, person, "/requests", {**REQUEST, "vin": "JTEBU5JR8A5099999"})
        body = {"phone_number": moved, "password": PASSWORD}
        assert (await client.call("PUT", "/me/phone", user=person, json=body)).status == 200

        async def broken(password: str) -> str:
            raise RuntimeError("an unexpected fault")

        monkeypatch.setattr(client.runtime.passwords, "hash", broken)
        fault = await client.call(
            "PUT", "/me/password", user=person, json={"current_password": PASSWORD, "new_password": "x" * 9 + PASSWORD}
        )
        is_problem(fault, 500, "internal")
        shown += [fault, await client.call("GET", "/health")]
        metrics = client.runtime.metrics.text().decode()
    logged = said()
    lines = [orjson.loads(line) for line in logged.splitlines() if '"event":"request"' in line]
    assert {line["operation"] for line in lines} >= {"auth_register", "auth_log_in", "me_change_phone", "none"}
    assert all(line["request_id"] and "ms" in line for line in lines)
    assert fault.json["request_id"] in logged, "the fault is found in the log by its request id"
    everything = logged + metrics + "".join(answer.body.decode() for answer in shown)
    leaked = [secret for secret in (*secrets, "JTEBU5JR8A5099999", SECRET, DB_PASSWORD) if secret in everything]
    assert leaked == []


async def test_a_request_that_cannot_be_parsed_is_not_quoted_in_the_log(
    system: System, said: Callable[[], str]
) -> None:
    async with system.gateway() as client:
        assert client.runtime is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", client.runtime.settings.port)
        writer.write(
            b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-token-\x00-that-is-private\r\n\r\n"
        )
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == b"400"
        writer.close()
        await writer.wait_closed()
    logged = said()
    assert "unreadable request" in logged
    assert "private" not in logged
