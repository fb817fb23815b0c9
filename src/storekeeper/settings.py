"""What an installation is told: URLs, pools, time-outs, folders. Nothing is read until `load()` is called.

Precedence, highest first: arguments, environment (STOREKEEPER_…), `.env`, `storekeeper.toml`, `[tool.storekeeper]` of
`pyproject.toml`. Which stack runs in a directory is not a setting: the platform looks that up where no URL is given.
"""

from __future__ import annotations

import os
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from storekeeper.errors import SettingsError

DEFAULT_DIRECTORY = Path(".storekeeper")
DEFAULT_CATALOG = "storekeeper.domains:CATALOG"


S = TypeVar("S", bound="Settings")


class SqlPool(BaseModel):
    """The pool of one SQL store and role, per process; the numbers are the data contract's connection standards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: int = Field(5, ge=0, description="connections opened at start")
    size: int = Field(20, ge=1, description="connections kept")
    overflow: int = Field(5, ge=0, description="further connections under load")
    recycle: float = Field(3600, gt=0, description="seconds after which a connection is replaced")
    idle_check: float = Field(
        30, ge=0, description="seconds of idleness after which a connection is checked before use"
    )
    wait: float = Field(10, gt=0, description="seconds that a caller waits for a connection")


class ClientPool(BaseModel):
    """The pool of a MongoDB or Redis client."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: int = Field(5, ge=0)
    size: int = Field(20, ge=1)
    connect: float = Field(5, gt=0, description="seconds to connect")
    operation: float = Field(30, gt=0, description="seconds for an operation")


