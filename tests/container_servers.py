"""The official images instead of the embedded stack: for `make test-docker`, by testcontainers.

STOREKEEPER_TEST_DOCKER names the image that the SQL stores live on: `postgres`, or `timescale` (partitions beside the
extension).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from storekeeper.servers import StackUrls

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
        yield ContainerServers(
            StackUrls(
                {
                    "postgres": postgres.get_connection_url(),
                    "redis": f"redis://:only-for-tests@{address}/0",
                    "mongo": mongo.get_connection_url(),
                }
            )
        )
