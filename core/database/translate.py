"""asyncpg's exceptions in Meridian's words. Nothing of asyncpg leaves this package.

NodeLost          the connection broke or the server is going down; `sent` says whether a statement had gone out
RoleChanged       the node is not writable (25006): look again who the primary is
RecoveryConflict  a replica cancelled a read to go on replaying: another node can answer it
Refused           a named unique, check or foreign-key constraint refused the row

Only a failure's message is kept: its DETAIL may hold the row, and with it somebody's phone number.
"""

import asyncpg
from asyncpg.exceptions import PostgresError

from core.errors import (
    Conflict,
    DeadlineExceeded,
    InternalFault,
    MeridianError,
    PoolExhausted,
    ShardUnavailable,
    WrongShard,
)


class NodeLost(ShardUnavailable):
    """This node cannot be used now. `sent`: a statement had gone out, so a write's outcome is not known."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class RoleChanged(ShardUnavailable):
    """The node refused to write because it is in recovery."""


class RecoveryConflict(ShardUnavailable):
    """The replica cancelled a read that stood in the way of its replay; nothing is wrong with the read."""


class Refused(Conflict):
    """A constraint refused the row; `constraint` is its name. `repeated`: an earlier try of the write had been sent."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"constraint {constraint}")
        self.constraint = constraint
        self.repeated = False


_GOING_DOWN = ("57P01", "57P02", "57P03", "57P05")
_CANNOT_LOG_IN = ("08", "28", "3D")
_NO_ROOM = ("53100", "53200", "53400")
BROKEN = (
    OSError,
    EOFError,
    RuntimeError,  # uvloop's word for a write to a connection that has just closed
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)


def translated(exc: BaseException, *, where: str, sent: bool) -> MeridianError:
    """The Meridian error for a failure of a statement on the node `where`."""
    if isinstance(exc, asyncpg.DataError):
        # Found by asyncpg before anything was sent: a bug of ours, and no fault of the node. The value stays untold.
        return InternalFault(f"{where}: {str(exc).partition(':')[0]}")
    if isinstance(exc, asyncpg.PostgresConnectionError) or not isinstance(exc, PostgresError):
        return NodeLost(f"{where}: {type(exc).__name__}", sent=sent)
    return _of_sqlstate(exc, where, sent)


def _of_sqlstate(exc: PostgresError, where: str, sent: bool) -> MeridianError:
    state = exc.sqlstate or ""
    if state == "MD001":
        return WrongShard(_said(exc))
    if state == "25006":
        return RoleChanged(f"{where}: {_said(exc)}")
    if state == "40001" and "recovery" in _said(exc):
        return RecoveryConflict(f"{where}: {_said(exc)}")
    if state in _GOING_DOWN or state.startswith(_CANNOT_LOG_IN):
        return NodeLost(f"{where}: {_said(exc)}", sent=sent)
    if state in ("23505", "23514", "23503"):
        return Refused(exc.constraint_name or "")
    return _of_pressure(exc, state, where)


def _of_pressure(exc: PostgresError, state: str, where: str) -> MeridianError:
    if state == "57014":
        return DeadlineExceeded(
            "the statement took longer than DB_STATEMENT_TIMEOUT and was cancelled; nothing was changed"
        )
    if state == "55P03":
        return Conflict("another request is changing this right now")
    if state in ("40001", "40P01"):
        return Conflict("another request changed this at the same moment; nothing was changed, try again")
    if state.startswith("53300"):
        return PoolExhausted(f"pool exhausted: {where} accepts no more connections")
    if state in _NO_ROOM:
        return ShardUnavailable(f"{where}: {_said(exc)}", retry_after_s=5)
    if state in ("42P01", "3F000", "42883"):
        return ShardUnavailable(f"{where} is not migrated ({_said(exc)}); run: meridian migrate", retry_after_s=5)
    return InternalFault(f"{where}: {state} {_said(exc)}")


def _said(exc: PostgresError) -> str:
    return str(exc.args[0]) if exc.args else type(exc).__name__
