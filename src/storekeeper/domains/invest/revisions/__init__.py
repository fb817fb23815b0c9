"""The frozen history of the invest domain's tables, one folder a SQL store."""
