#!/usr/bin/env bash
# Run once by the image when a primary's data are made: lets replicas of the same network log in for replication.
set -Eeuo pipefail

# The image's own rule says `all`, which does not include replication.
printf 'host replication all samenet scram-sha-256\n' >> "${PGDATA:?}/pg_hba.conf"
