"""Every error Meridian raises on purpose. Core knows nothing of HTTP; `gateway.problems` maps codes to statuses.

    MeridianError
    ├── Malformed            malformed            the request cannot be read at all
    ├── Unauthenticated      unauthenticated      nobody, or nobody we can verify
    │   └── TokenExpired     token_expired        was valid once: refresh
    ├── Forbidden            forbidden            somebody, but not for this
    ├── NotFound             not_found            no such thing, or not theirs to see
    ├── MethodNotAllowed     method_not_allowed   the path exists, the method does not
    ├── Conflict             conflict             true state contradicts the request
    │   └── WriteLost        write_lost           a failover cut off a write the caller had seen
    ├── TooLarge             too_large            a body over its bound
    ├── RangeNotSatisfiable  range_not_satisfiable  a part of a file that it does not have
    ├── UnsupportedMedia     unsupported_media    not a type we read
    ├── RegionUnavailable    region_unavailable   no region serves that country
    ├── Invalid              invalid              readable, but fields are wrong (`fields`)
    ├── RateLimited          rate_limited         too many; wait
    ├── Unavailable          (never raised bare)  try again soon (`retry_after_s`)
    │   ├── ShardUnavailable shard_unavailable    no usable server for that shard
    │   │   └── WrongShard   wrong_shard          the shard refused the bucket; refresh ownership
    │   ├── PoolExhausted    pool_exhausted       every connection busy and the queue full
    │   ├── OutcomeUnknown   outcome_unknown      a write was cut off; it may or may not have happened
    │   ├── StorageUnavailable storage_unavailable  a file cannot be kept or read now
    │   ├── PaymentUnavailable payment_unavailable  the payment provider does not answer now
    │   └── Draining         draining             this process is stopping
    ├── DeadlineExceeded     deadline             the time allowed ran out before anything was changed
    ├── MapRefused           map_refused          a shard map with faults (`faults`)
    └── InternalFault        internal             a bug of ours

`retryable` says whether sending the same request again, unchanged, may succeed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from core.database.token import TokenEntry


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: its dotted path and what is wrong with it."""

    field: str
    message: str


class MeridianError(Exception):
    """Base of all deliberate errors: a stable `code`, a sentence for people, and whether a retry may help."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Malformed(MeridianError):
    code = "malformed"


class Unauthenticated(MeridianError):
    code = "unauthenticated"


class TokenExpired(Unauthenticated):
    code = "token_expired"


class Forbidden(MeridianError):
    code = "forbidden"


class NotFound(MeridianError):
    code = "not_found"


class MethodNotAllowed(MeridianError):
    code = "method_not_allowed"

    def __init__(self, detail: str, *, allowed: Sequence[str]) -> None:
        super().__init__(detail)
        self.allowed = tuple(allowed)


class Conflict(MeridianError):
    code = "conflict"


class WriteLost(Conflict):
    """The caller has seen what a failover cut off. `standing` is what they may hold on to instead."""

    code = "write_lost"

    def __init__(self, detail: str, *, standing: "TokenEntry") -> None:
        super().__init__(detail)
        self.standing = standing


class TooLarge(MeridianError):
    code = "too_large"


class RangeNotSatisfiable(MeridianError):
    """A range that begins after the end of a file of `size` bytes."""

    code = "range_not_satisfiable"

    def __init__(self, detail: str, *, size: int) -> None:
        super().__init__(detail)
        self.size = size


class UnsupportedMedia(MeridianError):
    code = "unsupported_media"


class RegionUnavailable(MeridianError):
    code = "region_unavailable"


class Invalid(MeridianError):
    """A readable request with wrong fields; `fields` lists every one of them."""

    code = "invalid"

    def __init__(self, fields: Sequence[FieldError], detail: str = "") -> None:
        super().__init__(
            detail or ("one field is not valid" if len(fields) == 1 else f"{len(fields)} fields are not valid")
        )
        self.fields = tuple(fields)


class Unavailable(MeridianError):
    """Something needed is not there now; `retry_after_s` is a whole number of seconds worth waiting."""

    retryable = True

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class RateLimited(Unavailable):
    code = "rate_limited"


class ShardUnavailable(Unavailable):
    code = "shard_unavailable"


class WrongShard(ShardUnavailable):
    """The database refused a write: it does not own the bucket, or has fenced it (SQLSTATE MD001)."""

    code = "wrong_shard"


class PoolExhausted(Unavailable):
    code = "pool_exhausted"


class OutcomeUnknown(Unavailable):
    """A write was sent and its answer lost. Safe to repeat only with the same idempotency key."""

    code = "outcome_unknown"
    retryable = False


class StorageUnavailable(Unavailable):
    """A file cannot be kept or read now: its store is out of reach, or the disk is full."""

    code = "storage_unavailable"


class PaymentUnavailable(Unavailable):
    """The payment provider does not answer now; whatever is asked of it may be asked again."""

    code = "payment_unavailable"


class Draining(Unavailable):
    code = "draining"


class DeadlineExceeded(MeridianError):
    code = "deadline"
    retryable = True


@dataclass(frozen=True, slots=True)
class MapFault:
    """One thing wrong in a shard map: where it stands, which key, and what the operator should do."""

    file: str
    line: int
    column: int
    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {self.message}. {self.remedy}"


class MapRefused(MeridianError):
    """A shard map that is not used at all, with every one of its faults."""

    code = "map_refused"

    def __init__(self, faults: Sequence[MapFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class InternalFault(MeridianError):
    code = "internal"
