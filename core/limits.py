"""Every bound in one place, with the relations between them asserted at import.

Settings may change some of the operational ones; those that are part of a format (buckets, region codes) never change.
"""

from typing import Final

BUCKETS_PER_REGION: Final = 4096
REGION_CODE_MAX: Final = 255
SHARD_WEIGHT_MAX: Final = 100
REGION_WEIGHT_MAX: Final = 512
REGIONS_MAX: Final = REGION_CODE_MAX
SHARDS_PER_REGION_MAX: Final = 256
REPLICAS_PER_SHARD_MAX: Final = 15
MAP_BYTES_MAX: Final = 4 * 1024 * 1024

REQUEST_BODY_BYTES_MAX: Final = 256 * 1024
HEADER_VALUE_BYTES_MAX: Final = 8190
REQUEST_ID_CHARS_MAX: Final = 128
IDEMPOTENCY_KEY_CHARS_MAX: Final = 200
PAGE_ITEMS_DEFAULT: Final = 20
PAGE_ITEMS_MAX: Final = 100
FIELD_ERRORS_MAX: Final = 100
FANOUT_ROWS_PER_SHARD_MAX: Final = 1000
FANOUT_ROWS_MAX: Final = FANOUT_ROWS_PER_SHARD_MAX * SHARDS_PER_REGION_MAX
STREAM_BATCH_ROWS: Final = 500  # of a table, in memory at a time
STREAM_DEADLINE_S: Final = 120.0  # a year of a large region
SEARCH_CANDIDATES_MAX: Final = 1000  # of a kind on a shard: so many of the newest matches are ranked

REQUEST_DEADLINE_S: Final = 15.0
DEADLINE_MIN_S: Final = 0.05
DEADLINE_GRACE_S: Final = 1.0
READ_ATTEMPTS_MAX: Final = 3
WRITE_ATTEMPTS_MAX: Final = 2
POOL_WAITERS_PER_CONNECTION: Final = 10
LOCK_WAIT_MS: Final = 2_000

PROBE_INTERVAL_S: Final = 1.0
PROBE_HURRY_S: Final = 0.2  # while a shard has no primary: a promotion should be seen as soon as it is there
PROBE_TIMEOUT_S: Final = 2.0
EVIDENCE_AGE_MAX_S: Final = 5.0
LAG_MAX_MS: Final = 30_000  # PostgreSQL's own max_standby_streaming_delay default: 30 s
REPLICA_WAIT_S: Final = 0.05
POSITION_POLL_S: Final = 0.005
POSITION_SAMPLES_MAX: Final = 512
LAG_SAMPLE_S: Final = 0.1
OWNERSHIP_REFRESH_S: Final = 30.0
BREAKER_FAILURES_MAX: Final = 3
BREAKER_PAUSE_S: Final = 0.25
BREAKER_PAUSE_MAX_S: Final = 2.0
BREAKER_TRIAL_S: Final = 5.0

TOKEN_ENTRIES_MAX: Final = 16
TOKEN_CHARS_MAX: Final = 2048
MIGRATION_LOCK_WAIT_S: Final = 60
RECEIPT_LIFETIME_S: Final = 24 * 3600
EVENT_LIFETIME_S: Final = 3 * 24 * 3600  # of one that was handed on: kept to be looked at
SWEEP_ROWS: Final = 500
JOB_ROUND_S: Final = 10.0
JOB_ROUNDS_MAX: Final = 100  # of one job on one shard at a time: a backlog does not keep it for ever

SESSIONS_IN_PROCESS_MAX: Final = 50_000
SESSION_LOAD_S: Final = 2.0
SESSION_STORE_TIMEOUT_S: Final = 0.2
PASSWORD_HASHES_AT_ONCE: Final = 2
PASSWORD_HASHES_WAITING_MAX: Final = 64
VERIFIED_TOKENS_MAX: Final = 10_000

FILE_BYTES_MAX: Final = 10 * 1024 * 1024
FILE_CHUNK_BYTES: Final = 64 * 1024
UPLOAD_DEADLINE_S: Final = 120.0  # 10 MiB at 0.7 Mbit/s, a poor mobile connection
DOWNLOAD_STALL_S: Final = 10.0  # a reader who takes nothing for so long is gone
UPLOADS_AT_ONCE_MAX: Final = 100  # in a process; each holds a few chunks and a file of the spool
STORE_CONNECT_S: Final = 1.0
STORE_STALL_S: Final = 3.0  # without a byte either way, a store is taken for dead
STORE_BYTES_PER_S_MIN: Final = 1024 * 1024  # a store slower than this is left to the drain
STORE_BLOCK_BYTES: Final = 1024 * 1024  # what is held in memory of a file on its way to or from Azure
STORE_PUTS_AT_ONCE: Final = 8
STORE_READS_AT_ONCE_MAX: Final = 48  # of a process: the connections beyond are for puts, deletes and probes
STORE_PROBE_INTERVAL_S: Final = 2.0
STORE_PROBE_TIMEOUT_S: Final = 2.0
SPOOL_BYTES_FREE_MIN: Final = 64 * 1024 * 1024
SPOOL_LOOK_FILES_MAX: Final = 200  # up to so many, looking costs a few milliseconds
SPOOL_WAIT_MAX_S: Final = 60.0  # longer than this a file should not wait for its store
DRAIN_INTERVAL_S: Final = 1.0
FILE_SWEEP_INTERVAL_S: Final = 60.0
FILE_STEP_S: Final = 5.0  # for one statement about a file in the background
DRAINS_AT_ONCE: Final = 4
LINK_LIFETIME_S: Final = 300
FILE_UNUSED_LIFETIME_S: Final = 24 * 3600
FILE_GRACE_S: Final = 900.0  # between a file's deletion and its purge: longer than any put that may still be under way
FILE_SWEEP_ROWS: Final = 100

