"""Settings that are wrong, and servers that are down, refuse, or are of another kind: said clearly, by every store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from command_line import CommandLine
from own_servers import free_port, http_server

STORES = ("postgres", "timescale", "mongo", "redis")
SCHEMES = {"postgres": "postgresql", "timescale": "postgresql", "mongo": "mongodb", "redis": "redis"}
#: A server that nobody hears of is waited for so long; the default of five seconds is too long for tests.
SOON = {
    "STOREKEEPER_CONNECT_TIMEOUT": "2",
    "STOREKEEPER_MONGO_POOL__CONNECT": "1",
    "STOREKEEPER_REDIS_POOL__CONNECT": "1",
}


@contextmanager
def nobody() -> Iterator[int]:
    """A port on which no server listens."""
    yield free_port()


def url(store: str, port: int) -> str:
    return f"{SCHEMES[store]}://app:s3cret@127.0.0.1:{port}/"


#: A command that needs every store.
ALL_STORES = ("jobs", "run", "rollups", "--dry-run", "--json")


def refused(commands: CommandLine, store: str, address: str, code: int = 3) -> dict[str, str]:
    """The error of a command where one store is elsewhere. It never holds the password."""
    answer = commands(*ALL_STORES, code=code, **SOON, **{f"STOREKEEPER_{store.upper()}_URL": address})
    assert answer.out == ""
    assert "s3cret" not in answer.err
    assert store in answer.error["target"]
    assert answer.error["hint"]
    return answer.error


@pytest.mark.parametrize("store", STORES)
def test_no_server_is_there(unmigrated: CommandLine, store: str) -> None:
    with nobody() as port:
        error = refused(unmigrated, store, url(store, port))
    assert error["error"] == "UnavailableError"
    assert str(port) in error["cause"]


@pytest.mark.parametrize("store", STORES)
def test_a_server_of_another_kind(unmigrated: CommandLine, store: str) -> None:
    """PostgreSQL's own protocol waits for the server to speak: an HTTP server never does."""
    with http_server() as port:
        error = refused(unmigrated, store, url(store, port))
    if SCHEMES[store] == "postgresql":
        assert (error["error"], error["cause"]) == ("UnavailableError", "no PostgreSQL server answered within 2 s")
        assert "PostgreSQL server" in error["hint"]
    else:
        assert (error["error"], error["cause"]) == (
            "WrongServerError",
            "that is a server of another kind: it speaks HTTP",
        )


@pytest.mark.parametrize("store", STORES)
def test_a_wrong_password(unmigrated: CommandLine, store: str) -> None:
    place = "postgres" if store == "timescale" else store
    address = unmigrated.settings[f"STOREKEEPER_{place.upper()}_URL"]
    password = urlsplit(address).password
    assert password
    error = refused(unmigrated, store, address.replace(password, "s3cret"))
    assert error["error"] == "AuthenticationError"
    assert "password" in error["hint"]


@pytest.mark.parametrize(
    ("store", "other"), [("postgres", "redis"), ("timescale", "redis"), ("redis", "postgres"), ("mongo", "postgres")]
)
def test_the_url_of_another_store(unmigrated: CommandLine, store: str, other: str) -> None:
    address = unmigrated.settings[f"STOREKEEPER_{other.upper()}_URL"]
    answer = unmigrated(*ALL_STORES, code=2, **{f"STOREKEEPER_{store.upper()}_URL": address})
    assert answer.error["error"] == "SettingsError"
    assert "URL" in answer.error["cause"]
    assert f"{SCHEMES[store]}://" in answer.error["hint"].lower()
    assert str(urlsplit(address).password) not in answer.err


def test_the_port_of_another_store(unmigrated: CommandLine) -> None:
    port = urlsplit(unmigrated.settings["STOREKEEPER_MONGO_URL"]).port
    assert port
    error = refused(unmigrated, "redis", url("redis", port))
    assert (error["error"], error["cause"]) == (
        "WrongServerError",
        "that is a server of another kind: it speaks MongoDB",
    )


def test_a_database_that_is_not_there(unmigrated: CommandLine) -> None:
    address = unmigrated.settings["STOREKEEPER_POSTGRES_URL"].replace("/test_", "/no_test_")
    answer = unmigrated(*ALL_STORES, code=3, STOREKEEPER_POSTGRES_URL=address)
    assert answer.error["error"] == "DatabaseMissingError"
    assert "storekeeper migrate --create" in answer.error["hint"]


