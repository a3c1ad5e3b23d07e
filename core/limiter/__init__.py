"""Rate limits: decided in memory by GCRA, shared between a region's processes through its Redis."""

from core.limiter.gcra import MICROSECONDS, Limit, Verdict
from core.limiter.limiter import Limiter, LimiterHealth
from core.limiter.limiters import Limiters

__all__ = ["MICROSECONDS", "Limit", "Limiter", "LimiterHealth", "Limiters", "Verdict"]
