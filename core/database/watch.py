"""One watcher per node: a connection of its own that observes the node at an interval, and at once when somebody asks.

All who ask while an observation is under way share the next one: that is how concurrent writes share one look-up of the
flush position, and how all readers waiting on a replica are woken by one poll.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from core.database.connect import Conn, arguments
from core.database.evidence import Evidence, NodeState, Reach
from core.database.lineage import Lineage, parse_history
from core.database.settings import DatabaseSettings, Login
from core.database.translate import BROKEN
from core.limits import POSITION_POLL_S, PROBE_HURRY_S, PROBE_INTERVAL_S, PROBE_TIMEOUT_S
from core.shard_map.model import Address

_SYSTEM_ID_SQL = "SELECT system_identifier FROM pg_control_system()"

# The flush position, not the insert position: on an idle primary a replica never reaches the latter until the next
# record is flushed. The received timeline is null for a role without pg_read_all_stats: then the last checkpoint's.
_OBSERVE_SQL = """
SELECT recovering,
       CASE WHEN recovering THEN pg_last_wal_replay_lsn() - '0/0' ELSE pg_current_wal_flush_lsn() - '0/0' END AS lsn,
       CASE WHEN recovering
            THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                          (SELECT timeline_id FROM pg_control_checkpoint()))
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline
FROM (SELECT pg_is_in_recovery() AS recovering) AS role
"""

# Told by the server only to superusers and to roles that were granted this function; others do without.
_HISTORY_SQL = "SELECT pg_read_file('pg_wal/' || lpad(upper(to_hex($1::int)), 8, '0') || '.history', 0, 65536, true)"

BUCKETS_CHANNEL = "meridian_buckets"
_log = structlog.get_logger(__name__)


class Watch:
    """Observes one node. `state` is what was last seen; `seen` is awaited after every observation. While it `hurries`,
    it looks every PROBE_HURRY_S at a node that answers.

    `answered_at` tells when the node last answered a statement of the pool: a probe that got no answer meanwhile found
    a busy node, not a dead one.
    """

    def __init__(
        self,
        at: Address,
        *,
        login: Login,
        settings: DatabaseSettings,
        clock: Callable[[], float],
        seen: Callable[[], Awaitable[None]],
        answered_at: Callable[[], float],
        buckets_changed: Callable[[], None],
    ) -> None:
        self.at = at
        self.state = NodeState()
        self._options = arguments(at, login, settings, "meridian watch")
        self._clock = clock
        self._seen = seen
        self._answered_at = answered_at
        self._buckets_changed = buckets_changed
        self._asked: list[asyncio.Future[Evidence]] = []
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._seen_once = asyncio.Event()
        self._connection: Conn | None = None
        self._system_id = 0
        self._listening = False
        self._lineage: Lineage | None = None
        self.hurries = False

    async def run(self) -> None:
        """Observe until cancelled; never raises, whatever a node or a driver does."""
        try:
            while True:
                try:
                    await self._observe_once()
                except Exception as exc:  # noqa: BLE001 - the monitor of this task: without it the node would stay lost
                    _log.error("watch failed", node=str(self.at), reason=repr(exc), exc_info=exc)
                    self.failed(type(exc).__name__)
                await self._rest()
        finally:
            self._drop()

    async def first_look(self, timeout_s: float) -> None:
        """Wait until the node was looked at once, whatever came of it, for `timeout_s` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._seen_once.wait()

    def look_again(self) -> None:
        """Observe as soon as possible: something about this node looked wrong."""
        self._wake.set()

    def failed(self, reason: str) -> None:
        """Note that the node did not answer."""
        self._drop()
        self.state = self.state.failed(reason, self._clock())

    async def position(self, deadline: float) -> Evidence:
        """An observation begun after this call. Raises OSError when it cannot be made, TimeoutError when it is late."""
        future: asyncio.Future[Evidence] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self._wake.set()
        async with asyncio.timeout_at(deadline):
            return await future

    async def reaches(self, lsn: int, timeout_s: float) -> bool:
        """Whether the node is at `lsn` or beyond within `timeout_s`."""
        evidence = self.state.evidence
        if evidence is not None and evidence.lsn >= lsn:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append((lsn, future))
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        return True

    async def _rest(self) -> None:
        """Sleep until somebody asks; while readers wait for a position, poll quickly."""
        self._awaited = [(lsn, future) for lsn, future in self._awaited if not future.done()]
        # Only one that answers can be promoted; a dead one would only cost.
        calm_s = PROBE_HURRY_S if self.hurries and self.state.reach is Reach.UP else PROBE_INTERVAL_S
        pause = POSITION_POLL_S if self._awaited else calm_s
        if not self._asked:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
        self._wake.clear()

    async def _observe_once(self) -> None:
        asked, self._asked = self._asked, []
        answer: Evidence | OSError = OSError(f"{self.at} cannot be observed")
        try:
            answer = await self._look()
            # Roles and pool come first: whoever asked goes on to use them.
            await self._seen()
        finally:
            self._answer(asked, answer)
            self._seen_once.set()
        if isinstance(answer, Evidence):
            self._wake_readers(answer.lsn)

    async def _look(self) -> Evidence | OSError:
        """Observe within PROBE_TIMEOUT_S and keep what was seen, or that nothing was."""
        began = self._clock()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                evidence = await self._observe()
        except (TimeoutError, *BROKEN, asyncpg.PostgresError) as exc:
            self._not_observed(exc, began)
            return OSError(f"{self.at} cannot be observed: {_reason(exc)}")
        self.state = self.state.observed(evidence)
        return evidence

    def _not_observed(self, exc: BaseException, began: float) -> None:
        full = isinstance(exc, asyncpg.TooManyConnectionsError)
        if full or (isinstance(exc, TimeoutError) and self._answered_at() > began):
            self._drop()
            self.state = self.state.saturated(_reason(exc), self._clock())
        else:
            self.failed(_reason(exc))

    async def _observe(self) -> Evidence:
        """Observe; that an old connection broke or is silent says nothing of the node, so then a new one is asked."""
        if self._connection is not None:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S / 2):
                    return await self._ask(self._connection)
            except (TimeoutError, *BROKEN, asyncpg.PostgresError):
                self._drop()
        return await self._ask(await self._connect())

    async def _ask(self, connection: Conn) -> Evidence:
        row = await connection.fetchrow(_OBSERVE_SQL)
        assert row is not None
        recovering, timeline = row["recovering"], row["timeline"]
        if not recovering and not self._listening:
            await self._listen(connection)
        lineage = None if recovering else await self._history(connection, timeline)
        return Evidence(self._system_id, timeline, recovering, int(row["lsn"] or 0), self._clock(), lineage)

    async def _history(self, connection: Conn, timeline: int) -> Lineage | None:
        """The history of a primary's timeline; asked for once, as it never changes. None where it is not told."""
        if self._lineage is None or self._lineage.now != timeline:
            try:
                text = await connection.fetchval(_HISTORY_SQL, timeline) if timeline > 1 else ""
                self._lineage = None if text is None else parse_history(timeline, text)
            except (asyncpg.PostgresError, ValueError):
                self._lineage = None
        return self._lineage

    async def _connect(self) -> Conn:
        connection: Conn = await asyncpg.connect(**self._options)
        self._connection = connection
        self._system_id = await connection.fetchval(_SYSTEM_ID_SQL)
        self._buckets_changed()
        return connection

    async def _listen(self, connection: Conn) -> None:
        """Hear of changed buckets; only a primary can be listened to."""
        await connection.add_listener(BUCKETS_CHANNEL, lambda *_: self._buckets_changed())
        self._listening = True

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
            self._listening = False

    def _answer(self, asked: list[asyncio.Future[Evidence]], answer: Evidence | OSError) -> None:
        for future in asked:
            if future.done():
                continue
            if isinstance(answer, Evidence):
                future.set_result(answer)
            else:
                future.set_exception(answer)

    def _wake_readers(self, lsn: int) -> None:
        for wanted, future in self._awaited:
            if wanted <= lsn and not future.done():
                future.set_result(None)


def _reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return f"{type(exc).__name__}: {exc}" if isinstance(exc, asyncpg.PostgresError) else type(exc).__name__
