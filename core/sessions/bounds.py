"""The bounds of session stores that are not in core.limits, with the relations between them asserted."""

from typing import Final

from core.limits import EVIDENCE_AGE_MAX_S, LAG_MAX_MS, PROBE_INTERVAL_S, REQUEST_DEADLINE_S, SESSION_STORE_TIMEOUT_S

IDLE_S: Final = 7 * 24 * 3600.0
RECHECK_S: Final = 15 * 60.0  # an access token's life: a lost revocation costs no more than one already in hand
RECHECK_IN_FALLBACK_S: Final = 30.0  # other processes' revocations cannot be seen, so the rows are asked more often
RELOAD_S: Final = REQUEST_DEADLINE_S + LAG_MAX_MS / 1000  # how old a row can be when its reader puts it
TOUCH_S: Final = 1.0  # a use within this of the last one is not written to Redis again
CONNECTIONS_MAX: Final = 16
TURN_WAIT_S: Final = 1.0  # for one of the connections while Redis answers; when it fails all who wait are told at once
CLOSE_TIMEOUT_S: Final = 1.0
RESTORES_AT_ONCE: Final = CONNECTIONS_MAX
RETRY_FIRST_S: Final = 0.1
RETRY_LONGEST_S: Final = 2.0

assert SESSION_STORE_TIMEOUT_S + PROBE_INTERVAL_S < EVIDENCE_AGE_MAX_S
assert SESSION_STORE_TIMEOUT_S + RETRY_LONGEST_S < EVIDENCE_AGE_MAX_S
assert SESSION_STORE_TIMEOUT_S < TURN_WAIT_S < REQUEST_DEADLINE_S
assert RETRY_FIRST_S <= PROBE_INTERVAL_S <= RETRY_LONGEST_S
assert TOUCH_S < RECHECK_IN_FALLBACK_S <= RECHECK_S
