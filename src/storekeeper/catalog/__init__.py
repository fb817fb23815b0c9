"""What may be declared: frozen values that check themselves when made, and do no I/O."""

from storekeeper.catalog.backup import BackupPolicy, StoreName
from storekeeper.catalog.catalog import Catalog, declaration_digest, load_catalog
from storekeeper.catalog.documents import Collection, DocumentIndex
from storekeeper.catalog.domain import Domain
from storekeeper.catalog.effects import Effect
from storekeeper.catalog.hypertable import Hypertable
from storekeeper.catalog.jobs import DomainJob
from storekeeper.catalog.keys import Keyspace, RateLimit
from storekeeper.catalog.log_levels import LOG_LEVELS
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.catalog.protection import Protection
from storekeeper.catalog.quality import Flag
from storekeeper.catalog.ranges import Range
from storekeeper.catalog.rollup import Aggregate, Measure, Rollup, ohlcv
from storekeeper.catalog.tables import Monthly, TableLifecycle, Yearly
from storekeeper.catalog.typed_json import JsonModel, TypedJson, plain_type
from storekeeper.catalog.views import MaterializedView

__all__ = [
    "LOG_LEVELS",
    "NAMING_CONVENTION",
    "Aggregate",
    "BackupPolicy",
    "Catalog",
    "Collection",
    "DocumentIndex",
    "Domain",
    "DomainJob",
    "Effect",
    "Flag",
    "Hypertable",
    "JsonModel",
    "Keyspace",
    "MaterializedView",
    "Measure",
    "Monthly",
    "Protection",
    "Range",
    "RateLimit",
    "Rollup",
    "StoreName",
    "TableLifecycle",
    "TypedJson",
    "Yearly",
    "declaration_digest",
    "load_catalog",
    "ohlcv",
    "plain_type",
]
