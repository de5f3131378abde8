"""What a study must have for an arm to choose its source, checked before anything runs."""

from __future__ import annotations

from roamrl.algorithms.transfer.selection.predicted import LEAST_TASKS
from roamrl.envs.errors import InputError
from roamrl.platform.study.schema import Study
from roamrl.platform.study.units import chooses, probe_episodes

LEAST_VAL: dict[str, int] = {"best-on-val": 2, "predicted": LEAST_TASKS}
"""Tasks of val that a selector needs, the one for which a source is chosen when step sizes are among them."""


def check_choice(study: Study, arm: str, policies: int, val_tasks: int) -> None:
    """Refuse an arm that could not choose.

    Raises:
        InputError: If ``val`` has too few tasks, or probes would leave no episodes to compare step sizes by.
    """
    if not chooses(study, arm):
        return
    how = study.arms[arm].choose
    if val_tasks < LEAST_VAL.get(how, 0):
        raise InputError(
            f"arm {arm!r}: 'choose: {how}' needs at least {LEAST_VAL[how]} tasks in {study.val!r}, which has "
            f"{val_tasks}; add some, or choose by 'nearest'"
        )
    spent = probe_episodes(study, arm, policies)
    last = max(point for point in study.adapt.episodes if point <= study.adapt.tune.up_to)
    if spent >= last:
        raise InputError(
            f"arm {arm!r}: probing {policies} source policies for {study.arms[arm].probe_episodes} episodes each takes "
            f"{spent} target episodes, and the last point up to which step sizes are compared is {last}; lower "
            "probe_episodes, or raise adapt.tune.up_to (and adapt.episodes)"
        )
