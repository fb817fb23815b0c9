"""The official images instead of the embedded stack: for `make test-docker`, by testcontainers.

STOREKEEPER_TEST_DOCKER names the image that the SQL stores live on: `postgres`, or `timescale`, which serves the
suite of both time-series engines: plain partitions in databases without the extension.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg

from storekeeper.servers import StackUrls
from storekeeper.servers.recipes import USER
from storekeeper.servers.roles import ROLES, make_roles, role_name

IMAGES = {"postgres": "postgres:17.6-bookworm", "timescale": "timescale/timescaledb:2.22.1-pg17"}


@dataclass(frozen=True)
class ContainerServers:
    """What the tests take of a stack: its URLs."""

    urls: StackUrls


@contextmanager
def container_servers(image: str) -> Iterator[ContainerServers]:
    """PostgreSQL, Valkey and MongoDB in containers, gone with the block."""
    from testcontainers.mongodb import MongoDbContainer
    from testcontainers.postgres import PostgresContainer
    from testcontainers.redis import RedisContainer

    with ExitStack() as running:
        postgres = running.enter_context(
            PostgresContainer(IMAGES[image], username="storekeeper", dbname="storekeeper", driver=None).with_command(
                "postgres -c wal_level=replica -c summarize_wal=on -c max_connections=200"
                + (" -c shared_preload_libraries=timescaledb" if image == "timescale" else "")
            )
        )
        redis = running.enter_context(RedisContainer("valkey/valkey:8.1.3-bookworm", password="only-for-tests"))
        mongo = running.enter_context(MongoDbContainer("mongo:8.0.13"))
        address = f"{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}"
        administrator = postgres.get_connection_url()
        passwords = {role: secrets.token_hex(16) for role in ROLES}
        with psycopg.connect(administrator) as connection:
            make_roles(connection, USER, passwords)
        yield ContainerServers(
            StackUrls(
                {
                    "postgres": administrator,
                    "redis": f"redis://:only-for-tests@{address}/0",
                    "mongo": mongo.get_connection_url(),
                },
                {role: _logged_in_as(administrator, role_name(USER, role), passwords[role]) for role in ROLES},
            )
        )


def _logged_in_as(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
