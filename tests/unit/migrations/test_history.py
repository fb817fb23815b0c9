"""Histories: one line of revisions a domain, whose ids tell whose they are; strangers are left alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storekeeper.catalog import Catalog, Domain
from storekeeper.errors import DeclarationError, MigrationError
from storekeeper.migrations.history import History

Write = Callable[..., Catalog]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a domain's revisions as (id, the one before it) and returns the catalogue with that domain."""
    monkeypatch.syspath_prepend(tmp_path)
    package = f"lab_of_{tmp_path.name}".replace("-", "_")

    def written(*revisions: tuple[str, str | None], label: str = "lab") -> Catalog:
        folder = tmp_path / package / "postgres"
        folder.mkdir(parents=True, exist_ok=True)
        for init in (folder.parent / "__init__.py", folder / "__init__.py"):
            init.touch()
        for number, (revision, before) in enumerate(revisions):
            labels = f'("{label}",)' if before is None and label else None
            (folder / f"{number:04}.py").write_text(
                f'"""Makes {revision}."""\n'
                f"revision = {revision!r}\ndown_revision = {before!r}\nbranch_labels = {labels}\ndepends_on = None\n"
            )
        return Catalog((Domain("lab", revisions=package),))

    yield written
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


def ids(scripts: object) -> list[str]:
    assert isinstance(scripts, list)
    return [script.revision for script in scripts]


def test_pending_is_what_a_store_has_not_seen(write: Write) -> None:
    history = History("postgres", write(("lab_0001", None), ("lab_0002", "lab_0001"), ("lab_0003", "lab_0002")))
    assert list(history.branches) == ["storekeeper", "lab"]
    assert ids(history.pending("lab", ())) == ["lab_0001", "lab_0002", "lab_0003"]
    assert ids(history.pending("lab", ("storekeeper_0001", "lab_0001"))) == ["lab_0002", "lab_0003"]
    assert ids(history.applied("lab", ("storekeeper_0001", "lab_0002"))) == ["lab_0001", "lab_0002"]
    assert ids(history.pending("lab", ("lab_0003",))) == []


def test_a_domain_without_revisions_for_a_store_has_no_branch_there(write: Write) -> None:
    catalog = write(("lab_0001", None))
    assert "lab" not in History("timescale", catalog).branches
    assert list(History("postgres", Catalog((Domain("bare"),))).branches) == ["storekeeper"]


def test_a_domain_that_is_left_out_is_left_alone(write: Write) -> None:
    history = History("postgres", write(("lab_0001", None)))
    for _ in range(2):
        assert history.admit(("deals_0004", "lab_0001", "storekeeper_0001")) == ("deals_0004",)


@pytest.mark.parametrize("revision", ["lab_0002", "storekeeper_9999"])
def test_a_store_that_newer_code_migrated_is_refused(write: Write, revision: str) -> None:
    with pytest.raises(MigrationError, match=f"is at revision {revision}") as raised:
        History("postgres", write(("lab_0001", None))).admit((revision,))
    assert "newer code" in raised.value.hint


@pytest.mark.parametrize(
    ("revisions", "label"),
    [
        ([("other_0001", None)], "lab"),
        ([("lab_0001", None)], "other"),
        ([("lab_0001", None)], ""),
        ([("1", None)], "lab"),
    ],
)
def test_ids_and_labels_tell_the_domain(write: Write, revisions: list[tuple[str, str | None]], label: str) -> None:
    with pytest.raises(DeclarationError, match="lab_0001 and so on"):
        History("postgres", write(*revisions, label=label))


def test_a_line_does_not_fork(write: Write) -> None:
    with pytest.raises(MigrationError, match="more than one revision goes on"):
        History("postgres", write(("lab_0001", None), ("lab_0002", "lab_0001"), ("lab_0003", "lab_0001")))


def test_a_missing_revision_is_named(write: Write) -> None:
    with pytest.raises(MigrationError, match="lab_0001"):
        History("postgres", write(("lab_0002", "lab_0001")))


def test_two_of_one_id_are_refused(write: Write) -> None:
    with pytest.raises(MigrationError, match="more than once"):
        History("postgres", write(("lab_0001", None), ("lab_0001", None)))


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(DeclarationError, match="nowhere"):
        History("postgres", Catalog((Domain("lab", revisions="nowhere.revisions"),)))
