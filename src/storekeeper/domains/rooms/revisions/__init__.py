"""The frozen history of the rooms domain's tables, one folder a SQL store."""
