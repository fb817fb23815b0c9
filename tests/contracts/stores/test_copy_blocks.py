"""Rows of a COPY in blocks: every row once, whatever the server's pace, and its failure wherever it comes."""

from __future__ import annotations

import struct
import time

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from storekeeper.stores.sql.copy_blocks import REST, Block, Blocks

PLAIN = "SELECT n FROM generate_series(1, {rows}) AS n"
#: pg_sleep returns void, which is not NULL: the row is there, late.
HALTING = f"{PLAIN} WHERE n % {{every}} <> 0 OR pg_sleep(0.02) IS NOT NULL"
FAILING = "SELECT 1000 / (n - {failing}) AS n FROM generate_series(1, {rows}) AS n"

#: A row of one int4: how many columns, how many bytes, the number.
ROW = struct.Struct("!hii")


def numbers(url: str, query: str, *, most: int = 8192) -> tuple[list[int], list[int], int]:
    """The numbers of a query of one int4 column, how many rows each block had, and how often its reader rested."""
    found: list[int] = []
    sizes: list[int] = []
    rests = 0
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
            blocks = Blocks(connection.pgconn)
            while not blocks.ended:
                block = Block()
                while connection.wait(blocks.fill(block, most)):
                    rests += 1
                    time.sleep(REST)
                assert block.lengths == [ROW.size] * len(block.lengths)
                found += (number for _, _, number in ROW.iter_unpack(block.rows))
                sizes.append(len(block.lengths))
            assert copy.read() == b""
        assert connection.execute("SELECT 1").fetchone() == (1,)  # nothing of the COPY is left in the way
    return found, sizes, rests


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it only reads
@given(rows=st.integers(0, 30_000), most=st.integers(1, 10_000))
def test_every_row_comes_once_in_blocks_of_the_size_that_was_asked(postgres_url: str, rows: int, most: int) -> None:
    found, sizes, _ = numbers(postgres_url, PLAIN.format(rows=rows), most=most)
    assert found == list(range(1, rows + 1))
    assert all(size == most for size in sizes[:-1])
    assert sizes[-1] <= most


@pytest.mark.parametrize("most", [500, 8192])
def test_a_reader_of_a_long_answer_rests_and_then_waits_for_a_server_that_halts(postgres_url: str, most: int) -> None:
    found, _, rests = numbers(postgres_url, HALTING.format(rows=60_000, every=12_000), most=most)
    assert found == list(range(1, 60_001))
    assert rests > 0


def test_a_reader_rests_once_and_then_waits_for_the_server(postgres_url: str) -> None:
    """It halts for half a second: who rested again and again would do so some hundred times."""
    late = f"{PLAIN} WHERE n <> 12000 OR pg_sleep(0.5) IS NOT NULL"
    found, _, rests = numbers(postgres_url, late.format(rows=12_000))
    assert len(found) == 12_000
    assert rests < 100


def test_a_reader_of_a_short_answer_never_rests(postgres_url: str) -> None:
    found, _, rests = numbers(postgres_url, HALTING.format(rows=1000, every=250))
    assert (len(found), rests) == (1000, 0)


@pytest.mark.parametrize("failing", [1, 100, 4095, 4096, 4097, 20_000, 49_999])
def test_a_server_that_fails_is_told_of_wherever_it_does(postgres_url: str, failing: int) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        numbers(postgres_url, FAILING.format(rows=50_000, failing=failing))
