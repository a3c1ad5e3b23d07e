"""Everything the environment can say, read in this one place, with the scaling guide's names, units and defaults."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from core import limits
from core.database.settings import DatabaseSettings
from core.errors import FieldError, Invalid
from core.storage.settings import AzureSettings, S3Settings, StorageChoice
from edge.folder import FolderTooLarge, read_folder
from gateway.cors import Cors
from gateway.geography.trust import TrustedProxies
from gateway.jwks import IssuerSettings
from gateway.keys import Key, private_key, public_keys
from gateway.policies import Policies, parse_limit

Port = Annotated[int, Field(ge=1, le=65535)]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
Connections = Annotated[int, Field(ge=1, le=10_000)]
Switch = Annotated[bool, BeforeValidator(lambda v: {"on": True, "off": False}.get(v, v) if isinstance(v, str) else v)]

SECRET_CHARS_MIN = 32
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def environment(folder: Path | None = None) -> Mapping[str, str]:
    """The process's environment over the `.env` file of `folder` (the current one by default); empty means unset."""
    file = (folder or Path.cwd()) / ".env"
    values = {**(dotenv_values(file) if file.is_file() else {}), **os.environ}
    return {name: value for name, value in values.items() if value}


class Settings(BaseModel):
    """All settings. `from_environment` reads them; a wrong one is an error that names the variable."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    environment: str = Field("development", validation_alias="NODE_ENV")
    host: str = Field("0.0.0.0", validation_alias="HOST")  # noqa: S104  the guide's server listens on every address
    port: Port = Field(3000, validation_alias="PORT")
    admin_host: str = Field("127.0.0.1", validation_alias="ADMIN_HOST")
    admin_port: Port = Field(3001, validation_alias="ADMIN_PORT")

    shard_map: Path | None = Field(None, validation_alias="SHARD_MAP")
    migrate_on_start: Switch | None = Field(None, validation_alias="MIGRATE_ON_START")

    db_host: str = Field("localhost", validation_alias="DB_HOST")
    db_port: Port = Field(5432, validation_alias="DB_PORT")
    db_user: str = Field("postgres", validation_alias="DB_USER")
    db_password: SecretStr = Field(SecretStr(""), validation_alias="DB_PASSWORD")
    db_name: str = Field("qscrap_db", validation_alias="DB_NAME")
    db_pool_max: Connections = Field(20, validation_alias="DB_POOL_MAX")
    db_pool_min: Annotated[int, Field(ge=0, le=10_000)] = Field(5, validation_alias="DB_POOL_MIN")
    db_idle_timeout: Milliseconds = Field(30_000, validation_alias="DB_IDLE_TIMEOUT")
    db_connect_timeout: Milliseconds = Field(5_000, validation_alias="DB_CONNECT_TIMEOUT")
    db_statement_timeout: Milliseconds = Field(30_000, validation_alias="DB_STATEMENT_TIMEOUT")
    db_read_replica_host: str | None = Field(None, validation_alias="DB_READ_REPLICA_HOST")
    db_read_replica_port: Port = Field(5432, validation_alias="DB_READ_REPLICA_PORT")
    db_read_pool_max: Connections = Field(30, validation_alias="DB_READ_POOL_MAX")
    db_replica_lag_max: Milliseconds = Field(limits.LAG_MAX_MS, validation_alias="DB_REPLICA_LAG_MAX")

    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")
    session_secret: SecretStr | None = Field(None, validation_alias="SESSION_SECRET")
    session_secret_previous: SecretStr | None = Field(None, validation_alias="SESSION_SECRET_PREVIOUS")
    jwt_secret: SecretStr | None = Field(None, validation_alias="JWT_SECRET")
    jwt_secret_previous: SecretStr | None = Field(None, validation_alias="JWT_SECRET_PREVIOUS")
    cookie_domain: str | None = Field(None, validation_alias="COOKIE_DOMAIN")
    jwt_private_key: SecretStr | None = Field(None, validation_alias="JWT_PRIVATE_KEY")
    jwt_private_key_file: Path | None = Field(None, validation_alias="JWT_PRIVATE_KEY_FILE")
    jwt_public_keys: str = Field("", validation_alias="JWT_PUBLIC_KEYS")
    jwt_jwks_url: str | None = Field(None, validation_alias="JWT_JWKS_URL")
    jwt_issuer: str | None = Field(None, validation_alias="JWT_ISSUER")
    jwt_audience: str | None = Field(None, validation_alias="JWT_AUDIENCE")

    rate_limits: Switch = Field(True, validation_alias="RATE_LIMITS")
    rate_limit_user: str = Field("600/60s", validation_alias="RATE_LIMIT_USER")
    rate_limit_address: str = Field("1200/60s", validation_alias="RATE_LIMIT_ADDRESS")
    rate_limit_credentials: str = Field("20/300s", validation_alias="RATE_LIMIT_CREDENTIALS")
    cors_origins: str = Field("", validation_alias="CORS_ORIGINS")

    upload_folder: Path = Field(Path("uploads"), validation_alias="UPLOAD_FOLDER")
    s3_bucket: str | None = Field(None, validation_alias="S3_BUCKET")
    s3_region: str = Field("us-east-1", validation_alias="S3_REGION")
    s3_access_key: SecretStr | None = Field(None, validation_alias="S3_ACCESS_KEY")
    s3_secret_key: SecretStr | None = Field(None, validation_alias="S3_SECRET_KEY")
    s3_endpoint: str | None = Field(None, validation_alias="S3_ENDPOINT")
    s3_base_url: str | None = Field(None, validation_alias="S3_BASE_URL")
    azure_storage_account: str | None = Field(None, validation_alias="AZURE_STORAGE_ACCOUNT")
    azure_storage_container: str | None = Field(None, validation_alias="AZURE_STORAGE_CONTAINER")
    azure_storage_connection_string: SecretStr | None = Field(None, validation_alias="AZURE_STORAGE_CONNECTION_STRING")

    edge_urls: str = Field("", validation_alias="EDGE_URLS")
    edge_purge_token: SecretStr | None = Field(None, validation_alias="EDGE_PURGE_TOKEN")
    assets_folder: Path | None = Field(None, validation_alias="ASSETS_FOLDER")
    reference_folder: Path | None = Field(None, validation_alias="REFERENCE_FOLDER")
    trusted_proxies: str = Field("", validation_alias="TRUSTED_PROXIES")
    country_header: str = Field("CF-IPCountry", validation_alias="COUNTRY_HEADER")
    edge_secret: SecretStr | None = Field(None, validation_alias="EDGE_SECRET")
    edge_secret_previous: SecretStr | None = Field(None, validation_alias="EDGE_SECRET_PREVIOUS")
    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = Field(
        limits.REQUEST_DEADLINE_S, validation_alias="REQUEST_TIMEOUT"
    )
    lame_duck_s: Annotated[float, Field(ge=0, le=300)] = Field(limits.LAME_DUCK_S, validation_alias="LAME_DUCK")
    drain_s: Annotated[float, Field(gt=0, le=600)] = Field(limits.DRAIN_S, validation_alias="SHUTDOWN_TIMEOUT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    log_format: Literal["console", "json"] | None = Field(None, validation_alias="LOG_FORMAT")

    postgres_bin: Path | None = Field(None, validation_alias="MERIDIAN_PG_BIN")
    redis_bin: Path | None = Field(None, validation_alias="MERIDIAN_REDIS_BIN")
    search_path: str = Field("", validation_alias=AliasChoices("PATH"))

    @property
    def is_production(self) -> bool:
        """NODE_ENV=production: secrets are required, cookies are Secure."""
        return self.environment == "production"

    @property
    def database(self) -> DatabaseSettings:
        """The pool settings in core's form."""
        return DatabaseSettings(
            pool_max=self.db_pool_max,
            pool_min=self.db_pool_min,
            read_pool_max=self.db_read_pool_max,
            idle_timeout_ms=self.db_idle_timeout,
            connect_timeout_ms=self.db_connect_timeout,
            statement_timeout_ms=self.db_statement_timeout,
            lag_max_ms=self.db_replica_lag_max,
        )

    @property
    def policies(self) -> Policies | None:
        """The rate limits; None when they are off."""
        if not self.rate_limits:
            return None
        return Policies(
            user=parse_limit(self.rate_limit_user),
            address=parse_limit(self.rate_limit_address),
            credentials=parse_limit(self.rate_limit_credentials),
        )

    @property
    def edges(self) -> list[str]:
        """The edges that are told of changes."""
        return [url for part in self.edge_urls.split(",") if (url := part.strip())]

    @property
    def cors(self) -> Cors:
        """Which other origins' pages may call."""
        return Cors.parse(self.cors_origins)

    @property
    def edge_secrets(self) -> list[bytes]:
        """The secrets that an edge may have signed a country with, the present one first; none: nothing is believed."""
        given = (self.edge_secret, self.edge_secret_previous)
        return [secret.get_secret_value().encode() for secret in given if secret is not None]

    @property
    def signing_key(self) -> Key | None:
        """The key that tokens are signed with, if it is not the JWT_SECRET. Raises ValueError, showing none of it."""
        if self.jwt_private_key is not None:
            return private_key(self.jwt_private_key.get_secret_value())
        if self.jwt_private_key_file is None:
            return None
        try:
            return private_key(self.jwt_private_key_file.read_text())
        except (OSError, UnicodeError) as exc:
            raise ValueError(f"cannot be read: {type(exc).__name__}") from None

    @property
    def public_keys(self) -> list[Key]:
        """Keys that only verify, because they are being rotated in or out."""
        return public_keys(self.jwt_public_keys)

    @property
    def issuer(self) -> IssuerSettings | None:
        """The outside issuer whose tokens are honoured, if there is one."""
        if not (self.jwt_jwks_url and self.jwt_issuer and self.jwt_audience):
            return None
        return IssuerSettings(self.jwt_jwks_url, self.jwt_issuer, self.jwt_audience)

    @property
    def storage(self) -> StorageChoice:
        """Where files can go, in core's form."""
        s3 = azure = None
        if self.s3_access_key and self.s3_secret_key:
            s3 = S3Settings(
                self.s3_bucket or "",
                self.s3_region,
                self.s3_access_key.get_secret_value(),
                self.s3_secret_key.get_secret_value(),
                self.s3_endpoint,
                self.s3_base_url,
            )
        if self.azure_storage_connection_string:
            connection_string = self.azure_storage_connection_string.get_secret_value()
            azure = AzureSettings(self.azure_storage_container or "", connection_string)
        return StorageChoice(self.upload_folder, s3, azure)

    @classmethod
    def from_environment(cls, values: Mapping[str, str]) -> "Settings":
        """Read every variable. Raises Invalid naming each wrong variable at once; secrets never show in it."""
        try:
            settings = cls.model_validate(dict(values))
        except ValidationError as exc:
            raise Invalid([FieldError(str(e["loc"][0]), e["msg"]) for e in exc.errors(include_input=False)]) from exc
        faults = [*_contradictions(settings), *(_weak_secrets(settings) if settings.is_production else ())]
        if faults:
            raise Invalid(faults)
        return settings


