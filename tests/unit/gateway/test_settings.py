"""Settings: the guide's names, units and defaults; every wrong value at once; no secret ever shown."""

from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import AliasChoices

from core.errors import Invalid
from gateway.settings import SECRET_CHARS_MIN, Settings, environment, secrets_of
from tests.system import ROOT

GUIDE = (
    "NODE_ENV PORT DB_HOST DB_USER DB_PASSWORD DB_NAME DB_PORT JWT_SECRET",
    "DB_POOL_MAX DB_POOL_MIN DB_IDLE_TIMEOUT DB_CONNECT_TIMEOUT DB_STATEMENT_TIMEOUT",
    "DB_READ_REPLICA_HOST DB_READ_REPLICA_PORT DB_READ_POOL_MAX",
    "REDIS_URL SESSION_SECRET COOKIE_DOMAIN",
    "S3_BUCKET S3_REGION S3_ACCESS_KEY S3_SECRET_KEY S3_BASE_URL",
    "AZURE_STORAGE_ACCOUNT AZURE_STORAGE_CONTAINER AZURE_STORAGE_CONNECTION_STRING",
)

EXAMPLE = ROOT / ".env.example"
LONG = "x" * SECRET_CHARS_MIN
SECRETS = {
    "DB_PASSWORD": "pw-of-the-database",
    "JWT_SECRET": "jwt-" + LONG,
    "JWT_SECRET_PREVIOUS": "old-jwt-" + LONG,
    "SESSION_SECRET": "session-" + LONG,
    "SESSION_SECRET_PREVIOUS": "old-session-" + LONG,
    "REDIS_URL": "redis://:pw-of-redis@localhost:6379",
}

GUIDE_DEFAULTS = {
    "environment": "development",
    "port": 3000,
    "db_host": "localhost",
    "db_port": 5432,
    "db_user": "postgres",
    "db_name": "qscrap_db",
    "db_pool_max": 20,
    "db_pool_min": 5,
    "db_idle_timeout": 30_000,
    "db_connect_timeout": 5_000,
    "db_statement_timeout": 30_000,
    "db_read_replica_host": None,
    "db_read_replica_port": 5432,
    "db_read_pool_max": 30,
    "redis_url": None,
    "session_secret": None,
    "jwt_secret": None,
    "cookie_domain": None,
    "shard_map": None,
}


def faults_of(**values: str) -> dict[str, str]:
    """The variables that settings refuse, each with what is said about it."""
    with pytest.raises(Invalid) as caught:
        Settings.from_environment(values)
    return {fault.field: fault.message for fault in caught.value.fields}


def variables_of_settings() -> set[str]:
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    return {alias for alias in aliases if isinstance(alias, str)} | {
        str(choice) for alias in aliases if isinstance(alias, AliasChoices) for choice in alias.choices
    }


@pytest.mark.parametrize(("name", "value"), GUIDE_DEFAULTS.items())
def test_without_an_environment_the_guides_defaults_apply(name: str, value: object) -> None:
    assert getattr(Settings.from_environment({}), name) == value


def test_each_variable_of_the_guide_is_honoured_in_the_guides_unit() -> None:
    settings = Settings.from_environment(
        {
            "NODE_ENV": "staging",
            "PORT": "3005",
            "DB_HOST": "db",
            "DB_PORT": "6000",
            "DB_USER": "app",
            "DB_PASSWORD": "pw",
            "DB_NAME": "shop",
            "DB_POOL_MAX": "40",
            "DB_POOL_MIN": "10",
            "DB_IDLE_TIMEOUT": "31000",
            "DB_CONNECT_TIMEOUT": "6000",
            "DB_STATEMENT_TIMEOUT": "32000",
            "DB_READ_REPLICA_HOST": "replica",
            "DB_READ_REPLICA_PORT": "6001",
            "DB_READ_POOL_MAX": "50",
            "COOKIE_DOMAIN": ".qscrap.qa",
        }
    )
    pool = settings.database
    assert (pool.pool_max, pool.pool_min, pool.read_pool_max) == (40, 10, 50)
    assert (pool.idle_timeout_ms, pool.connect_timeout_ms, pool.statement_timeout_ms) == (31_000, 6_000, 32_000)
    assert (settings.environment, settings.port) == ("staging", 3005)
    assert (settings.db_host, settings.db_port, settings.db_user, settings.db_name) == ("db", 6000, "app", "shop")
    assert (settings.db_read_replica_host, settings.db_read_replica_port) == ("replica", 6001)
    assert (settings.db_password.get_secret_value(), settings.cookie_domain) == ("pw", ".qscrap.qa")


