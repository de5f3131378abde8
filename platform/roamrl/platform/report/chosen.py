"""What each arm's step size and settings were chosen to be on the validation split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class ChosenRow:
    """One arm's choice.

    Attributes:
        arm: The arm.
        lr: Step size with the largest area under the curve on val.
        settings: Settings of the strategy that go with it, as a study file would say them; empty for the defaults.
        among: Candidates that were tried.
        per_n: Number of different candidates that are best at some number of episodes.
    """

    arm: str
    lr: float
    settings: str
    among: int
    per_n: int


def chosen_rows(run: Path) -> list[ChosenRow]:
    """Return one row an arm that adapts; empty for a run that chose nothing.

    Raises:
        InputError: If ``tuning.json`` is none that this version wrote.
    """
    file = run / "tuning.json"
    if not file.exists():
        return []
    try:
        choices = json.loads(file.read_text(encoding="utf-8"))
        return [_row(arm, choice) for arm, choice in choices.items()]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} cannot be read ({error}); run the study again to rewrite it") from error


def _row(arm: str, choice: Mapping[str, Any]) -> ChosenRow:
    fixed = choice["fixed"]
    settings = ", ".join(f"{name}: {value}" for name, value in fixed["settings"].items())
    different = {json.dumps(own, sort_keys=True) for own in choice["per_n"].values()}
    return ChosenRow(arm, float(fixed["lr"]), settings, len(choice["val"]), len(different))
