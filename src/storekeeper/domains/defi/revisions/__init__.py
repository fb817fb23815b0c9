"""The frozen history of the defi domain's tables, one folder a SQL store."""
