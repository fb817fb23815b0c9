"""Rows into hypertables and tables, a transaction a file (ingest_rows.py).

derive.py and checking.py fit them to their columns; sink.py writes them to where destinations.py opens a transaction;
staging.py asks the server which of them break the rules that violations.py words.
"""
