"""The README's example of another team's service: its code and its SQL work as they stand there."""

import asyncio
import re
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from core.database.shard import Consistency
from core.database.token import Token
from core.ids import Placement
from core.region import Ask
from gateway.operations.openapi import document
from tests.system import ROOT, SHARDS, Client, Phones, System

README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    """The README's code block of a language that contains a text."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^\1```", README, re.MULTILINE | re.DOTALL)
    (found,) = (str(text) for _, text in blocks if containing in text)
    return found


async def test_the_example_service_declares_documents_and_writes_where_its_user_lives(
    system: System, gateway: Client, phones: Phones
) -> None:
    module: dict[str, Any] = {"__name__": "library"}
    exec(block("python", "library.loan"), module)
    described = document(module["api"].operations)
    assert list(described["paths"]["/loans"]) == ["post"]
    sql = block("sql", "library.loan")
    try:
        for shard in SHARDS:
            async with system.sql(shard) as connection:
                await connection.execute(sql)
        assert gateway.runtime is not None
        reader = UUID((await gateway.register(phones.saudi(), "customer")).id)
        region = gateway.runtime.fleet.by_code[2]
        bucket = (reader.int >> 64) & 0xFFF
        write = module["_lend"](gateway.runtime.new_id(Placement(2, bucket)), reader, module["NewLoan"](book="Kalila"))
        ask = Ask(asyncio.get_running_loop().time() + 10, Consistency.SESSION, Token())
        answer = await region.write(write, ask)
        assert answer.reply.value.book == "Kalila"
        stranger = next(shard for shard in ("sa-1", "sa-2") if shard != answer.shard)
        async with system.sql(stranger) as connection:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.execute("INSERT INTO library.loan VALUES ($1, $2, $3, 'Kalila')", *write.args[:3])
            assert refused.value.sqlstate == "MD001"
    finally:
        for shard in SHARDS:
            async with system.sql(shard) as connection:
                await connection.execute("DROP SCHEMA IF EXISTS library CASCADE")
