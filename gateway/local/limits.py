"""Every bound of the local servers, in one place. Seconds unless the name says otherwise."""

from typing import Final

POLL_S: Final = 0.01

TOOL_S: Final = 60.0
SQL_S: Final = 15.0
SQL_CONNECT_S: Final = 5

READY_S: Final = 60.0
FOLLOW_S: Final = 8.0
REPLAY_PAUSE_S: Final = 5.0
PROMOTE_S: Final = 30

# A stop is asked for politely, then firmly, then enforced.
STOP_POLITE_S: Final = 10.0
STOP_FIRM_S: Final = 4.0
STOP_KILLED_S: Final = 5.0

LOG_TAIL_LINES: Final = 20
LOG_TAIL_BYTES: Final = 16_384

POSTGRES_MAJOR_MIN: Final = 15
POSTGRES_CONNECTIONS_MAX: Final = 120
