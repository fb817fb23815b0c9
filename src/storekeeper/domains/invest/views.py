"""The materialized view of the invest domain: what each portfolio is worth.

It holds everybody's rows; `invest.own_portfolio_summary` shows those of the user that `app.current_user_id` names in
the transaction, and nothing where it names none.
"""

from __future__ import annotations

import sqlalchemy as sa

from storekeeper import MaterializedView, minutes

portfolio_summary = sa.Table(
    "portfolio_summary",
    sa.MetaData(schema="invest"),
    sa.Column("id", sa.Uuid),
    sa.Column("user_id", sa.Uuid),
    sa.Column("asset_count", sa.BigInteger),
    sa.Column("total_value", sa.Numeric),
    sa.Column("total_gain", sa.Numeric),
    sa.Index("idx_portfolio_summary_id", "id", unique=True),
)

PORTFOLIO_SUMMARY = MaterializedView(portfolio_summary, every=minutes(15))
