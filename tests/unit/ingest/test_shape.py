"""Documents out of records: mapped, constant, or by the same name."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict

from storekeeper.errors import ColumnError
from storekeeper.ingest.documents.shape import Shape, looked_up
from storekeeper.ingest.logs.line import LineError
from storekeeper.ingest.mapping import parse_map

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)


class Place(BaseModel):
    model_config = ConfigDict(extra="allow")

    city: str | None = None
    seen: AwareDatetime | None = None
    corners: list[int] | None = None


class Visit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime
    name: str
    born: date | None = None
    price: Decimal | None = None
    place: Place | None = None
    tags: list[str] | None = None
    more: dict[str, Any] | None = None


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")

    at: AwareDatetime


def shape(
    *mapping: str, constants: dict[str, str] | None = None, model: type[BaseModel] = Visit, **options: Any
) -> Shape:
    given: dict[str, Any] = {"skip_unknown": False, "time_format": None, "zone": None, **options}
    return Shape(model, parse_map(mapping), constants or {}, operation="ingest x into", target="d.visits", **given)


def test_fields_of_the_same_name_map_themselves() -> None:
    record = {
        "at": "2024-05-17T12:00:00Z",
        "name": "ann",
        "place": {"city": "Ulm"},
        "price": None,
        "born": "2000-01-02",
    }
    assert shape().document(record) == {"at": NOON, "name": "ann", "place": {"city": "Ulm"}, "born": "2000-01-02"}
    with pytest.raises(LineError, match="is no field of the dataset") as caught:
        shape().document({**record, "nam": 1})
    assert caught.value.column == "nam"
    assert "nam" not in shape(skip_unknown=True).document({**record, "nam": 1})
    assert shape(model=Anything).document({"at": NOON, "nam": 1})["nam"] == 1


def test_texts_are_read_as_what_their_fields_are() -> None:
    record = {
        "at": "17.05.2024 14:00", "name": "7", "tags": '["a", "b"]', "more": "", "place.corners": "[1, 2]",
        "place.seen": "17.05.2024 14:00", "place.zip": "[0]", "more.n": 1, "more.deep.er": 2,
    }  # fmt: skip
    found = shape(time_format="%d.%m.%Y %H:%M", zone="Europe/Berlin").document(record)
    assert found == {
        "at": NOON,
        "name": "7",
        "tags": ["a", "b"],
        "more": {"n": 1, "deep": {"er": 2}},
        "place": {"corners": [1, 2], "seen": NOON, "zip": "[0]"},
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-17T14:00:00+02:00", NOON),
        (1715947200, NOON),
        (1715947200000, NOON),
        (NOON, NOON),
        (datetime(2024, 5, 17, 14), NOON),  # noqa: DTZ001  # local
        (date(2024, 5, 18), datetime(2024, 5, 17, 22, tzinfo=UTC)),
        (True, True),
    ],
)
def test_times_of_any_kind(value: Any, expected: Any) -> None:
    assert shape(zone="Europe/Berlin").document({"at": value})["at"] == expected


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("at", "2024-05-17T14:00:00", "without a zone"),
        ("at", "soon", "is no time as ISO 8601 writes it"),
        ("tags", "[", "is no JSON"),
        ("name.x", 1, None),
    ],
)
def test_values_that_cannot_be_read_name_their_field(field: str, value: Any, says: str | None) -> None:
    with pytest.raises(LineError, match=says or "name is no object") as caught:
        shape().document({"name": "x", field: value})
    assert caught.value.column == field


def test_an_hour_that_is_there_twice_is_refused_as_of_rows() -> None:
    with pytest.raises(LineError, match="has twice"):
        shape(zone="Europe/Berlin").document({"at": "2016-10-30T02:30:00"})


def test_sources_are_columns_paths_templates_and_middles() -> None:
    record = {
        "who": {"first": "Ann", "n": 3},
        "when": "2024-05-17T12:00:00Z",
        "b": "1.1",
        "a": 2,
        "place": {"zip": "0"},
    }
    document = shape(
        "at=when", "name={who.first}-{who.n}/{b}", "price=mid(b,a)", "place.city=who.first", "more=who",
        constants={"tags": '["x"]', "place.fixed": "yes"},
    ).document(record)  # fmt: skip
    assert document == {
        "at": NOON,
        "name": "Ann-3/1.1",
        "price": Decimal("1.55"),
        "place": {"zip": "0", "city": "Ann", "fixed": "yes"},
        "more": {"first": "Ann", "n": 3},
        "tags": ["x"],
    }
    assert record["place"] == {"zip": "0"}, "the record is as it was"
    assert shape("price=mid(b,a)").document({"b": 1.5, "a": 2})["price"] == 1.75
    assert "price" not in shape("price=mid(b,a)").document({"b": 1.5})
    assert "name" not in shape("name={who.last}").document(record)
    with pytest.raises(LineError, match="are no two numbers"):
        shape("price=mid(b,a)").document({"b": "x", "a": 2})


def test_a_name_with_a_dot_is_a_name_first() -> None:
    assert looked_up({"a.b": 1, "a": {"b": 2, "c": 3}}, "a.b") == 1
    assert looked_up({"a.b": 1, "a": {"b": 2, "c": 3}}, "a.c") == 3
    assert looked_up({"a": "text"}, "a.c") is None


@pytest.mark.parametrize(
    ("arguments", "constants", "says"),
    [
        (["nam=x"], {}, "no field nam.*\n.*close to it: name"),
        (["name=x"], {"name": "y"}, "'name' is both mapped and set"),
        ([], {"plac.city": "y"}, "no field plac.city"),
    ],
)
def test_what_is_mapped_must_be_a_field(arguments: list[str], constants: dict[str, str], says: str) -> None:
    with pytest.raises(ColumnError, match=says):
        shape(*arguments, constants=constants)


def test_columns_that_are_read_of_a_header() -> None:
    assert shape().columns(["at", "name", "place.city"]) == ["at", "name", "place.city"]
    assert shape("name=who.first").columns(["at", "who", "other"]) == ["at", "who"]
    assert shape(skip_unknown=True).columns(["other", "at"]) == ["at"]
    for header, made, says in (
        (["at", "at"], shape(), "names 'at' twice"),
        (["at", "naem"], shape(), "the file's column 'naem' is none of the dataset's"),
        (["at"], shape("name=who"), "the file has no column who"),
        (["x"], shape(skip_unknown=True), "none of the file's columns"),
    ):
        with pytest.raises(ColumnError, match=says):
            made.columns(header)
