"""The frozen history of the deals domain's tables, one folder a SQL store."""
