"""One way in for files of any kind, into datasets of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storekeeper.catalog import Catalog
from storekeeper.errors import InputError
from storekeeper.ingest.documents.ingest_documents import ingest_documents
from storekeeper.ingest.options import Options
from storekeeper.ingest.progress import Ingested, Progress
from storekeeper.ingest.readers.files import Source
from storekeeper.ingest.rows.destinations import table_of
from storekeeper.ingest.rows.ingest_rows import ingest_rows
from storekeeper.platform import Platform, StoreName


def ingest(
    platform: Platform,
    dataset: str,
    sources: Sequence[Source],
    options: Options,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Ingested:
    """Puts files, or what comes through a pipe, into a hypertable, a table or a collection.

    Several sources are one unit, of rows: all in one transaction, a version decides among all of them. Documents come
    from one source at a time. Rows that break a rule are rejects; errors are those of ingest_rows and ingest_documents.
    """
    if not sources:
        raise InputError("no file is named", operation="ingest into", target=dataset)
    if not _is_collection(platform.catalog, dataset):
        return ingest_rows(platform, dataset, sources, options, progress=progress)
    if len(sources) > 1:
        raise InputError("documents come from one file at a time", operation="ingest into", target=dataset)
    return ingest_documents(platform, dataset, sources[0], options, progress=progress)


def stores_of(catalog: Catalog, dataset: str) -> tuple[StoreName, ...]:
    """The stores that have to be open: that of the dataset, and that which knows its files. Raises DeclarationError."""
    if _is_collection(catalog, dataset):
        return ("mongo", "postgres")
    table = table_of(catalog, dataset)
    return ("timescale",) if any(table is hypertable.table for hypertable in catalog.hypertables) else ("postgres",)


def _is_collection(catalog: Catalog, dataset: str) -> bool:
    return any(f"{domain.name}.{collection.name}" == dataset for domain, collection in catalog.collections)
