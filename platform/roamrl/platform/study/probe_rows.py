"""What an arm that probes its sources is worth until it has chosen one: its curve must not look free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roamrl.envs.family import get_family
from roamrl.platform.study.results import Result
from roamrl.platform.study.schema import Study
from roamrl.platform.study.units import Unit


def rows_until_chosen(study: Study, unit: Unit, rows: Sequence[Result]) -> list[Result]:
    """Return the rows of the points that lie before the end of the probes; none for arms that do not probe.

    Until then the sources play on the target in turn, so the arm is worth what they are worth there on average as they
    are, on the same evaluation streams as everything else. Learning begins with the first episode after the probes.

    Args:
        study: The study.
        unit: A unit in which targets are met.
        rows: Its rows at its own points.
    """
    first = {(row.task_id, row.seed): row for row in rows if row.episodes == unit.points[0]}
    found = []
    for member in unit.members:
        if member.probes is None or member.target is None:
            continue
        task, probes, sources = member.target.task, member.probes, member.probes.sources
        steps = get_family(task.family).typical_episode_steps(dict(task.config))
        found += [
            replace(
                first[task.id, member.seed],
                episodes=point,
                env_steps=point * steps,
                return_mean=sources.return_mean,
                return_trivial=sources.return_trivial,
                return_oracle=sources.return_oracle,
                score=sources.score,
                violation_rate=sources.violation_rate,
                violation_adapting=probes.violation_rate if point else float("nan"),
                eval_episodes=sources.eval_episodes,
                wall_s=0.0,
                cpu_s=0.0,
                expert_id=None,
            )
            for point in study.adapt.episodes
            if point < min(probes.episodes, unit.points[0])
        ]
    return found