class S3(BaseModel):
    """How an S3 is reached. What is absent is taken from the environment, as S3 clients do (AWS_ACCESS_KEY_ID,
    AWS_ENDPOINT_URL, a machine's role, …)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = Field(None, description="URL of the service, where it is not Amazon's")
    region: str | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    allow_http: bool = Field(False, description="whether the endpoint may be http://")


class Settings(BaseSettings):
    """Everything that an installation can be told. Field names are the names in storekeeper.toml; STOREKEEPER_ plus the
    upper-cased name is the environment's, two underscores standing for a dot (STOREKEEPER_POOL__SIZE)."""

    model_config = SettingsConfigDict(
        env_prefix="STOREKEEPER_",
        env_nested_delimiter="__",
        extra="ignore",
        env_file_encoding="utf-8",
        toml_file="storekeeper.toml",
        pyproject_toml_table_header=("tool", "storekeeper"),
        validate_default=True,
    )

    directory: Path = Field(DEFAULT_DIRECTORY, description="of the embedded stack")
    catalog: str = Field(DEFAULT_CATALOG, description="module:NAME of the catalogue")
    domains: tuple[str, ...] | None = Field(
        None, description="names of the catalogue's domains to use; all where absent"
    )

    postgres_url: SecretStr | None = Field(None, description="of the role app, as which services log in")
    postgres_owner_url: SecretStr | None = Field(
        None, description="of the role that owns the tables: migrations; postgres_url where absent, as of the next two"
    )
    postgres_jobs_url: SecretStr | None = Field(None, description="of the role of jobs, ingest and backups")
    postgres_analyst_url: SecretStr | None = Field(None, description="of the role that reads, but nothing personal")
    postgres_direct_url: SecretStr | None = Field(
        None, description="past a transaction-mode pooler; postgres_url where absent"
    )
    timescale_url: SecretStr | None = None
    timescale_owner_url: SecretStr | None = Field(
        None, description="timescale_url where absent, as of the next two; postgres' own where that is absent too"
    )
    timescale_jobs_url: SecretStr | None = None
    timescale_analyst_url: SecretStr | None = None
    mongo_url: SecretStr | None = None
    redis_url: SecretStr | None = None

    postgres_host: str | None = None
    postgres_port: int | None = Field(None, ge=1, le=65535)
    postgres_user: str | None = None
    postgres_password: SecretStr | None = None
    postgres_database: str | None = None
    timescale_host: str | None = None
    timescale_port: int | None = Field(None, ge=1, le=65535)
    timescale_user: str | None = None
    timescale_password: SecretStr | None = None
    timescale_database: str | None = None
    mongo_host: str | None = None
    mongo_port: int | None = Field(None, ge=1, le=65535)
    mongo_user: str | None = None
    mongo_password: SecretStr | None = None
    mongo_database: str = Field("storekeeper", description="prefix of the databases, one a domain: storekeeper_invest")
    redis_host: str | None = None
    redis_port: int | None = Field(None, ge=1, le=65535)
    redis_user: str | None = None
    redis_password: SecretStr | None = None
    redis_database: int | None = None
    redis_prefix: str = Field("", description="set before every key, where a server is shared")

    engine: str | None = Field(None, pattern="^(partitions|hypertables)$", description="forces the time-series engine")
    prepared_statements: bool = Field(True, description="off behind a transaction-mode pooler")
    pool: SqlPool = SqlPool()
    timescale_pool: SqlPool | None = Field(None, description="`pool` where absent")
    mongo_pool: ClientPool = ClientPool()
    redis_pool: ClientPool = ClientPool()
    connect_timeout: float = Field(5, gt=0, description="seconds to connect to a SQL store")
    transaction_timeout: float = Field(
        30, gt=0, description="seconds after which a transaction of a service is cut off"
    )
    slow_query: float = Field(1.0, gt=0, description="seconds above which a query is reported with its plan")
    close_deadline: float = Field(10, gt=0, description="seconds that close() waits for running work")

    backups: Path | None = Field(None, description="repository of the backups; DIRECTORY/backups where absent")
    archive: Path | str | None = Field(
        None,
        description="where archived rows are kept, a folder or s3://BUCKET/PREFIX; DIRECTORY/archive of a running "
        "stack where absent",
    )
    s3: S3 = S3()

    keyring: Path | None = Field(None, description="file of the key ring; DIRECTORY/keyring.sqlite where absent")
    keyring_url: SecretStr | None = Field(
        None, description="a PostgreSQL for the key ring instead, which no store is in: for many machines"
    )
    master_key: SecretStr | None = Field(
        None, description="wraps the keys of the key ring: base64 of 32 bytes; of a running stack its own where absent"
    )
    previous_master_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="those before it, as long as keys are wrapped by them; in the environment comma-separated"
    )

    _where: ClassVar[tuple[Path | None, ...]] = (None,)

    @classmethod
    def load(cls, root: Path | None = None, /, **overrides: Any) -> Self:
        """Reads the settings of the folder `root` (the current one by default). Arguments that are None are left out.

        Raises SettingsError, which names every invalid setting at once.
        """
        folder = root if root is not None else Path.cwd()
        given = {name: value for name, value in overrides.items() if value is not None}
        unknown = sorted(set(given) - set(cls.model_fields))
        if unknown:
            raise SettingsError(f"no such setting: {', '.join(unknown)}", operation="read settings")
        _refuse_unknown(cls, os.environ)
        located = _at(cls, folder)
        try:
            return located(**given)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors()]
            raise SettingsError(
                "; ".join(lines),
                operation="read settings",
                target=str(folder),
                hint="read are STOREKEEPER_… variables, .env, storekeeper.toml, [tool.storekeeper] of pyproject.toml",
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                str(error), operation="read settings", target=str(folder / ".env"), hint="it is to be text, UTF-8"
            ) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        folder = cls._where[0]
        if folder is None:
            return init_settings, env_settings
        return (
            init_settings,
            env_settings,
            dotenv_settings,
            _read(TomlConfigSettingsSource, settings_cls, folder / "storekeeper.toml"),
            _read(PyprojectTomlConfigSettingsSource, settings_cls, folder / "pyproject.toml"),
        )

    @field_validator("archive", mode="before")
    @classmethod
    def _is_place(cls, given: object) -> object:
        if isinstance(given, str) and not given.startswith("s3://"):
            return Path(given)
        if isinstance(given, str) and not given.removeprefix("s3://").partition("/")[0]:
            raise ValueError("names no bucket: s3://BUCKET/PREFIX")
        return given

    @field_validator("previous_master_keys", mode="before")
    @classmethod
    def _apart(cls, given: object) -> object:
        return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given

    @field_validator("master_key", "previous_master_keys")
    @classmethod
    def _are_keys(cls, given: SecretStr | tuple[SecretStr, ...] | None) -> SecretStr | tuple[SecretStr, ...] | None:
        for key in given if isinstance(given, tuple) else filter(None, (given,)):
            key_bytes(key.get_secret_value())
        return given

    @model_validator(mode="after")
    def _assemble(self) -> Self:
        for store, scheme in (
            ("postgres", "postgresql"),
            ("timescale", "postgresql"),
            ("mongo", "mongodb"),
            ("redis", "redis"),
        ):
            host = getattr(self, f"{store}_host")
            if host is None:
                # a password alone may be meant for another program that reads the same file
                parts = [part for part in ("port", "user") if getattr(self, f"{store}_{part}") is not None]
                if parts and getattr(self, f"{store}_url") is None:
                    raise ValueError(f"{store}_{parts[0]} is given without {store}_host")
                continue
            if getattr(self, f"{store}_url") is not None:
                raise ValueError(f"{store}_url and {store}_host are both given: which is meant?")
            object.__setattr__(self, f"{store}_url", SecretStr(self._url_of(store, scheme, host)))
        return self

    def _url_of(self, store: str, scheme: str, host: str) -> str:
        password = getattr(self, f"{store}_password")
        user = getattr(self, f"{store}_user")
        port = getattr(self, f"{store}_port")
        database = getattr(self, f"{store}_database")
        credentials = quote(user or "", safe="")
        if password is not None:
            credentials += f":{quote(password.get_secret_value(), safe='')}"
        credentials += "@" if credentials else ""
        if host.startswith("/"):  # a unix socket: of PostgreSQL its directory, of the others its file
            if scheme == "redis":
                return f"unix://{credentials}{host}?db={database or 0}"
            if scheme == "mongodb":
                return f"mongodb://{credentials}{quote(host, safe='')}/"
            port_part = f"&port={port}" if port else ""
            return f"postgresql://{credentials}/{database or 'storekeeper'}?host={quote(host, safe='')}{port_part}"
        address = f"[{host}]" if ":" in host else host
        address += f":{port}" if port else ""
        if scheme == "mongodb":
            return f"mongodb://{credentials}{address}/"
        default = "storekeeper" if scheme == "postgresql" else 0
        return f"{scheme}://{credentials}{address}/{default if database is None else database}"