def _contradictions(settings: Settings) -> Iterator[FieldError]:
    if settings.db_pool_min > settings.db_pool_max:
        yield FieldError("DB_POOL_MIN", f"{settings.db_pool_min} is more than DB_POOL_MAX, {settings.db_pool_max}")
    try:
        TrustedProxies.parse(settings.trusted_proxies)
    except ValueError as exc:
        yield FieldError("TRUSTED_PROXIES", str(exc).removeprefix("TRUSTED_PROXIES: "))
    if settings.redis_url and not settings.redis_url.get_secret_value().startswith(_REDIS_SCHEMES):
        yield FieldError("REDIS_URL", f"must begin with one of {', '.join(_REDIS_SCHEMES)}")
    yield from _token_faults(settings)
    yield from _access_faults(settings)
    yield from _storage_faults(settings)
    yield from _edge_faults(settings)


def _token_faults(settings: Settings) -> Iterator[FieldError]:
    if settings.jwt_private_key is not None and settings.jwt_private_key_file is not None:
        yield FieldError("JWT_PRIVATE_KEY_FILE", "is given beside JWT_PRIVATE_KEY: give either")
    name = "JWT_PRIVATE_KEY" if settings.jwt_private_key is not None else "JWT_PRIVATE_KEY_FILE"
    yield from _refused(name, lambda: settings.signing_key)
    yield from _refused("JWT_PUBLIC_KEYS", lambda: settings.public_keys)
    issuer = {"JWT_JWKS_URL": settings.jwt_jwks_url, "JWT_ISSUER": settings.jwt_issuer}
    issuer |= {"JWT_AUDIENCE": settings.jwt_audience}
    yield from _missing(issuer, needed_by=issuer)
    schemes = ("https://",) if settings.is_production else ("https://", "http://")
    if settings.jwt_jwks_url and not settings.jwt_jwks_url.startswith(schemes):
        yield FieldError("JWT_JWKS_URL", f"must begin with {' or '.join(schemes)}")


