"""`meridian account` as an operator runs it: how the first admin, the staff and the drivers come to be."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.errors import Invalid
from gateway.marketplace.staffing import Wanted
from tests.blackbox.process import MERIDIAN, command
from tests.integration.http.asking import PASSWORD, is_problem, log_in
from tests.system import Client, Phones, System


@pytest.fixture
def variables(system: System, tmp_path: Path) -> Mapping[str, str]:
    return {**system.variables, "UPLOAD_FOLDER": str(tmp_path / "uploads")}


async def with_input(text: str, *arguments: str, variables: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Run `meridian account` with a text on its standard input."""
    process = await asyncio.create_subprocess_exec(
        MERIDIAN,
        "account",
        *arguments,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate(text.encode())
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_the_first_admin_is_made_and_gives_nobody_a_second_account(
    gateway: Client, phones: Phones, variables: Mapping[str, str], tmp_path: Path
) -> None:
    phone = phones.saudi()
    new = [phone, "--create", "--role", "admin", "--name", "Hessa"]
    status, said = await with_input(f"{PASSWORD}\n", *new, variables=variables, folder=tmp_path)
    assert status == 0, said
    assert re.fullmatch(r"account [0-9a-f-]{36} in sa: Hessa, admin \(made\)\n", said), said
    user = (await log_in(gateway, phone)).json["user"]
    assert (user["role"], user["region"], user["full_name"]) == ("admin", "sa", "Hessa")

    secret = {**variables, "MERIDIAN_ACCOUNT_PASSWORD": PASSWORD}
    status, said = await command("account", *new, variables=secret, folder=tmp_path)
    assert (status, PASSWORD in said, phone in said) == (1, False, False)
    assert "exists already" in said


async def test_another_role_ends_every_login_and_holds_from_the_next_one(
    gateway: Client, phones: Phones, variables: Mapping[str, str], tmp_path: Path
) -> None:
    phone = phones.qatar()
    person = await gateway.register(phone)
    cookie = (await log_in(gateway, phone, cookie=True)).headers["Set-Cookie"].partition(";")[0]
    status, said = await command("account", phone, "--role", "driver", variables=variables, folder=tmp_path)
    assert (status, said) == (0, f"account {person.id} in qa: Somebody, driver (changed; logins ended: 2)\n")
    stale = await gateway.call("POST", "/auth/refresh", json={"refresh_token": person.refresh_token})
    is_problem(stale, 401, "unauthenticated")
    is_problem(await gateway.call("GET", "/me", headers={"Cookie": cookie}), 401, "unauthenticated")
    again = await log_in(gateway, phone)
    assert again.json["user"]["role"] == "driver"
    status, said = await command("account", phone, "--role", "driver", variables=variables, folder=tmp_path)
    assert (status, said.endswith("driver (unchanged)\n")) == (0, True), "who has a role already stays logged in"
    bearer = {"Authorization": f"Bearer {again.json['access_token']}"}
    assert (await gateway.call("GET", "/auth/session", headers=bearer)).status == 200


async def test_what_cannot_be_is_told_in_one_line(
    gateway: Client, phones: Phones, variables: Mapping[str, str], tmp_path: Path
) -> None:
    phone = phones.saudi()
    garage = await gateway.register(phone, "garage")
    status, said = await command("account", phone, "--plan", "gold", variables=variables, folder=tmp_path)
    assert (status, said) == (
        0,
        f"account {garage.id} in sa: Somebody, garage Parts on plan gold (changed; logins ended: 0)\n",
    )
    refused = {
        (phones.qatar(),): (1, "no account has this phone number in qa, sa; --create makes one"),
        (phone, "--region", "kw"): (2, "region: is none of the map's: it knows qa, sa"),
        (phone, "--role", "staff", "--plan", "gold"): (2, "plan: only garages have one"),
    }
    for arguments, (status, sentence) in refused.items():
        found = await command("account", *arguments, variables=variables, folder=tmp_path)
        assert found == (status, f"{sentence}\n"), arguments


def test_garages_have_a_name_and_a_plan_and_others_have_neither() -> None:
    assert Wanted(role="garage", garage_name=" Parts ").columns("customer", None) == {
        "role": "garage",
        "garage_name": "Parts",
    }
    assert Wanted(role="garage").columns("garage", "Parts") == {"role": "garage"}
    assert Wanted(role="driver").columns("garage", "Parts") == {"role": "driver", "garage_name": None}
    assert Wanted().columns("customer", None) == {}
    wrong = [
        (Wanted(role="garage"), ["garage_name"]),
        (Wanted(role="staff", plan="gold", garage_name="Parts"), ["garage_name", "plan"]),
        (Wanted(full_name="two\nlines"), ["full_name"]),
        (Wanted(full_name=" "), ["full_name"]),
    ]
    for wanted, fields in wrong:
        with pytest.raises(Invalid) as refused:
            wanted.columns("customer", None)
        assert [fault.field for fault in refused.value.fields] == fields
