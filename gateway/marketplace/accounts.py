"""Accounts and identities: the statements behind registering, logging in and changing who one is."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from core.database.statement import Query, Row, Write
from core.errors import Conflict, NotFound, Unauthenticated
from core.ids import LoginHash, placement_of
from gateway.operations import Output

TAKEN = "an account with this phone number exists already; log in, or use another number"
SESSION_LIFETIME_DAYS = 30
SESSION_IDLE_DAYS = 7


class Account(Output):
    """A user as they see themselves."""

    id: UUID
    role: str
    full_name: str
    phone_number: str
    email: str | None
    garage_name: str | None
    created_at: datetime


class Login(Account):
    """An account with a login session just begun or refreshed."""

    session: UUID
    generation: int
    session_created_at: datetime
    session_used_at: datetime
    session_expires_at: datetime


class Secret(Account):
    """An account with its password's hash: never leaves the gateway."""

    password_hash: Annotated[str, Field(repr=False)]


_ACCOUNT = "a.id, a.role, a.full_name, a.phone_number, a.email, a.garage_name, a.created_at"
_WITH_ACCOUNT = "s JOIN marketplace.account a ON a.bucket = s.bucket AND a.id = s.account"
_SESSION = """s.id AS session, s.generation, s.created_at AS session_created_at, s.refreshed_at AS session_used_at,
    s.expires_at AS session_expires_at"""


def _account(row: Row) -> Account:
    return Account.model_validate(dict(row))


def _secret(row: Row) -> Secret:
    return Secret.model_validate(dict(row))


def _login(row: Row) -> Login:
    return Login.model_validate(dict(row))


def _same(row: Row) -> Row:
    return row


def register(
    id: UUID,
    *,
    session: UUID,
    identity: LoginHash,
    role: str,
    full_name: str,
    phone_number: str,
    email: str | None,
    garage_name: str | None,
    password_hash: str,
) -> Write[Login]:
    """A new account with its identity and its first session, in one statement on one shard."""
    return Write(
        bucket=identity.bucket,
        first="""
        identity AS (
            INSERT INTO marketplace.identity (bucket, digest, account) VALUES ($1, $2, $3) RETURNING account),
        a AS (
            INSERT INTO marketplace.account
                (bucket, id, role, full_name, phone_number, email, garage_name, password_hash)
            SELECT $1, account, $4, $5, $6, $7, $8, $9 FROM identity RETURNING *),
        s AS (
            INSERT INTO marketplace.login_session (bucket, id, account, expires_at)
            SELECT $1, $10, id, now() + make_interval(days => $11) FROM a RETURNING *)""",
        sql=f"SELECT {_ACCOUNT}, {_SESSION} FROM a, s",
        args=(
            identity.bucket,
            identity.digest,
            id,
            role,
            full_name,
            phone_number,
            email,
            garage_name,
            password_hash,
            session,
            SESSION_LIFETIME_DAYS,
        ),
        row=_login,
        refusals={"identity_taken": TAKEN},
    )


def holder_of(identity: LoginHash) -> Query[Row]:
    """Who claims an identity, and since when: columns account, claimed_at, and young (claimed in the last minutes)."""
    return Query(
        """SELECT account, claimed_at, claimed_at > now() - interval '10 minutes' AS young
           FROM marketplace.identity WHERE bucket = $1 AND digest = $2""",
        (identity.bucket, identity.digest),
        _same,
    )


def secret_of(id: UUID) -> Query[Secret]:
    """An account with its password's hash."""
    return Query(
        f"SELECT {_ACCOUNT}, a.password_hash FROM marketplace.account a WHERE a.bucket = $1 AND a.id = $2",
        (placement_of(id).bucket, id),
        _secret,
    )


def by_id(id: UUID) -> Query[Account]:
    """An account."""
    return Query(
        f"SELECT {_ACCOUNT} FROM marketplace.account a WHERE a.bucket = $1 AND a.id = $2",
        (placement_of(id).bucket, id),
        _account,
    )


def change(id: UUID, fields: dict[str, Any]) -> Write[Account]:
    """Set the given columns of an account: full_name, email, garage_name, phone_number or password_hash."""
    columns = ", ".join(f"{name} = ${at}" for at, name in enumerate(fields, start=3))
    return Write(
        bucket=placement_of(id).bucket,
        sql=f"""UPDATE marketplace.account a SET {columns}, updated_at = now()
                WHERE a.bucket = $1 AND a.id = $2 RETURNING {_ACCOUNT}""",
        args=(placement_of(id).bucket, id, *fields.values()),
        row=_account,
        if_none=NotFound("this account is not here any more"),
    )