def test_status_tells_of_every_store_when_one_fails(unmigrated: CommandLine) -> None:
    with nobody() as port:
        answer = unmigrated("status", "--json", code=3, **SOON, STOREKEEPER_REDIS_URL=url("redis", port))
    stores = {store["store"]: store for store in answer.json["stores"]}
    assert {name: store["ok"] for name, store in stores.items()} == {name: name != "redis" for name in STORES}
    assert str(port) in stores["redis"]["detail"]
    assert "s3cret" not in answer.out


def test_a_misspelt_variable_and_a_part_without_its_host(unmigrated: CommandLine) -> None:
    answer = unmigrated("jobs", "list", code=2, STOREKEEPER_POSTGRS_URL="x")
    assert answer.err.startswith("error: read settings STOREKEEPER_POSTGRS_URL: no such setting")
    assert "is STOREKEEPER_POSTGRES_URL meant?" in answer.err
    others = {name: value for name, value in unmigrated.settings.items() if "REDIS" not in name}
    answer = CommandLine(unmigrated.folder, others)("jobs", "list", code=2, STOREKEEPER_REDIS_PORT="6379")
    assert "redis_port is given without redis_host" in answer.err


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("storekeeper.toml", "engine = 'magic'\npool = {size = 'x'}", ("engine: ", "pool.size: ")),
        ("storekeeper.toml", "slow_qeury = 2", ("no such setting: slow_qeury", "storekeeper.toml", "slow_query")),
        ("storekeeper.toml", "engine = [oops", ("storekeeper.toml", "line 1")),
        ("pyproject.toml", "[tool.storekeeper]\nslow_query = 'fast'", ("slow_query: ",)),
        (
            "pyproject.toml",
            "[tool.storekeeper]\nctalog = 'x:Y'",
            ("no such setting: ctalog", "pyproject.toml", "catalog"),
        ),
        (".env", "STOREKEEPER_CONNECT_TIMEOUT=-1", ("connect_timeout: ", "greater than 0")),
    ],
)
def test_wrong_settings_in_a_file(unmigrated: CommandLine, file: str, text: str, said: tuple[str, ...]) -> None:
    (unmigrated.folder / file).write_text(text)
    for command in (("status",), ("migrate", "--plan"), ("up", "--detach"), ("jobs", "list")):
        answer = unmigrated(*command, code=2)
        assert answer.err.startswith("error: read settings ")
        for words in said:
            assert words in answer.err
    assert [path.name for path in unmigrated.folder.iterdir()] == [file]


def test_settings_of_other_programs_are_none_of_ours(unmigrated: CommandLine) -> None:
    (unmigrated.folder / "pyproject.toml").write_text("[project]\nname = 'theirs'\n[tool.other]\nengine = 'magic'\n")
    (unmigrated.folder / ".env").write_text("OTHER_ENGINE=magic\n")
    assert "rollups" in unmigrated("jobs", "list").out


def test_wrong_settings_in_the_environment_are_named_all_at_once(unmigrated: CommandLine) -> None:
    wrong = {"STOREKEEPER_POOL__SIZE": "many", "STOREKEEPER_ENGINE": "magic", "STOREKEEPER_POSTGRES_PORT": "x"}
    cause = unmigrated("status", "--json", code=2, **wrong).error["cause"]
    assert [part.partition(":")[0] for part in cause.split("; ")] == ["postgres_port", "engine", "pool.size"]


def test_a_url_and_a_host(unmigrated: CommandLine) -> None:
    answer = unmigrated("status", code=2, STOREKEEPER_POSTGRES_HOST="db.example")
    assert "postgres_url and postgres_host are both given" in answer.err


@pytest.mark.parametrize("place", ["/proc/storekeeper", "file"])
def test_a_directory_that_cannot_be(unmigrated: CommandLine, place: str) -> None:
    (unmigrated.folder / "file").touch()
    answer = unmigrated("up", "--detach", "--dir", place, code=8)
    assert f"error: start a stack in {Path(unmigrated.folder, place)}: " in answer.err
    assert "hint: name a directory" in answer.err


def test_a_directory_in_which_nothing_runs(unmigrated: CommandLine) -> None:
    alone = CommandLine(unmigrated.folder, {})
    answer = alone("status", "--dir", "elsewhere", code=2)
    assert "no stack runs in elsewhere\n hint: run `storekeeper up --detach --dir elsewhere`" in answer.err
    assert list(unmigrated.folder.iterdir()) == []
