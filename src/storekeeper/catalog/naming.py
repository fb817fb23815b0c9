"""The names of constraints and indexes that a declaration does not name: PostgreSQL's own defaults."""

from __future__ import annotations

#: For sqlalchemy.MetaData(naming_convention=…): users_pkey, users_email_key, sessions_user_id_fkey, t_c_check, t_c_idx.
#: With them a table made by a revision, by `create_all` or by hand has the same names, so that errors map by name.
NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ck": "%(table_name)s_%(column_0_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}
