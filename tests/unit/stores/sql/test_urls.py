"""URLs of the SQL stores."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from storekeeper.errors import SettingsError
from storekeeper.settings import SqlPool
from storekeeper.stores.sql.urls import pool_parameters, psycopg_dsn, same_pool, sqlalchemy_url

SOCKET = "postgresql://app:p%40ss@/storekeeper?host=/run/pg&port=5544"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_gives_the_driver(scheme: str) -> None:
    assert sqlalchemy_url(f"{scheme}://app@db/storekeeper").drivername == "postgresql+psycopg"


def test_parameters_of_the_pool_are_ours_and_the_rest_is_the_drivers() -> None:
    url = "postgresql://app@db/storekeeper?pool_size=50&pool_min=1&pool_overflow=0&pool_recycle=60&sslmode=require"
    assert dict(sqlalchemy_url(url).query) == {"sslmode": "require"}
    pool = pool_parameters(url, SqlPool())
    assert (pool.min, pool.size, pool.overflow, pool.recycle) == (1, 50, 0, 60)
    assert (pool.idle_check, pool.wait) == (30, 10)


def test_without_parameters_the_pool_is_the_defaults() -> None:
    pool = pool_parameters("postgresql://db/x", SqlPool())
    assert (pool.min, pool.size, pool.overflow, pool.recycle, pool.idle_check, pool.wait) == (5, 20, 5, 3600, 30, 10)


def test_a_smaller_pool_opens_no_more_than_it_keeps() -> None:
    assert pool_parameters("postgresql://db/x?pool_size=2", SqlPool()).min == 2


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://db/x?pool_size=many", "pool_size"),
        ("postgresql://db/x?pool_overflow=-1", "pool_overflow"),
        ("postgresql://db/x?pool_timeout=3", "pool_timeout"),
        ("mysql://db/x", "mysql"),
        ("postgresql+asyncpg://db/x", "asyncpg"),
        ("not a url", "URL"),
        ("postgresql://u:secret@db:port/x", "URL"),
    ],
)
def test_a_wrong_url_is_a_settings_error_that_keeps_the_password(url: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        pool_parameters(url, SqlPool())
    assert named in str(caught.value)
    assert "secret" not in str(caught.value)


def test_libpq_gets_the_same_server() -> None:
    assert conninfo_to_dict(psycopg_dsn(SOCKET + "&pool_size=3")) == {
        "host": "/run/pg",
        "port": "5544",
        "user": "app",
        "password": "p@ss",
        "dbname": "storekeeper",
    }
    several = conninfo_to_dict(psycopg_dsn("postgresql://app@/x?host=a:1&host=b:2&target_session_attrs=primary"))
    assert (several["host"], several["port"]) == ("a,b", "1,2")


def test_one_pool_serves_the_same_server_database_and_role() -> None:
    assert same_pool("postgresql://app@db/x", "postgres://app:pw@db:5432/x?pool_size=3")
    assert same_pool(SOCKET, "postgresql://app:p%40ss@/storekeeper?port=5544&host=/run/pg")
    for other in (
        "postgresql://app@db2/x",
        "postgresql://app@db/y",
        "postgresql://jobs@db/x",
        "postgresql://app@db:1/x",
    ):
        assert not same_pool("postgresql://app@db/x", other)
    assert not same_pool("postgresql://app:one@db/x", "postgresql://app:two@db/x")
