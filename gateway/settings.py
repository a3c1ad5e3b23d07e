"""Everything the environment can say, read in this one place, with the scaling guide's names, units and defaults."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from core import limits
from core.database.settings import DatabaseSettings
from core.errors import FieldError, Invalid
from core.storage.settings import AzureSettings, S3Settings, StorageChoice
from gateway.geography.trust import TrustedProxies

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

    trusted_proxies: str = Field("", validation_alias="TRUSTED_PROXIES")
    country_header: str = Field("CF-IPCountry", validation_alias="COUNTRY_HEADER")
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
    def storage(self) -> StorageChoice:
        """Where files can go, in core's form."""
        s3 = azure = None
        if self.s3_bucket and self.s3_access_key and self.s3_secret_key:
            s3 = S3Settings(
                self.s3_bucket,
                self.s3_region,
                self.s3_access_key.get_secret_value(),
                self.s3_secret_key.get_secret_value(),
                self.s3_endpoint,
                self.s3_base_url,
            )
        if self.azure_storage_container and self.azure_storage_connection_string:
            azure = AzureSettings(self.azure_storage_container, self.azure_storage_connection_string.get_secret_value())
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
    yield from _storage_faults(settings)


def _storage_faults(settings: Settings) -> Iterator[FieldError]:
    yield from _half_set(
        {
            "S3_BUCKET": settings.s3_bucket,
            "S3_ACCESS_KEY": settings.s3_access_key,
            "S3_SECRET_KEY": settings.s3_secret_key,
        }
    )
    yield from _half_set(
        {
            "AZURE_STORAGE_CONTAINER": settings.azure_storage_container,
            "AZURE_STORAGE_CONNECTION_STRING": settings.azure_storage_connection_string,
        }
    )
    account, azure = settings.azure_storage_account, settings.azure_storage_connection_string
    if account and azure and f"AccountName={account};" not in f"{azure.get_secret_value()};":
        yield FieldError("AZURE_STORAGE_ACCOUNT", "is not the account of AZURE_STORAGE_CONNECTION_STRING")
    for name, url in (("S3_ENDPOINT", settings.s3_endpoint), ("S3_BASE_URL", settings.s3_base_url)):
        if url and not url.startswith(("http://", "https://")):
            yield FieldError(name, "must begin with http:// or https://")


def _half_set(group: Mapping[str, object]) -> Iterator[FieldError]:
    """Settings that mean something only together."""
    present = [name for name, value in group.items() if value]
    for name, value in group.items():
        if present and not value:
            yield FieldError(name, f"is needed together with {', '.join(present)}")


def _weak_secrets(settings: Settings) -> list[FieldError]:
    named: dict[str, SecretStr | None] = {"JWT_SECRET": settings.jwt_secret, "SESSION_SECRET": settings.session_secret}
    return [
        FieldError(name, f"is required in production, {SECRET_CHARS_MIN} characters or more")
        for name, secret in named.items()
        if secret is None or len(secret.get_secret_value()) < SECRET_CHARS_MIN
    ]


def secrets_of(*candidates: SecretStr | None, fallback: str) -> list[bytes]:
    """The secrets that are set, current first; `fallback` when none is (development only: it dies with the process)."""
    found = [secret.get_secret_value().encode() for secret in candidates if secret is not None]
    return found or [fallback.encode()]
