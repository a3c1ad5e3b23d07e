"""Which answers of a shared operation are the same for everybody, and so fit for caches; and what changed ones say."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from core.database.shard import Consistency
from gateway.caching import INVALIDATION, listed
from gateway.geography.decision import Signal
from gateway.operations.call import Call
from gateway.operations.operation import Operation, PartialItems


def shared_fields(operation: Operation, call: Call, arguments: Mapping[str, Any], result: Any) -> dict[str, str] | None:
    """The header fields of an answer that caches may keep and hand to others; None when it is for its caller alone.

    It is for its caller when the caller had something to do with it: they asked for the primary, its region was guessed
    from who they are, or they have seen what it does not show, which their Consistency-Token must go on saying. And
    nobody keeps an answer that a shard is missing from, or that a shard without a primary gave.
    """
    if operation.shared is None or call.decision.by is not Signal.ID:
        return None
    if call.ask.consistency is Consistency.STRONG or set(call.ask.token.entries) != set(call.shown.entries):
        return None
    if isinstance(result, PartialItems) and result.partial:
        return None
    if call.route is not None and call.route.age_s is not None:
        return None
    runtime = call.runtime
    return operation.shared.fields(arguments, production=runtime.settings.is_production, told=runtime.edges.are_told)


def tell_changes(response: web.StreamResponse, call: Call) -> None:
    """Say which shared answers are wrong from now on: to the caches on the answer's way, and to every edge."""
    if call.changed:
        response.headers[INVALIDATION] = listed(call.changed)
        call.runtime.edges.changed(call.changed)