def _at(cls: type[S], folder: Path) -> type[S]:
    """The settings class bound to one folder's files; pydantic-settings takes them by class, not by call."""
    return type(
        cls.__name__,
        (cls,),
        {
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
            "__annotations__": {"_where": ClassVar[tuple[Path | None, ...]]},
            "_where": (folder,),
            "model_config": SettingsConfigDict(env_file=folder / ".env"),
        },
    )


def _read(kind: type[TomlConfigSettingsSource], cls: type[BaseSettings], path: Path) -> TomlConfigSettingsSource:
    """A file's settings. A name that is none would otherwise be passed over, and with it what it was to say."""
    try:
        source = kind(cls, path)
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(error), operation="read settings", target=str(path), hint="it is to be TOML") from error
    unknown = [name for name in source.toml_data if name not in cls.model_fields]
    if unknown:
        close = [match for name in unknown for match in get_close_matches(name, cls.model_fields, n=1)]
        raise SettingsError(
            f"no such setting: {', '.join(unknown)}",
            operation="read settings",
            target=str(path),
            hint=f"close to it: {', '.join(close)}" if close else f"there are {', '.join(cls.model_fields)}",
        )
    return source


def _refuse_unknown(cls: type[Settings], environment: Mapping[str, str]) -> None:
    """A misspelt variable is an error, as a misspelt line of a file is. STOREKEEPER_TEST_… are the tests' own."""
    for name in sorted(environment):
        setting, _, _ = name.removeprefix("STOREKEEPER_").partition("__")
        if not name.startswith("STOREKEEPER_") or name.startswith("STOREKEEPER_TEST_"):
            continue
        if setting.lower() not in cls.model_fields:
            close = get_close_matches(setting.lower(), cls.model_fields, n=1)
            raise SettingsError(
                "no such setting",
                operation="read settings",
                target=name,
                hint=f"is STOREKEEPER_{close[0].upper()} meant?"
                if close
                else "unset it, or see the README for the names",
            )


def key_bytes(text: str) -> bytes:
    """The 32 bytes of a master key, from base64 of either alphabet. Raises ValueError, which does not tell the text."""
    try:
        key = b64decode(text.strip().rstrip("=").replace("-", "+").replace("_", "/") + "=", validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("a master key is base64 of 32 bytes: `openssl rand -base64 32` makes one")
    return key


def without_password(url: str) -> str:
    """The URL as it may be shown: its password, and a password among its parameters, replaced by ***."""
    parts = urlsplit(url)
    netloc = parts.netloc
    if "@" in netloc:
        credentials, _, address = netloc.rpartition("@")
        user, colon, _ = credentials.partition(":")
        netloc = f"{user}{':***' if colon else ''}@{address}"
    query = urlencode(
        [(key, "***" if key == "password" else value) for key, value in parse_qsl(parts.query)], safe="*/"
    )
    return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))
