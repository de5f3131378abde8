"""Returns of the references on a task: computed once, kept by the task's id."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.canonical import content_hash
from roamrl.envs.family import get_family
from roamrl.envs.task import Task

ROLES = ("trivial", "classical", "oracle")


@dataclass(frozen=True)
class ReferenceReturns:
    """What the references got on one task.

    Attributes:
        returns: Returns of each role that the family has a reference for, [E] each, on the evaluation streams.
        violation_rate: Mean violation rate of each role (NaN where the family has none).
    """

    returns: Mapping[str, NDArray[np.float64]]
    violation_rate: Mapping[str, float]

    def mean(self, role: str, episodes: int) -> float:
        """Mean return of a role over the first ``episodes`` evaluation episodes; NaN where there is no reference."""
        return float(self.returns[role][:episodes].mean()) if role in self.returns else float("nan")

    def score(self, returns: NDArray[np.float64]) -> float:
        """Score of returns [E'] got on the first E' evaluation episodes: 0 is trivial, 1 the oracle.

        Without an oracle it is the mean return itself, by which choices can still be made.
        """
        if not self.normalises:
            return float(returns.mean())
        trivial, oracle = self.mean("trivial", len(returns)), self.mean("oracle", len(returns))
        return float((returns.mean() - trivial) / (oracle - trivial))

    def scores(self, returns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score of each of the first E' evaluation episodes, [E']; their returns where there is no oracle."""
        if not self.normalises:
            return returns
        count = len(returns)
        trivial, oracle = self.mean("trivial", count), self.mean("oracle", count)
        return (returns - trivial) / (oracle - trivial)

    def score_error(self, returns: NDArray[np.float64]) -> float:
        """Standard error that the score of returns [E'] has from its episodes alone; NaN where there is no oracle.

        The references played the same episodes, so that what is common to all three falls out: with s the score, that
        of the mean over episodes of (r - t) - s (o - t), over the mean gap o - t (the delta method of a ratio).
        """
        count = len(returns)
        if not self.normalises or count < 2:
            return float("nan")
        above, gap = returns - self.returns["trivial"][:count], self._gaps(count)
        left = above - self.score(returns) * gap
        return float(left.std(ddof=1) / (np.sqrt(count) * abs(gap.mean())))

    def _gaps(self, count: int) -> NDArray[np.float64]:
        return self.returns["oracle"][:count] - self.returns["trivial"][:count]

    @property
    def normalises(self) -> bool:
        """Whether there is an oracle to score by."""
        return "oracle" in self.returns

    def gap(self, steps: int) -> float:
        """J_oracle - J_trivial a step; a task below .05 does not tell policies apart. NaN without an oracle."""
        episodes = len(self.returns["trivial"])
        return (self.mean("oracle", episodes) - self.mean("trivial", episodes)) / steps


def reference_returns(task: Task, *, episodes: int, seed: int, cache: Path) -> ReferenceReturns:
    """Return the references' returns on a task, from the cache if the same code computed them before.

    Args:
        task: The task; its recordings must be open.
        episodes: Evaluation episodes.
        seed: Evaluation seed.
        cache: Folder of the cache.
    """
    sources = get_family(task.family).sources(dict(task.config))
    key = content_hash({"task": task.id, "episodes": episodes, "seed": seed, "sources": sources})
    file = cache / f"{key}.npz"
    if not file.exists():
        _write(file, _compute(task, episodes, seed))
    with np.load(file, allow_pickle=False) as arrays:
        roles = [role for role in ROLES if role in arrays]
        return ReferenceReturns(
            {role: arrays[role] for role in roles}, {role: float(arrays[f"violation_{role}"]) for role in roles}
        )


def default_cache() -> Path:
    """Return the user's cache of reference returns (``ROAMRL_CACHE``, else below ``~/.cache``)."""
    root = os.environ.get("ROAMRL_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "roamrl") / "references"


def _compute(task: Task, episodes: int, seed: int) -> dict[str, NDArray[np.float64]]:
    family = get_family(task.family)
    arrays: dict[str, NDArray[np.float64]] = {}
    offered = {reference.role for reference in family.references(dict(task.config)).values()}
    for role in (role for role in ROLES if role in offered):
        played = family.reference(dict(task.config), role).play(family, [task], episodes=episodes, seed=seed)
        arrays[role] = played.returns[0]
        rates = played.measures.get("violation_rate", np.full((1, episodes), np.nan))
        arrays[f"violation_{role}"] = np.array(rates.mean())
    return arrays


def _write(file: Path, arrays: Mapping[str, NDArray[np.float64]]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
    write_atomically(file, buffer.getvalue())
