"""PostgreSQL: what was backed up starts as a server of its own, with every row; what can't be copied is dumped."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from restored_servers import as_identity, restored_postgres, running_postgres
from storekeeper.backups import Repository, Sources, back_up, check_backup, list_backups
from storekeeper.backups.cluster import inspect_cluster
from storekeeper.backups.tools import postgres_tool
from storekeeper.clock import FixedClock, SystemClock
from storekeeper.errors import BackupError, UnavailableError
from storekeeper.servers import RunningStack
from storekeeper.servers.binaries import Program, find_program
from storekeeper.servers.identity import give, postgres_identity

AS_OF = datetime(2014, 6, 8, 2, tzinfo=UTC)
ROWS = 5000


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "backups")


@pytest.fixture
def filled_url(postgres_url: str) -> str:
    """A database with a table of ROWS rows."""
    fill(postgres_url)
    return postgres_url


def fill(url: str, tablespace: str = "pg_default") -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "CREATE TABLE public.bars TABLESPACE {} AS SELECT n, n * 0.5 AS price FROM generate_series(1, {}) AS n"
            ).format(sql.Identifier(tablespace), sql.Literal(ROWS))
        )


def rows(url: str) -> tuple[int, int]:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*), sum(n) FROM public.bars").fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


EVERY_ROW = (ROWS, ROWS * (ROWS + 1) // 2)


@pytest.fixture
def tablespace(stack: RunningStack, tmp_path: Path) -> Iterator[str]:
    """A tablespace in a place of its own."""
    location = tmp_path / "space"
    location.mkdir(0o700)
    program = find_program("postgres")
    give(location, postgres_identity(program, needed=(location,)))
    name = f"space_{secrets.token_hex(4)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), sql.Literal(str(location)))
        )
        yield name
        connection.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))


def test_a_base_backup_is_a_server_with_every_row_wherever_it_lay(
    stack: RunningStack, tablespace: str, repository: Repository
) -> None:
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection, ExitStack() as afterwards:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        afterwards.callback(connection.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        url = urlsplit(stack.urls.postgres)._replace(path=f"/{name}").geturl()
        fill(url, tablespace)
        begun = datetime.now(UTC)
        made = back_up(
            "postgres",
            sources=Sources(postgres=url, timescale=stack.urls.timescale),
            repository=repository,
            clock=SystemClock(),
            as_of=AS_OF,
        )
        ended = datetime.now(UTC)

    manifest = check_backup(repository, "postgres", "20140608T020000Z-full")
    assert manifest == made.manifest
    assert manifest.stores == made.stores == ("postgres", "timescale")
    assert (manifest.kind, manifest.parent, manifest.encryption, manifest.state) == ("full", None, None, "checksummed")
    assert manifest.as_of == AS_OF
    assert begun <= manifest.started <= manifest.finished <= ended
    assert 0 < manifest.seconds <= (ended - begun).total_seconds()
    assert manifest.server_version.split(".")[0] == str(inspect_cluster(stack.urls.postgres).major)
    assert set(manifest.tools) == {"pg_basebackup", "pg_verifybackup"}
    assert manifest.position["timeline"] == 1
    assert manifest.position["start_lsn"] < manifest.position["end_lsn"]
    assert [space["name"] for space in manifest.details["tablespaces"]] == [tablespace]
    assert made.bytes == manifest.bytes == sum(file.bytes for file in manifest.files)

    data = repository.path("postgres", made.label) / "data"
    assert not [path for path in data.rglob("*") if path.is_symlink()]
    # the live one's tablespace is gone by now: the copy can't be using it
    assert "allow_in_place_tablespaces" in manifest.notes[0]
    with restored_postgres(data, url, "allow_in_place_tablespaces=on") as restored:
        assert rows(restored) == EVERY_ROW
        assert inspect_cluster(restored).system_identifier == manifest.identity


def test_stores_of_one_cluster_share_a_backup(
    stack: RunningStack, filled_url: str, repository: Repository, clock: FixedClock
) -> None:
    sources = Sources(postgres=stack.urls.postgres, timescale=filled_url)
    first = back_up("timescale", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    assert (first.server, first.stores, first.skipped_reason) == ("postgres", ("postgres", "timescale"), None)
    for store in ("postgres", "timescale"):
        again = back_up(store, sources=sources, repository=repository, clock=clock, as_of=AS_OF)
        assert again.skipped_reason is not None
        assert again.manifest == first.manifest
    assert [found.label for found in list_backups(repository)] == [first.label]


def test_a_neighbour_that_does_not_answer_is_taken_for_another_server(
    stack: RunningStack, repository: Repository, clock: FixedClock, tmp_path: Path
) -> None:
    down = f"postgresql://nobody@/db?host={quote(str(tmp_path), safe='')}"
    sources = Sources(postgres=down, timescale=stack.urls.timescale)
    planned = back_up("timescale", sources=sources, repository=repository, clock=clock, as_of=AS_OF, dry_run=True)
    assert (planned.server, planned.stores) == ("timescale", ("timescale",))
    with pytest.raises(UnavailableError):
        back_up("postgres", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    assert not repository.root.exists()


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    filled_url: str, repository: Repository, clock: FixedClock
) -> None:
    planned = back_up(
        "postgres", sources=Sources(postgres=filled_url), repository=repository, clock=clock, as_of=AS_OF, dry_run=True
    )
    assert planned.dry_run
    assert planned.manifest is None
    assert planned.label == "20140608T020000Z-full"
    assert "pg_basebackup" in planned.detail
    with psycopg.connect(filled_url) as connection:
        row = connection.execute("SELECT sum(pg_database_size(oid)) FROM pg_database").fetchone()
    assert row is not None
    assert planned.bytes == pytest.approx(int(row[0]), rel=0.05)
    assert not repository.root.exists()


@pytest.fixture
def plain_role(stack: RunningStack, filled_url: str) -> Iterator[str]:
    """The URL of filled_url for a role that owns the data and may not replicate."""
    role, password = f"role_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(filled_url, autocommit=True) as connection:
        name = sql.Identifier(role)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password)))
        connection.execute(sql.SQL("ALTER TABLE public.bars OWNER TO {}").format(name))
        parts = urlsplit(filled_url)
        yield parts._replace(netloc=f"{role}:{password}@").geturl()
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(name))
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_role_that_may_not_replicate_gets_a_dump_and_is_told_so(
    stack: RunningStack, plain_role: str, repository: Repository, clock: FixedClock
) -> None:
    sources = Sources(postgres=plain_role)
    made = back_up("postgres", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    manifest = check_backup(repository, "postgres", "20140608T020000Z-dump")
    assert (made.kind, manifest.kind) == ("dump", "dump")
    assert manifest.notes[0].startswith("no point in time: the role role_")
    assert "no point in time" in made.detail
    assert manifest.position == {}
    password = urlsplit(plain_role).password
    assert password
    for path in repository.path("postgres", made.label).rglob("*"):
        assert path.is_dir() or password.encode() not in path.read_bytes(), path
    assert password not in repr((made, sources))

    folder = repository.path("postgres", made.label) / "dump"
    database = urlsplit(plain_role).path[1:]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["globals.sql", f"{database}.pgdump"])
    name = f"test_{secrets.token_hex(4)}"
    restore = postgres_tool("pg_restore", major=15).path
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = urlsplit(stack.urls.postgres)._replace(path=f"/{name}").geturl()
        subprocess.run([restore, "--exit-on-error", f"--dbname={url}", folder / f"{database}.pgdump"], check=True)
        assert rows(url) == EVERY_ROW
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_dump_that_fails_leaves_nothing_and_says_why(
    filled_url: str, plain_role: str, repository: Repository, clock: FixedClock
) -> None:
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.secret (n int)")
    with pytest.raises(BackupError, match="permission denied for table secret"):
        back_up("postgres", sources=Sources(postgres=plain_role), repository=repository, clock=clock, as_of=AS_OF)
    assert repository.labels("postgres") == repository.leftovers("postgres") == ()


def test_an_older_server_is_backed_up_by_newer_tools(repository: Repository, clock: FixedClock, tmp_path: Path) -> None:
    installed = Path("/usr/lib/postgresql/15/bin")
    if not (installed / "postgres").is_file():
        pytest.skip("PostgreSQL 15 is not installed: NOT RUN is the backup of an older server by newer tools")
    program = Program("postgres", installed / "postgres", "postgresql", "15")
    # short, for the path of its socket
    home = Path("/tmp") / f"storekeeper-15-{secrets.token_hex(4)}"
    try:
        for folder in (home, home / "s"):
            folder.mkdir(0o700)
        identity = postgres_identity(program, needed=(home,))
        give(home, identity)
        (home / "pw").write_text("secret")
        initdb = [str(installed / "initdb"), "-D", str(home / "data"), "-U", "owner", f"--pwfile={home / 'pw'}", "-N"]
        subprocess.run(as_identity(identity, *initdb, "-A", "scram-sha-256"), check=True, capture_output=True, cwd="/")
        url = f"postgresql://owner:secret@/postgres?host={quote(str(home / 's'), safe='')}"
        with running_postgres(home / "data", home / "s", program, url):
            fill(url)
            made = back_up("postgres", sources=Sources(postgres=url), repository=repository, clock=clock, as_of=AS_OF)
        assert made.manifest is not None
        assert made.manifest.server_version.startswith("15")
        newest = find_program("postgres").version.split(".")[0]
        assert made.manifest.tools["pg_basebackup"].split(".")[0] == newest
        with restored_postgres(repository.path("postgres", made.label) / "data", url, program=program) as restored:
            assert rows(restored) == EVERY_ROW
    finally:
        shutil.rmtree(home, ignore_errors=True)
