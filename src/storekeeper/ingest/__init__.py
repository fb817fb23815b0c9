"""Ingest: files into datasets.

ingesting.py   the way in: ingest(platform, dataset, files, options)
options.py     what a caller may ask; mapping.py, moments.py: what a column or field comes from, and times in zones
readers/       files of any packing as pieces of rows: csv, ndjson, parquet
logs/          the formats of raw log lines, pure
rows/          pieces into hypertables and tables, a transaction a file
documents/     records into collections, each under an id that its file gives it
rejects.py     what was not taken, and why; progress.py: how far it is, and what became of it
"""