def test_the_guides_own_env_file_is_read_with_its_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DB_POOL_MAX", raising=False)
    (tmp_path / ".env").write_text("DB_POOL_MAX=25              # Max connections (increase on 16GB+ RAM)\n")
    assert Settings.from_environment(environment(tmp_path)).db_pool_max == 25


def test_the_environment_wins_over_the_env_file_and_empty_means_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PORT=3100\nDB_PORT=\nDB_NAME=from_file\nDB_USER=\n")
    monkeypatch.setenv("PORT", "3200")
    monkeypatch.setenv("DB_USER", "")
    for name in ("DB_NAME", "DB_PORT"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings.from_environment(environment(tmp_path))
    assert (settings.port, settings.db_port, settings.db_name, settings.db_user) == (
        3200,
        5432,
        "from_file",
        "postgres",
    )


def test_every_wrong_value_is_named_at_once() -> None:
    wrong = {
        "PORT": "70000",
        "DB_PORT": "five",
        "DB_POOL_MAX": "0",
        "DB_STATEMENT_TIMEOUT": "-1",
        "REQUEST_TIMEOUT": "0",
        "LOG_LEVEL": "loud",
        "MIGRATE_ON_START": "perhaps",
    }
    assert set(faults_of(**wrong)) == set(wrong)


def test_values_that_contradict_each_other_or_cannot_be_used_are_named() -> None:
    faults = faults_of(DB_POOL_MAX="4", DB_POOL_MIN="5", TRUSTED_PROXIES="10.0.0.0/8, here", REDIS_URL="http://redis")
    assert set(faults) == {"DB_POOL_MIN", "TRUSTED_PROXIES", "REDIS_URL"}
    assert "'here'" in faults["TRUSTED_PROXIES"]


def test_a_name_of_our_own_fields_is_no_variable() -> None:
    assert Settings.from_environment({"host": "elsewhere", "environment": "production"}).environment == "development"


@pytest.mark.parametrize(("text", "value"), [("on", True), ("off", False), ("true", True), ("0", False)])
def test_a_switch_is_said_in_words_or_figures(text: str, value: bool) -> None:
    assert Settings.from_environment({"MIGRATE_ON_START": text}).migrate_on_start is value


def test_production_needs_good_secrets_and_development_none() -> None:
    assert set(faults_of(NODE_ENV="production")) == {"JWT_SECRET", "SESSION_SECRET"}
    short = faults_of(NODE_ENV="production", JWT_SECRET=LONG[1:], SESSION_SECRET=LONG)
    assert set(short) == {"JWT_SECRET"}
    assert LONG[1:] not in short["JWT_SECRET"]
    assert Settings.from_environment({"NODE_ENV": "production", "JWT_SECRET": LONG, "SESSION_SECRET": LONG})
    assert Settings.from_environment({"NODE_ENV": "development"})


def test_a_secret_is_in_no_repr_and_no_dump() -> None:
    settings = Settings.from_environment(SECRETS)
    shown = f"{settings!r} {settings} {settings.model_dump_json()}"
    assert [name for name, secret in SECRETS.items() if secret in shown or "pw-of" in shown] == []


def test_the_current_secret_comes_first_and_a_made_up_one_only_without_any() -> None:
    settings = Settings.from_environment(SECRETS)
    both = secrets_of(settings.jwt_secret, settings.jwt_secret_previous, fallback="made up")
    assert both == [SECRETS["JWT_SECRET"].encode(), SECRETS["JWT_SECRET_PREVIOUS"].encode()]
    assert secrets_of(None, None, fallback="made up") == [b"made up"]


def test_the_example_names_every_variable_of_the_guide_and_every_one_of_ours() -> None:
    lines = [line.removeprefix("# ") for line in EXAMPLE.read_text().splitlines()]
    named = {line.partition("=")[0] for line in lines if "=" in line}
    assert sorted({*" ".join(GUIDE).split(), *variables_of_settings()} - {"PATH"} - named) == []


def test_the_example_as_it_stands_changes_nothing() -> None:
    values = {name: value for name, value in dotenv_values(EXAMPLE).items() if value}
    assert Settings.from_environment(values) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"RATE_LIMIT_USER": "600 a minute"}, "as in 600/60s"),
        ({"RATE_LIMIT_ADDRESS": "0/60s"}, "between 1 and"),
        ({"RATE_LIMIT_CREDENTIALS": "5/0s"}, "over 1 to"),
        ({"RATE_LIMITS": "sometimes"}, "valid boolean"),
        ({"CORS_ORIGINS": "app.example"}, "'app.example' is no origin"),
        ({"JWT_PRIVATE_KEY": "a-secret"}, "PEM"),
        ({"JWT_PRIVATE_KEY_FILE": "/no/such/file"}, "cannot be read"),
        ({"JWT_PUBLIC_KEYS": "a-secret"}, "public keys in PEM"),
        ({"JWT_JWKS_URL": "https://login.example/jwks", "JWT_ISSUER": "x"}, None),
    ],
)
def test_settings_of_access_that_cannot_be_meant_are_named(values: dict[str, str], said: str | None) -> None:
    faults = faults_of(**values)
    assert set(faults) == ({"JWT_AUDIENCE"} if said is None else set(values))
    assert all((said or "") in message and "a-secret" not in message for message in faults.values())


