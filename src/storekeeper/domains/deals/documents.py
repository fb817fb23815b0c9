"""The documents of the deals domain: how well each trained model does."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from storekeeper import Collection, DocumentIndex

Score = Annotated[Decimal, Field(ge=0, le=1, decimal_places=4)]


class ModelMetrics(BaseModel):
    """One training of a model: its scores, 0 to 1 with 4 decimals, and what it was made with; seconds it took.

    Fields are in camelCase as they are stored; others are refused, and all but `meta_data` must be there.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    model_name: str = Field(min_length=1, max_length=50)
    model_version: str = Field(min_length=1, max_length=50)
    accuracy: Score
    precision: Score
    recall: Score
    f1_score: Score
    training_duration: float = Field(ge=0, description="seconds")
    training_samples: int = Field(ge=0)
    validation_samples: int = Field(ge=0)
    hyperparameters: dict[str, Any]
    feature_importance: dict[str, Any]
    created_at: AwareDatetime
    meta_data: dict[str, Any] | None = None


MODEL_METRICS = Collection(
    "model_metrics",
    model=ModelMetrics,
    time="createdAt",
    indexes=(
        DocumentIndex((("modelName", 1), ("modelVersion", 1))),
        DocumentIndex((("createdAt", -1),)),
    ),
)
