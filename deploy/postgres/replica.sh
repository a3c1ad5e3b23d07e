#!/usr/bin/env bash
# Entry point of a replica: copies its primary the first time, then follows it. The arguments are the server's command.
set -Eeuo pipefail

: "${PGDATA:?}" "${PRIMARY_HOST:?}" "${POSTGRES_USER:?}" "${POSTGRES_PASSWORD:?}"
slot=meridian_replica
password_file=/var/lib/postgresql/.passfile

log() {
    printf 'replica of %s: %s\n' "$PRIMARY_HOST" "$1" >&2
}

# Written anew at every start, so that a changed password needs a restart only.
write_password_file() {
    local password=${POSTGRES_PASSWORD//\\/\\\\}
    (umask 077 && printf '*:*:*:%s:%s\n' "$POSTGRES_USER" "${password//:/\\:}" > "$password_file")
}

copy_primary() {
    local partial=$PGDATA.partial
    rm -rf -- "$PGDATA" "$partial"
    mkdir -p -- "$partial"
    chmod 0700 -- "$partial"
    log 'copying'
    # A slot that an earlier replica left would refuse its name to the new one.
    psql --no-psqlrc --quiet --dbname="$1 dbname=postgres" --command="
        SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '$slot';
        SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$slot'" > /dev/null
    pg_basebackup --dbname="$1" --pgdata="$partial" --create-slot --slot="$slot" \
        --write-recovery-conf --wal-method=stream --checkpoint=fast
    # Last, so that an interrupted copy is never taken for a replica.
    mv -- "$partial" "$PGDATA"
}

write_password_file
conninfo="host=$PRIMARY_HOST port=5432 user=$POSTGRES_USER passfile=$password_file application_name=$HOSTNAME"
if [[ ! -s $PGDATA/PG_VERSION ]]; then
    copy_primary "$conninfo"
fi
log 'following'
exec "$@" -c "primary_conninfo=$conninfo" -c "primary_slot_name=$slot"
