"""The cold tier: chunks that retention drops, as Parquet in a directory or an S3."""