def claim(identity: LoginHash, account: UUID) -> Write[Row]:
    """Claim an identity for an account; claiming again what it claims already is no error."""
    return Write(
        bucket=identity.bucket,
        sql="""INSERT INTO marketplace.identity AS i (bucket, digest, account) VALUES ($1, $2, $3)
               ON CONFLICT (bucket, digest) DO UPDATE SET claimed_at = now() WHERE i.account = EXCLUDED.account
               RETURNING i.account""",
        args=(identity.bucket, identity.digest, account),
        row=_same,
        if_none=Conflict(TAKEN),
    )


def release(identity: LoginHash, account: UUID, claimed_at: datetime | None = None) -> Write[Row]:
    """Give an identity up; with `claimed_at` only the very claim that was seen."""
    return Write(
        bucket=identity.bucket,
        sql="""DELETE FROM marketplace.identity WHERE bucket = $1 AND digest = $2 AND account = $3
               AND ($4::timestamptz IS NULL OR claimed_at = $4) RETURNING account""",
        args=(identity.bucket, identity.digest, account, claimed_at),
        row=_same,
    )


def begin_session(id: UUID, account: UUID) -> Write[Login]:
    """A new login session of an account."""
    bucket = placement_of(account).bucket
    return Write(
        bucket=bucket,
        first="""s AS (
            INSERT INTO marketplace.login_session (bucket, id, account, expires_at)
            SELECT bucket, $2, id, now() + make_interval(days => $4)
            FROM marketplace.account WHERE bucket = $1 AND id = $3
            RETURNING *)""",
        sql=f"SELECT {_ACCOUNT}, {_SESSION} FROM {_WITH_ACCOUNT}",
        args=(bucket, id, account, SESSION_LIFETIME_DAYS),
        row=_login,
        if_none=Unauthenticated("this account is not here any more"),
    )


def refresh_session(id: UUID, generation: int) -> Write[Login]:
    """Count one refresh of a live session, if `generation` is its newest."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first="""s AS (
            UPDATE marketplace.login_session SET generation = generation + 1, refreshed_at = now()
            WHERE bucket = $1 AND id = $2 AND generation = $3 AND revoked_at IS NULL AND expires_at > now()
            RETURNING *)""",
        sql=f"SELECT {_ACCOUNT}, {_SESSION} FROM {_WITH_ACCOUNT}",
        args=(bucket, id, generation),
        row=_login,
        if_none=Unauthenticated("this refresh token is not good any more; log in again"),
    )


def use_session(id: UUID) -> Write[Login]:
    """Note that a session is used; refused (`Unauthenticated`) when it has ended or was idle for too long."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        first="""s AS (
            UPDATE marketplace.login_session SET refreshed_at = now()
            WHERE bucket = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > now()
                AND refreshed_at > now() - make_interval(days => $3)
            RETURNING *)""",
        sql=f"SELECT {_ACCOUNT}, {_SESSION} FROM {_WITH_ACCOUNT}",
        args=(bucket, id, SESSION_IDLE_DAYS),
        row=_login,
        if_none=Unauthenticated("this session has ended; log in again"),
    )


def revoke_reused(id: UUID, generation: int) -> Write[Row]:
    """End a session one of whose older refresh tokens came back: it is in two hands."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        sql="""UPDATE marketplace.login_session SET revoked_at = now()
               WHERE bucket = $1 AND id = $2 AND generation > $3 AND revoked_at IS NULL RETURNING id""",
        args=(bucket, id, generation),
        row=_same,
        if_none=Unauthenticated("this session has ended; log in again"),
    )


def end_session(id: UUID) -> Write[Row]:
    """End one session; ending it again is no error."""
    bucket = placement_of(id).bucket
    return Write(
        bucket=bucket,
        sql="""UPDATE marketplace.login_session SET revoked_at = coalesce(revoked_at, now())
               WHERE bucket = $1 AND id = $2 RETURNING id""",
        args=(bucket, id),
        row=_same,
        if_none=Unauthenticated("this session is not known"),
    )


def end_sessions(account: UUID, *, but: UUID | None = None) -> Write[Row]:
    """End every session of an account, except `but`; the row's `ids` are those that were ended."""
    bucket = placement_of(account).bucket
    return Write(
        bucket=bucket,
        first="""ended AS (
            UPDATE marketplace.login_session SET revoked_at = now()
            WHERE bucket = $1 AND account = $2 AND revoked_at IS NULL AND id IS DISTINCT FROM $3 RETURNING id)""",
        sql="SELECT coalesce(array_agg(id::text), '{}') AS ids FROM ended",
        args=(bucket, account, but),
        row=_same,
    )


def live_session(id: UUID) -> Query[Login]:
    """A login session that has not ended, with its account."""
    return Query(
        f"""SELECT {_ACCOUNT}, {_SESSION} FROM marketplace.login_session s
            JOIN marketplace.account a ON a.bucket = s.bucket AND a.id = s.account
            WHERE s.bucket = $1 AND s.id = $2 AND s.revoked_at IS NULL AND s.expires_at > now()""",
        (placement_of(id).bucket, id),
        _login,
    )
