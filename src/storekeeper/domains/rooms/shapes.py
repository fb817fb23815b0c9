"""The shapes of the rooms domain's JSON columns."""

from __future__ import annotations

from storekeeper import JsonModel


class Consensus(JsonModel):
    """How the byzantine-fault-tolerant vote on a deal went: votes by nodes, and whether enough of them agreed."""

    nodes: int | None = None
    approvals: int | None = None
    rejections: int | None = None
    reached: bool | None = None
