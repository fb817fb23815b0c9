"""Ingest: files into datasets, whole or not at all.

csv_files.py puts csv into hypertables and tables, log_files.py raw log lines into collections. mapping.py and logs.py
are pure: what a column comes from, what a log line says.
"""