def _access_faults(settings: Settings) -> Iterator[FieldError]:
    yield from _refused("RATE_LIMIT_USER", lambda: parse_limit(settings.rate_limit_user))
    yield from _refused("RATE_LIMIT_ADDRESS", lambda: parse_limit(settings.rate_limit_address))
    yield from _refused("RATE_LIMIT_CREDENTIALS", lambda: parse_limit(settings.rate_limit_credentials))
    faults = list(_refused("CORS_ORIGINS", lambda: settings.cors))
    yield from faults
    if not faults and settings.cors.any_origin and settings.is_production:
        yield FieldError("CORS_ORIGINS", "must list origins in production, not `*`")


def _refused(name: str, parse: Callable[[], object]) -> Iterator[FieldError]:
    try:
        parse()
    except ValueError as exc:
        yield FieldError(name, str(exc))


def _storage_faults(settings: Settings) -> Iterator[FieldError]:
    keys = {"S3_ACCESS_KEY": settings.s3_access_key, "S3_SECRET_KEY": settings.s3_secret_key}
    yield from _missing(keys, needed_by={"S3_BUCKET": settings.s3_bucket, **keys})
    connection = {"AZURE_STORAGE_CONNECTION_STRING": settings.azure_storage_connection_string}
    yield from _missing(connection, needed_by={"AZURE_STORAGE_CONTAINER": settings.azure_storage_container})
    account, azure = settings.azure_storage_account, settings.azure_storage_connection_string
    if account and azure and f"AccountName={account};" not in f"{azure.get_secret_value()};":
        yield FieldError("AZURE_STORAGE_ACCOUNT", "is not the account of AZURE_STORAGE_CONNECTION_STRING")
    for name, url in (("S3_ENDPOINT", settings.s3_endpoint), ("S3_BASE_URL", settings.s3_base_url)):
        if url and not url.startswith(("http://", "https://")):
            yield FieldError(name, "must begin with http:// or https://")


