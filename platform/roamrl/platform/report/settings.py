"""Parameters of a report: those of the metrics come from the study, and every one is printed on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.statistics import Bootstrap
from roamrl.platform.study.schema import MetricsEntry


class ReportSettings(MetricsEntry):
    """The study's ``metrics`` with the bootstraps they ask for."""

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
