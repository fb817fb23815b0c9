"""The frozen history of the platform's own schema, one folder a SQL store."""
