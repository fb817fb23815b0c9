"""Tables that fit: nothing of a cell is lost, whatever the width."""

from __future__ import annotations

from hypothesis import given, strategies as st

from storekeeper.cli.layout import GAP, fold, lines, widths

COLUMNS = ("dataset", "rows (about)", "from")
ROWS = [["invest.intraday_prices", "46,070", "2022-07-22 00:00"], ["invest.logs", "7", ""]]
RIGHT = [False, True, False]


def shown(width: int) -> list[str]:
    fitted = widths(COLUMNS, ROWS, RIGHT, width)
    return [line for row in (COLUMNS, *ROWS) for line in lines(row, fitted, RIGHT)]


def test_where_there_is_room_a_row_is_a_line() -> None:
    assert shown(54) == [
        "dataset                 rows (about)  from",
        "invest.intraday_prices        46,070  2022-07-22 00:00",
        "invest.logs                        7",
    ]


def test_words_are_parted_first() -> None:
    assert shown(43) == [
        "dataset                    rows  from",
        "                        (about)",
        "invest.intraday_prices   46,070  2022-07-22",
        "                                 00:00",
        "invest.logs                   7",
    ]


def test_then_names_at_their_dots_and_dashes_and_numbers_never() -> None:
    assert shown(37) == [
        "dataset              rows  from",
        "                  (about)",
        "invest.intraday_   46,070  2022-07-22",
        "prices                     00:00",
        "invest.logs             7",
    ]


cells = st.text(alphabet="ab ._-", max_size=40).map(str.strip)


@given(cells, st.integers(1, 60))
def test_folding_loses_nothing_but_blanks(text: str, width: int) -> None:
    folded = fold(text, width)
    assert all(len(part) <= width for part in folded)
    assert "".join("".join(folded).split()) == "".join(text.split())


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=4), st.integers(20, 200))
def test_a_row_fits_where_it_can(rows: list[list[str]], width: int) -> None:
    fitted = widths(COLUMNS, rows, [False] * 3, width)
    needed = sum(fitted) + len(GAP) * 2
    assert needed <= max(width, 8 * 3 + len(GAP) * 2)
    natural = [max(len(row[at]) for row in (COLUMNS, *rows)) for at in range(3)]
    assert fitted == natural or needed >= min(width, sum(natural))
    assert all(now <= full for now, full in zip(fitted, natural, strict=True))
