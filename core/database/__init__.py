"""The only door to asyncpg: nodes, observed roles, pools, reads, writes, consistency tokens, ownership, migrations."""
