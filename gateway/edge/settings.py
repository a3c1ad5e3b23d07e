"""The settings of `meridian edge`: none is needed, and none of the gateway's secrets is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from core import limits
from core.errors import FieldError, Invalid
from gateway.geography.headers import COUNTRY_DEFAULT
from gateway.geography.trust import TrustedProxies
from gateway.settings import SECRET_CHARS_MIN, Port


class EdgeSettings(BaseModel):
    """All of them. `from_environment` reads them; a wrong one is an error that names the variable."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    environment: str = Field("development", validation_alias="NODE_ENV")
    host: str = Field("0.0.0.0", validation_alias="HOST")  # noqa: S104  like the gateway
    port: Port = Field(8080, validation_alias="EDGE_PORT")
    origin: str | None = Field(None, validation_alias="EDGE_ORIGIN")
    purge_token: SecretStr | None = Field(None, validation_alias="EDGE_PURGE_TOKEN")
    server: Literal["http1", "granian"] | None = Field(None, validation_alias="EDGE_SERVER")
    tls_cert: Path | None = Field(None, validation_alias="EDGE_TLS_CERT")
    tls_key: Path | None = Field(None, validation_alias="EDGE_TLS_KEY")
    shard_map: Path | None = Field(None, validation_alias="SHARD_MAP")
    reference_folder: Path | None = Field(None, validation_alias="REFERENCE_FOLDER")
    trusted_proxies: str = Field("", validation_alias="TRUSTED_PROXIES")
    country_header: str = Field(COUNTRY_DEFAULT, validation_alias="COUNTRY_HEADER")
    drain_s: float = Field(limits.DRAIN_S, gt=0, le=600, validation_alias="SHUTDOWN_TIMEOUT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    log_format: Literal["console", "json"] | None = Field(None, validation_alias="LOG_FORMAT")

    @property
    def form(self) -> Literal["console", "json"]:
        """How logs are written."""
        return self.log_format or ("json" if self.environment == "production" else "console")

    @property
    def trusted(self) -> TrustedProxies:
        """Who may say something about the client that they forward for."""
        return TrustedProxies.parse(self.trusted_proxies)

    @classmethod
    def from_environment(cls, values: Mapping[str, str]) -> "EdgeSettings":
        """Read every variable. Raises Invalid naming each wrong one at once; secrets never show in it."""
        try:
            settings = cls.model_validate(dict(values))
        except ValidationError as exc:
            raise Invalid([FieldError(str(e["loc"][0]), e["msg"]) for e in exc.errors(include_input=False)]) from exc
        try:
            TrustedProxies.parse(settings.trusted_proxies)
        except ValueError as exc:
            raise Invalid([FieldError("TRUSTED_PROXIES", str(exc).removeprefix("TRUSTED_PROXIES: "))]) from exc
        require_origin(settings.origin, "EDGE_ORIGIN")
        if settings.environment == "production" and settings.purge_token is not None:
            _require_long(settings.purge_token)
        return settings


def _require_long(token: SecretStr) -> None:
    """Whoever guesses it empties the cache."""
    if len(token.get_secret_value()) < SECRET_CHARS_MIN:
        raise Invalid(
            [FieldError("EDGE_PURGE_TOKEN", f"must have {SECRET_CHARS_MIN} characters or more in production")]
        )


def require_origin(url: str | None, name: str) -> None:
    """Raises Invalid unless the base URL of an origin is one: scheme and host, nothing after them."""
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise Invalid([FieldError(name, "must be http:// or https:// with a host, a port if need be, and no path")])
    if parts.query or parts.fragment or parts.username is not None:
        raise Invalid([FieldError(name, "must have no user, query or fragment")])
