"""Jobs: what keeps the data in order, run by hand or by the scheduler (jobs/scheduler.py), written down in a ledger."""

from storekeeper.jobs.job import Action, AllWithin, Every, Job, Report, Skipped
from storekeeper.jobs.runs import Run, history, last_runs, run_job
from storekeeper.jobs.schedule import UPKEEP, job_named, jobs_of, next_tick

__all__ = [
    "UPKEEP",
    "Action",
    "AllWithin",
    "Every",
    "Job",
    "Report",
    "Run",
    "Skipped",
    "history",
    "job_named",
    "jobs_of",
    "last_runs",
    "next_tick",
    "run_job",
]
