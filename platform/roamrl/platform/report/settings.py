"""Parameters of a report: those of the metrics come from the study, and every one is printed on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.statistics import Bootstrap


class ReportSettings(BaseModel):
    """What the numbers of a report depend on besides the runs.

    Attributes:
        window: Updates in the moving average of training returns.
        tolerance: Half-width of the band around the specialist, in score.
        initial_fraction: Share of the target steps over which the initial reward is taken.
        ceiling_fraction: Share of the specialist's score that n* asks for.
        negative_margin: Score by which a run is *clearly* below scratch; the bare share has no margin.
        resamples: Bootstrap resamples of tables.
        band_resamples: Bootstrap resamples of the bands of figures.
        confidence: Confidence of every interval.
        seed: Seed of the bootstrap.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    window: int = Field(20, ge=1)
    tolerance: float = Field(0.1, gt=0)
    initial_fraction: float = Field(0.01, gt=0, le=1)
    ceiling_fraction: float = Field(0.95, gt=0)
    negative_margin: float = Field(0.02, ge=0)
    resamples: int = Field(2000, ge=100)
    band_resamples: int = Field(500, ge=100)
    confidence: float = Field(0.95, gt=0, lt=1)
    seed: int = 0

    @property
    def bootstrap(self) -> Bootstrap:
        """The bootstrap of tables and verdicts."""
        return Bootstrap(self.resamples, self.confidence, self.seed)

    @property
    def band_bootstrap(self) -> Bootstrap:
        """The bootstrap of the bands of figures."""
        return Bootstrap(self.band_resamples, self.confidence, self.seed)


def settings_of(study: Mapping[str, Any]) -> ReportSettings:
    """Return the settings that a study's ``metrics`` ask for, with defaults for the rest."""
    try:
        return ReportSettings.model_validate(study.get("metrics") or {})
    except ValidationError as error:
        raise InputError(f"study.yaml: 'metrics' cannot be used: {error}") from error
