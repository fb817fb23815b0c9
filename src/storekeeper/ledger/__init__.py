"""The platform's own schema, `storekeeper`: tables, and functions that return statements for the caller to run."""
