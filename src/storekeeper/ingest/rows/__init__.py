"""Rows into hypertables and tables: derive.py and checking.py fit them to their columns, sink.py writes them, and
staging.py asks the server which of them break the rules that violations.py words."""