def _edge_faults(settings: Settings) -> Iterator[FieldError]:
    yield from _missing({"EDGE_PURGE_TOKEN": settings.edge_purge_token}, needed_by={"EDGE_URLS": settings.edges})
    if len(settings.edges) > limits.EDGES_MAX:
        yield FieldError("EDGE_URLS", f"names {len(settings.edges)} edges; there can be {limits.EDGES_MAX}")
    if any(not url.startswith(("http://", "https://")) for url in settings.edges):
        yield FieldError("EDGE_URLS", "must name edges by http:// or https://, with commas between")
    if settings.assets_folder is not None:
        try:
            read_folder(settings.assets_folder)
        except (FolderTooLarge, OSError) as exc:
            yield FieldError("ASSETS_FOLDER", str(exc))
    if settings.reference_folder is not None and not settings.reference_folder.is_dir():
        yield FieldError("REFERENCE_FOLDER", "is not a folder")


def _missing(settings: Mapping[str, object], *, needed_by: Mapping[str, object]) -> Iterator[FieldError]:
    """The settings that others which are set need."""
    present = [name for name, value in needed_by.items() if value]
    for name, value in settings.items():
        if present and not value:
            yield FieldError(name, f"is needed together with {', '.join(present)}")


def _weak_secrets(settings: Settings) -> list[FieldError]:
    named: dict[str, SecretStr | None] = {"JWT_SECRET": settings.jwt_secret, "SESSION_SECRET": settings.session_secret}
    return [*_weak_edge_secrets(settings), *_missing_secrets(named)]


def _weak_edge_secrets(settings: Settings) -> Iterator[FieldError]:
    """Whoever guesses one of these says where every user is, or empties every cache."""
    given = {"EDGE_SECRET": settings.edge_secret, "EDGE_SECRET_PREVIOUS": settings.edge_secret_previous}
    given |= {"EDGE_PURGE_TOKEN": settings.edge_purge_token}
    for name, secret in given.items():
        if secret is not None and len(secret.get_secret_value()) < SECRET_CHARS_MIN:
            yield FieldError(name, f"must have {SECRET_CHARS_MIN} characters or more in production")


def _missing_secrets(named: Mapping[str, SecretStr | None]) -> list[FieldError]:
    return [
        FieldError(name, f"is required in production, {SECRET_CHARS_MIN} characters or more")
        for name, secret in named.items()
        if secret is None or len(secret.get_secret_value()) < SECRET_CHARS_MIN
    ]


def secrets_of(*candidates: SecretStr | None, fallback: str) -> list[bytes]:
    """The secrets that are set, current first; `fallback` when none is (development only: it dies with the process)."""
    found = [secret.get_secret_value().encode() for secret in candidates if secret is not None]
    return found or [fallback.encode()]
