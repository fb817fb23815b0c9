"""jobs list | run | history, and run: what keeps the data in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from storekeeper.cli.audit import noted
from storekeeper.cli.failing import reported
from storekeeper.cli.options import AsOf, CatalogPath, Directory, DryRun, Json, moment, opened
from storekeeper.cli.output import briefly, console, emit_json, grouped, size, table

if TYPE_CHECKING:
    from storekeeper.jobs import Run

app = typer.Typer(help="Lists and runs jobs; what ran, and how it ended.", no_args_is_help=True)


@app.command("list")
def list_jobs(directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False) -> None:
    """The jobs, their schedules, and what each does."""
    with reported(as_json=as_json):
        from storekeeper.catalog import load_catalog
        from storekeeper.jobs import jobs_of
        from storekeeper.settings import Settings

        settings = Settings.load(directory=directory, catalog=catalog)
        jobs = jobs_of(load_catalog(settings.catalog).only(settings.domains))
        if as_json:
            emit_json([{"name": job.name, "schedule": job.schedule, "summary": job.summary} for job in jobs])
            return
        table(
            "", ("job", "schedule (UTC)", "does"), [(job.name, job.schedule or "by hand", job.summary) for job in jobs]
        )


@app.command("run")
def run_one(
    name: Annotated[str, typer.Argument(help="The job, as `jobs list` names it.")],
    as_of: AsOf = None,
    dry_run: DryRun = False,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Runs one job now, and records it. A failed job exits with 6."""
    with opened(directory, catalog, as_json=as_json) as platform:
        from storekeeper.jobs import job_named, jobs_of, run_job

        job, when = job_named(name, jobs_of(platform.catalog)), moment("--as-of", as_of)
        if job.destructive and not dry_run:
            as_of_when = {} if when is None else {"as_of": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
            noted(platform, "destructive_confirmed", subject="storekeeper.jobs", subject_id=name, detail=as_of_when)
        run = run_job(platform, job, as_of=when, dry_run=dry_run)
        if as_json:
            emit_json(run.as_json())
        else:
            show_run(run)


def show_run(run: Run) -> None:
    """Prints what a run did or would do, and what it left out."""
    would = " (dry run: nothing was changed)" if run.dry_run else ""
    console().print(f"{run.job} as of {run.as_of:%Y-%m-%d %H:%M} UTC: {run.state} in {run.seconds or 0:.1f} s{would}")
    done = [
        (action.verb, action.target, action.detail, grouped(action.rows), size(action.bytes))
        for action in run.report.actions
    ]
    if done:
        table("", ("action", "target", "detail", "rows", "size"), done, right=("rows", "size"))
    if run.report.skipped:
        left_out = [(skipped.verb, skipped.target, skipped.reason) for skipped in run.report.skipped]
        table("left out", ("action", "target", "reason"), left_out)
    if not done and not run.report.skipped:
        console().print("nothing was due")


@app.command("history")
def history(
    name: Annotated[str | None, typer.Argument(help="One job alone.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many runs.")] = 20,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """What ran, newest first: as of when, how it ended, how long it took."""
    with opened(directory, catalog, as_json=as_json, stores=("postgres",)) as platform:
        from storekeeper.jobs import history as runs

        found = runs(platform, limit=limit, job=name)
        if as_json:
            emit_json([run.as_json() for run in found])
            return
        rows = [
            (run.started_at.replace(microsecond=0), run.job, run.as_of, run.state, _took(run), briefly(run.outcome))
            for run in found
        ]
        table("", ("started (UTC)", "job", "as of", "state", "took", "outcome"), rows, right=("took",))
        if not rows:
            console().print("no job has run yet" if name is None else f"{name} has not run yet")


def serve(directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False) -> None:
    """The scheduler, in the foreground, until Ctrl-C: what a service manager or a container runs.

    A second one on the same stores refuses to start. What jobs do goes to standard error, and into `jobs history`.
    """
    with opened(directory, catalog, as_json=as_json) as platform:
        import logging

        from storekeeper.jobs.scheduler import serve as serve_jobs

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        serve_jobs(platform)


def _took(run: Run) -> str:
    return "" if run.seconds is None else f"{run.seconds:.1f} s"
