"""Arguments and configuration of the servers."""

from __future__ import annotations

from pathlib import Path

from storekeeper.servers import recipes


def test_no_password_is_on_a_command_line_or_in_redis_files() -> None:
    password = "correct-horse"
    argv = recipes.initdb_argv(Path("initdb"), Path("data"), Path("file"))
    argv += recipes.postgres_argv(Path("postgres"), Path("data"), Path("sockets"))
    argv += recipes.redis_argv(Path("valkey-server"), Path("redis.conf"))
    argv += recipes.mongo_argv(Path("secantusd-py"), conf=Path("c"), data=Path("d"), port=0, auth=True)
    assert not [argument for argument in argv if "password=" in argument or password in argument]
    assert password not in recipes.redis_acl("", password)


def test_the_acl_file_keeps_other_users_and_replaces_our_own_line() -> None:
    first = recipes.redis_acl("", "one")
    second = recipes.redis_acl(first + "user backup on #00 +psync\n", "two")
    assert second.count("user default ") == 1
    assert "user backup on #00 +psync\n" in second
    assert recipes.redis_acl(second, "two") == second


def test_our_settings_come_before_the_users_so_that_the_users_win() -> None:
    once = recipes.with_include("shared_buffers = 1GB\n", "storekeeper.conf")
    assert once.splitlines() == ["include_if_exists = 'storekeeper.conf'", "shared_buffers = 1GB"]
    assert recipes.with_include(once, "storekeeper.conf") == once


def test_paths_with_spaces_and_quotes_reach_redis_whole() -> None:
    conf = recipes.redis_conf(data=Path('/a b/"c"'), socket=Path("/s"), acl_file=Path("/acl"))
    assert 'dir "/a b/\\"c\\""\n' in conf


def test_a_server_inherits_no_settings_and_no_secrets() -> None:
    inherited = {
        "PATH": "/bin",
        "PGPORT": "1",
        "STOREKEEPER_MASTER_KEY": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "LC_ALL": "de_DE",
        "FAKETIME": "+1d",
    }
    environment = recipes.server_environment(inherited, Path("/stack"))
    assert environment == {"PATH": "/bin", "FAKETIME": "+1d", "HOME": "/stack", "LANG": "C.UTF-8", "TZ": "UTC"}
