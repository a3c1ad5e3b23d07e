"""The files that tell a local PostgreSQL server how to behave, rewritten at every start.

They lie beside the data, not in it: what the program says now holds for data made earlier, and `ALTER SYSTEM`, whose
file is in the data, still has the last word.
"""

from pathlib import Path

from gateway.local.limits import POSTGRES_CONNECTIONS_MAX
from gateway.local.ports import LOOPBACK


def server_settings(*, name: str, port: int, major: int, access_file: Path) -> str:
    """The text of `postgresql.conf` for a primary or a replica alike."""
    settings: dict[str, str | int] = {
        "cluster_name": name,
        "listen_addresses": LOOPBACK,
        "port": port,
        # A socket's path may not exceed 107 bytes; a checkout's may.
        "unix_socket_directories": "",
        "hba_file": str(access_file),
        "max_connections": POSTGRES_CONNECTIONS_MAX,
        "shared_buffers": "32MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "password_encryption": "scram-sha-256",
        "wal_level": "logical",
        "max_wal_senders": 16,
        "max_replication_slots": 16,
        "max_logical_replication_workers": 8,
        "max_worker_processes": 16,
        "max_wal_size": "256MB",
        # A replica that never comes back must not fill the disk; it is cloned again.
        "max_slot_wal_keep_size": "512MB",
        "wal_sender_timeout": "10s",
        "hot_standby": "on",
        "hot_standby_feedback": "on",
        "wal_receiver_status_interval": "1s",
        "wal_receiver_timeout": "10s",
        "wal_retrieve_retry_interval": "100ms",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %b ",
    }
    if major >= 18:
        # Six servers with three I/O workers each are too many processes for one machine.
        settings["io_method"] = "sync"
    return "".join(f"{key} = {quoted(str(value))}\n" for key, value in settings.items())


def access_rules() -> str:
    """The text of `pg_hba.conf`: a password, from this machine only."""
    rules = ((database, "all", f"{LOOPBACK}/32", "scram-sha-256") for database in ("all", "replication"))
    return "".join(f"host {' '.join(rule)}\n" for rule in rules)


def conninfo(**parts: str | int) -> str:
    """A libpq connection string."""
    return " ".join(f"{key}='{_escaped(str(value))}'" for key, value in parts.items())


def password_line(user: str, password: str) -> str:
    """A line of a libpq password file that serves any server, for one user."""
    fields = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (user, password))
    return f"*:*:*:{':'.join(fields)}\n"


def quoted(text: str) -> str:
    """A setting's value, or an SQL string literal without backslashes."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
