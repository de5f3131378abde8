"""Performance profiles: the share of runs whose final score is above a threshold (Agarwal et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from roamrl.platform.evaluation.statistics import performance_profile
from roamrl.platform.report.arms import TargetView
from roamrl.platform.report.figures.axes import score_floor
from roamrl.platform.report.figures.style import ArmStyle, legend_below, new_axes
from roamrl.platform.report.settings import ReportSettings

THRESHOLDS = 121


def draw_profiles(view: TargetView, styles: Mapping[str, ArmStyle], settings: ReportSettings) -> Figure:
    """Draw one profile an arm at the end of the shared span; some arm must have a final score."""
    finals = [(arm, final) for arm in view.arms if (final := view.final_of(arm)) is not None]
    strata = {arm.name: arm.strata(final) for arm, final in finals}
    every = np.concatenate([values for groups in strata.values() for values in groups])
    low, high = max(float(every.min()), score_floor(view.yardstick)), float(every.max())
    margin = max(0.02, 0.05 * (high - low))
    thresholds = np.linspace(low - margin, high + margin, THRESHOLDS)
    figure, axes = new_axes()
    for name, groups in strata.items():
        style = styles[name]
        band = performance_profile(groups, thresholds, settings.band_bootstrap)
        axes.fill_between(thresholds, band.low, band.high, color=style.colour, alpha=0.13, linewidth=0)
        axes.plot(thresholds, band.value, color=style.colour, linestyle=style.dash, lw=1.6, label=name)
    axes.set_xlim(float(thresholds[0]), float(thresholds[-1]))
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel(f"{view.yardstick.name} τ")
    axes.set_ylabel("runs with score > τ")
    legend_below(figure, axes)
    return figure