LIMITER_KEYS_MAX: Final = 50_000
LIMITER_EXCHANGE_KEYS_MAX: Final = 200  # one script: Redis serves nobody else meanwhile, and this loop packs it
LIMITER_EXCHANGE_INTERVAL_S: Final = 0.01
LIMITER_STORE_TIMEOUT_S: Final = 0.2
LIMIT_COUNT_MAX: Final = 1_000_000
LIMIT_PERIOD_MAX_S: Final = 24 * 3600
FAMILIAR_LIFETIME_S: Final = 30 * 24 * 3600

ISSUER_REFRESH_S: Final = 300.0
ISSUER_TIMEOUT_S: Final = 5.0
ISSUER_PAUSE_MAX_S: Final = 60.0
ISSUER_KEY_WAIT_S: Final = 1.0
ISSUER_ASK_AGAIN_S: Final = 30.0  # an unknown key id makes the issuer be asked at most this often
ISSUER_BODY_BYTES_MAX: Final = 256 * 1024
ISSUER_KEYS_MAX: Final = 64

EDGE_FRESH_MAX_S: Final = 300  # of what changes: so long an edge that was never told may be wrong
EDGE_GROUPS_WAITING_MAX: Final = 10_000  # for one edge that does not answer
EDGE_TELL_TIMEOUT_S: Final = 2.0
EDGE_TELL_PAUSE_S: Final = 0.5
EDGE_TELL_PAUSE_MAX_S: Final = 15.0
EDGE_LAST_WORDS_S: Final = 1.0  # for what is left to tell when the gateway stops
EDGES_MAX: Final = 64

PAYMENT_PROVIDER_TIMEOUT_S: Final = 6.0  # for one question, whatever calls it takes
PAYMENT_SIGNATURE_AGE_MAX_S: Final = 300.0
PAYMENT_JOB_ROWS: Final = 20  # asked for side by side

LAME_DUCK_S: Final = 0.5
DRAIN_S: Final = 20.0

assert SHARD_WEIGHT_MAX <= REGION_WEIGHT_MAX >= SHARDS_PER_REGION_MAX
assert PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX <= FANOUT_ROWS_PER_SHARD_MAX
assert PAGE_ITEMS_MAX < STREAM_BATCH_ROWS < FANOUT_ROWS_PER_SHARD_MAX
assert DOWNLOAD_STALL_S < REQUEST_DEADLINE_S < STREAM_DEADLINE_S
assert REPLICA_WAIT_S < DEADLINE_MIN_S * 2 <= REQUEST_DEADLINE_S
assert PROBE_INTERVAL_S + PROBE_TIMEOUT_S < EVIDENCE_AGE_MAX_S
assert POSITION_SAMPLES_MAX * LAG_SAMPLE_S * 1000 > LAG_MAX_MS
assert LOCK_WAIT_MS / 1000 < REQUEST_DEADLINE_S < DRAIN_S
assert STORE_READS_AT_ONCE_MAX + STORE_PUTS_AT_ONCE < STORE_PUTS_AT_ONCE * 8
assert STORE_CONNECT_S < STORE_STALL_S < UPLOAD_DEADLINE_S < FILE_GRACE_S < FILE_UNUSED_LIFETIME_S
assert STORE_STALL_S < DOWNLOAD_STALL_S < UPLOAD_DEADLINE_S
assert STORE_STALL_S + FILE_BYTES_MAX / STORE_BYTES_PER_S_MIN < REQUEST_DEADLINE_S
assert STORE_PROBE_INTERVAL_S + STORE_PROBE_TIMEOUT_S < EVIDENCE_AGE_MAX_S
assert UPLOADS_AT_ONCE_MAX * FILE_BYTES_MAX < 2**31
assert TOKEN_CHARS_MAX < HEADER_VALUE_BYTES_MAX
assert LIMITER_EXCHANGE_INTERVAL_S < LIMITER_STORE_TIMEOUT_S < PROBE_INTERVAL_S
assert PROBE_INTERVAL_S + LIMITER_STORE_TIMEOUT_S + BREAKER_PAUSE_MAX_S < EVIDENCE_AGE_MAX_S
assert PAYMENT_PROVIDER_TIMEOUT_S < JOB_ROUND_S
assert PAYMENT_PROVIDER_TIMEOUT_S * 2 < REQUEST_DEADLINE_S
assert ISSUER_KEY_WAIT_S < REQUEST_DEADLINE_S / 2
assert EDGE_TELL_TIMEOUT_S < EDGE_TELL_PAUSE_MAX_S < EDGE_FRESH_MAX_S
assert LAG_MAX_MS / 1000 < EDGE_FRESH_MAX_S
assert ISSUER_TIMEOUT_S < ISSUER_ASK_AGAIN_S < ISSUER_PAUSE_MAX_S < ISSUER_REFRESH_S
