"""status: is it up, is it as declared, how large is it, what ran last and what comes next."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storekeeper.cli.failing import reported
from storekeeper.cli.options import CatalogPath, Directory, Json
from storekeeper.cli.output import briefly, console, emit_json, grouped, size, table
from storekeeper.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: The exit code where a store does not answer, as that of an error of a store's.
FAILING = 3


def status(directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False) -> None:
    """Health of the stores, drift from the catalogue, sizes of the datasets, the last and the next run of each job.

    Exits with 3 where a store does not answer.
    """
    with reported(as_json=as_json):
        from storekeeper.platform import connect
        from storekeeper.settings import Settings

        settings = Settings.load(directory=directory, catalog=catalog)
        found: dict[str, Any] = {"servers": _servers(settings.directory), "stores": _stores(directory, catalog)}
        well = all(store["ok"] for store in found["stores"])
        if well:
            with connect(directory=directory, catalog=catalog, role="jobs") as platform:
                found |= _found(platform)
        if as_json:
            emit_json(found)
        else:
            _show(found)
    if not well:
        raise SystemExit(FAILING)


def _stores(directory: Path | None, catalog: str | None) -> list[dict[str, Any]]:
    """How each store is, asked one by one, so that one that fails does not hide the others.

    Raises SettingsError where none of them has a place.
    """
    from storekeeper.platform import STORES, connect

    found, nowhere = [], []
    for store in STORES:
        try:
            with connect(stores=(store,), directory=directory, catalog=catalog) as platform:
                found += [asdict(health) for health in platform.health()]
        except (SettingsError, StoreError) as error:
            nowhere += [error] if isinstance(error, SettingsError) else []
            found.append({"store": store, "ok": False, "version": "", "detail": error.cause, "seconds": None})
    if len(nowhere) == len(STORES):
        raise nowhere[0]
    return found


def _found(platform: Platform) -> dict[str, Any]:
    """What is to be said of stores that all answer, as plain values."""
    from storekeeper import migrations
    from storekeeper.jobs import jobs_of, last_runs, next_tick

    left = migrations.plan(platform)
    found: dict[str, Any] = {
        "engine": platform.timescale.engine.label,
        "engine_note": platform.timescale.engine.note,
        "columnstore": platform.timescale.engine.columnstore,
        "pending": [str(step) for step in left.todo],
        "drift": [str(step) for step in (*left.reported, *(() if left.todo else migrations.drift(platform)))],
        "datasets": [],
        "collections": [],
        "jobs": [],
    }
    if left.todo:
        return found  # what is not migrated has neither sizes nor a ledger
    now = platform.clock.now()
    runs = last_runs(platform)
    found["datasets"] = [asdict(level) for level in platform.timescale.sizes()]
    found["collections"] = [asdict(collection) for collection in platform.mongo.stats()]
    for job in jobs_of(platform.catalog):
        run = runs.get(job.name)
        found["jobs"].append(
            {
                "name": job.name,
                "schedule": None if job.schedule is None else str(job.schedule),
                "next": None if job.schedule is None else next_tick(job.schedule, now),
                "last": None if run is None else run.started_at,
                "state": None if run is None else run.state,
                "outcome": None if run is None else run.outcome,
            }
        )
    return found


def _servers(directory: Path) -> list[dict[str, Any]]:
    """The embedded stack's processes; none where there is no stack."""
    from storekeeper.servers import read_stack, stack_status

    if read_stack(directory) is None:
        return []
    return [asdict(server) for server in stack_status(directory)]


def _show(found: dict[str, Any]) -> None:
    if found["servers"]:
        rows = [
            (s["name"], s["version"], s["state"], s["pid"], s["uptime"], size(s["memory_bytes"]), size(s["data_bytes"]))
            for s in found["servers"]
        ]
        columns = ("server", "version", "state", "pid", "up for", "memory", "data")
        table("Embedded stack", columns, rows, right=("memory", "data"))
    stores = [
        (
            s["store"],
            "ok" if s["ok"] else "failing",
            s["version"],
            "" if s["seconds"] is None else f"{s['seconds'] * 1000:.1f} ms",
            s["detail"],
        )
        for s in found["stores"]
    ]
    table("Stores", ("store", "state", "version", "answer", "detail"), stores)
    if "engine" not in found:
        console().print("a store fails: what is in the stores, and what the jobs did, is shown when all answer")
        return
    compression = "compresses chunks" if found["columnstore"] else "columnstore: not supported"
    console().print(f"time-series engine: {found['engine']} ({compression})")
    if found["engine_note"]:
        console().print(found["engine_note"], style="dim")
    for what in ("pending", "drift"):
        for step in found[what]:
            console().print(what, style="yellow", end=" ")
            console().print(step)
    if found["pending"]:
        console().print("run `storekeeper migrate`: it does what is pending")
        return
    series = [
        (
            d["dataset"],
            f"{d['chunks']} ({d['compressed']} compressed)" if d["compressed"] else d["chunks"],
            grouped(d["rows"]),
            size(d["bytes"]),
            d["oldest"],
            d["newest"],
            d["watermark"],
        )
        for d in found["datasets"]
    ]
    columns = ("dataset", "chunks", "rows (about)", "size", "from", "to", "dropped before")
    table("Time series", columns, series, right=("chunks", "rows (about)", "size"))
    documents = [(c["dataset"], grouped(c["documents"]), size(c["bytes"])) for c in found["collections"]]
    table("Collections", ("dataset", "documents", "size"), documents, right=("documents", "size"))
    jobs = [
        (
            j["name"],
            j["schedule"] or "by hand",
            j["last"] and j["last"].replace(second=0, microsecond=0),
            j["state"],
            briefly(j["outcome"] or ""),
            j["next"],
        )
        for j in found["jobs"]
    ]
    table("Jobs", ("job", "schedule (UTC)", "last", "state", "outcome", "next"), jobs)
