"""The choice of an engine: by what a server has, by force, and by what is on record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storekeeper.errors import DriftError, NotSupportedError
from storekeeper.timescale.choosing import Choice, Found, choose_engine, engine_of
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.partitions import PartitionsEngine

COMMUNITY = Found("2.23.1", "public", "2.23.1", "timescale")
NOTHING = Found()
CANNOT = {
    "no extension": (NOTHING, "no timescaledb extension"),
    "not in this database": (Found(available="2.28.3"), "is on the server, and not in this database"),
    "too old": (replace(COMMUNITY, version="2.13.1"), "older than 2.14"),
    "the other edition": (replace(COMMUNITY, license="apache"), "the apache edition"),
    "not loaded": (replace(COMMUNITY, license=None), "not loaded"),
    "cut down": (replace(COMMUNITY, missing=("drop_chunks",)), "has no drop_chunks"),
}


@pytest.mark.parametrize("version", ["2.14.0", "2.23.0-dev", "2.28.3", "3.0"])
def test_hypertables_wherever_they_can_be_used(version: str) -> None:
    engine = choose_engine(replace(COMMUNITY, version=version, schema="extensions"), None)
    major, minor = version.split(".")[:2]
    assert engine == HypertablesEngine((int(major), int(minor)), "extensions")
    assert engine.note == ""


@pytest.mark.parametrize(("found", "reason"), CANNOT.values(), ids=CANNOT)
def test_else_partitions_and_why(found: Found, reason: str) -> None:
    engine = choose_engine(found, None)
    assert engine == PartitionsEngine()
    assert reason in engine.note
    assert reason in engine_of(found, "partitions", None).engine.note
    with pytest.raises(NotSupportedError, match=reason):
        choose_engine(found, "hypertables")


def test_partitions_may_be_forced_on_any_server() -> None:
    assert choose_engine(COMMUNITY, "partitions").name == "partitions"
    assert "2.23.1" in choose_engine(COMMUNITY, "partitions").note
    assert choose_engine(NOTHING, "partitions").note == ""
    assert choose_engine(None, None) == PartitionsEngine()


def test_what_is_on_record_stays() -> None:
    assert engine_of(COMMUNITY, None, None) == Choice(HypertablesEngine((2, 23)), recorded=False)
    assert engine_of(COMMUNITY, "hypertables", None) == Choice(HypertablesEngine((2, 23)), recorded=True)
    made_without = engine_of(COMMUNITY, "partitions", None)
    assert made_without == Choice(PartitionsEngine(), recorded=True)
    assert "was made without it" in made_without.engine.note


@pytest.mark.parametrize(
    ("recorded", "forced", "found"),
    [
        ("partitions", "hypertables", COMMUNITY),
        ("hypertables", "partitions", COMMUNITY),
        *(("hypertables", None, found) for found, _ in CANNOT.values()),
    ],
)
def test_what_disagrees_with_the_record_is_drift(recorded: str, forced: str | None, found: Found) -> None:
    with pytest.raises(DriftError, match=f"made with {recorded}"):
        engine_of(found, recorded, forced)
