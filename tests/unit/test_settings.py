"""Settings: where they come from, which wins, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from storekeeper.errors import SettingsError
from storekeeper.settings import S3, ClientPool, Settings, SqlPool, without_password


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own machine may have settings in its environment."""
    import os

    for name in os.environ:
        if name.startswith("STOREKEEPER_"):
            monkeypatch.delenv(name)


def test_argument_wins_over_environment_over_dotenv_over_toml_over_pyproject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.storekeeper]\nslow_query = 5\nredis_prefix = 'pyproject'\n")
    assert Settings.load(tmp_path).slow_query == 5
    (tmp_path / "storekeeper.toml").write_text("slow_query = 4\n")
    assert Settings.load(tmp_path).slow_query == 4
    (tmp_path / ".env").write_text("STOREKEEPER_SLOW_QUERY=3\n")
    assert Settings.load(tmp_path).slow_query == 3
    monkeypatch.setenv("STOREKEEPER_SLOW_QUERY", "2")
    assert Settings.load(tmp_path).slow_query == 2
    loaded = Settings.load(tmp_path, slow_query=1)
    assert loaded.slow_query == 1
    assert loaded.redis_prefix == "pyproject"


def test_parts_of_pools_are_set_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "storekeeper.toml").write_text("[pool]\nsize = 50\n")
    monkeypatch.setenv("STOREKEEPER_POOL__OVERFLOW", "7")
    pool = Settings.load(tmp_path).pool
    assert (pool.size, pool.overflow, pool.min) == (50, 7, 5)


@pytest.mark.parametrize(
    ("store", "host", "expected"),
    [
        ("postgres", "db", "postgresql://me:p%2Fw%40@db:99/app"),
        ("postgres", "/run/pg", "postgresql://me:p%2Fw%40@/app?host=%2Frun%2Fpg&port=99"),
        ("timescale", "::1", "postgresql://me:p%2Fw%40@[::1]:99/app"),
        ("mongo", "db", "mongodb://me:p%2Fw%40@db:99/"),
        ("redis", "db", "redis://me:p%2Fw%40@db:99/3"),
        ("redis", "/run/r.sock", "unix://me:p%2Fw%40@/run/r.sock?db=3"),
    ],
)
def test_a_url_is_put_together_from_its_parts(tmp_path: Path, store: str, host: str, expected: str) -> None:
    database: dict[str, object] = {"postgres": "app", "timescale": "app", "redis": 3}
    parts: dict[str, object] = {"host": host, "port": 99, "user": "me", "password": "p/w@"}
    given_parts = {f"{store}_{name}": value for name, value in parts.items()}
    if store in database:
        given_parts[f"{store}_database"] = database[store]
    url = getattr(Settings.load(tmp_path, **given_parts), f"{store}_url")
    assert url.get_secret_value() == expected


def test_url_and_host_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="both given"):
        Settings.load(tmp_path, postgres_url="postgresql://a/b", postgres_host="c")


def test_all_bad_settings_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(tmp_path, slow_query="quick", close_deadline=-1)
    assert "slow_query" in str(caught.value)
    assert "close_deadline" in str(caught.value)


def test_a_misspelt_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="postgress_url"):
        Settings.load(tmp_path, postgress_url="x")


def test_a_broken_toml_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "storekeeper.toml").write_text("slow_query = = 4")
    with pytest.raises(SettingsError, match="read settings"):
        Settings.load(tmp_path)


def test_passwords_are_not_in_the_representation(tmp_path: Path) -> None:
    assert "hunter2" not in repr(Settings.load(tmp_path, postgres_url="postgresql://me:hunter2@db/x"))


@given(password=st.text(st.characters(categories=("L", "N")), min_size=4, max_size=20))
def test_a_shown_url_has_no_password(password: str) -> None:
    url = f"postgresql://storekeeper:{password}@localhost/x?password={password}&host=%2Ftmp"
    shown = without_password(url)
    assert shown.count("***") == 2
    assert f":{password}@" not in shown
    assert f"password={password}" not in shown


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    stores, parts = ("postgres", "timescale", "mongo", "redis"), ("url", "host", "port", "user", "password", "database")
    told = {f"{store}_{part}" for store in stores for part in parts}
    for model in (Settings, SqlPool, ClientPool, S3):
        missing = [name for name in model.model_fields if name not in told and f"`{name}`" not in page]
        assert missing == []
