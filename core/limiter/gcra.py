"""The generic cell rate algorithm: how often something may happen, decided from one number per key. Pure.

The number is the theoretical arrival time (TAT): when all that was admitted will have been earned back. ITU-T I.371
gives the algorithm for ATM cells; a request is a cell, the whole count of a limit is its burst. All times are whole
microseconds of one monotonic clock, so that no rounding ever admits one too many.
"""

from dataclasses import dataclass

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` in `period_us`: all of them at once if none was used lately, and then one every `interval_us`.

    In any window of w microseconds no more than `count + w / interval_us` are admitted.
    """

    count: int
    period_us: int

    @property
    def interval_us(self) -> int:
        """How long it takes to earn one back; rounded up, so that the limit is never exceeded."""
        return -(-self.period_us // self.count)

    @property
    def burst_us(self) -> int:
        """How far ahead of the clock a TAT may run."""
        return self.count * self.interval_us


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one more is admitted; how many more would be; when the next would be, and when the whole count is."""

    admitted: bool
    remaining: int
    retry_us: int
    reset_us: int


def decide(limit: Limit, tat: int, now: int) -> tuple[int, Verdict]:
    """The TAT after one arrival, and the verdict on it. A refusal costs nothing: the TAT stays as it is.

    The TAT never moves back, whatever the clock does.
    """
    after = max(tat, now) + limit.interval_us
    if after - now > limit.burst_us:
        return tat, Verdict(False, 0, after - now - limit.burst_us, tat - now)
    ahead = after - now
    return after, Verdict(True, (limit.burst_us - ahead) // limit.interval_us, 0, ahead)