def test_in_production_origins_are_named_and_keys_are_fetched_by_https() -> None:
    secrets = {"NODE_ENV": "production", "JWT_SECRET": LONG, "SESSION_SECRET": LONG}
    issuer = {"JWT_JWKS_URL": "http://login.example/jwks", "JWT_ISSUER": "x", "JWT_AUDIENCE": "y"}
    assert set(faults_of(**secrets, **issuer, CORS_ORIGINS="*")) == {"JWT_JWKS_URL", "CORS_ORIGINS"}
    assert Settings.from_environment({**issuer, "CORS_ORIGINS": "*"}).issuer is not None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"EDGE_URLS": "https://edge.example"}, "EDGE_PURGE_TOKEN"),
        ({"EDGE_URLS": "edge.example", "EDGE_PURGE_TOKEN": LONG}, "EDGE_URLS"),
        ({"EDGE_URLS": "https://edge.example, " * 65, "EDGE_PURGE_TOKEN": LONG}, "EDGE_URLS"),
        ({"ASSETS_FOLDER": "/no/such/folder"}, "ASSETS_FOLDER"),
        ({"ASSETS_FOLDER": str(EXAMPLE)}, "ASSETS_FOLDER"),
    ],
)
def test_settings_of_the_edge_that_cannot_be_meant_are_named(values: dict[str, str], named: str) -> None:
    assert set(faults_of(**values)) == {named}


def test_edges_are_listed_with_commas() -> None:
    given = {"EDGE_URLS": " https://a.example ,http://127.0.0.1:8080,", "EDGE_PURGE_TOKEN": LONG}
    assert Settings.from_environment(given).edges == ["https://a.example", "http://127.0.0.1:8080"]
    secrets = {"NODE_ENV": "production", "JWT_SECRET": LONG, "SESSION_SECRET": LONG}
    assert set(faults_of(**secrets, **{**given, "EDGE_PURGE_TOKEN": "short"})) == {"EDGE_PURGE_TOKEN"}


def test_limits_are_on_with_defaults_until_they_are_switched_off() -> None:
    policies = Settings.from_environment({}).policies
    assert policies is not None
    assert (policies.user.count, policies.address.count, policies.credentials.count) == (600, 1200, 20)
    assert Settings.from_environment({"RATE_LIMITS": "off"}).policies is None
