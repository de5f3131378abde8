"""PCGrad: joint training in which tasks whose gradients point apart do not undo each other.

For each source task i, with the others j in random order:

    if g_i . g_j < 0:   g_i <- g_i - (g_i . g_j) / |g_j|^2 g_j;      then step along  mean_i g_i

(Yu et al., "Gradient surgery for multi-task learning", NeurIPS 2020, algorithm 1), with g_i the gradient of PPO's loss
on the minibatch rows of task i; see :mod:`roamrl.algorithms.population.surgery` for how whole populations do it. The
mean instead of the paper's sum keeps the step the size that joint training's has. Per update it logs the mean cosine
between two tasks' gradients and the share of pairs in conflict, before projection. Its gradients are taken operation
by operation: ``compiled`` does not speed it up.
"""

from __future__ import annotations

from typing import ClassVar

from roamrl.algorithms.learner_spec import TaskGradientUse
from roamrl.algorithms.multitask.joint import Joint
from roamrl.algorithms.strategy_needs import MEMORYLESS, Needs


class PCGrad(Joint):
    """Train one policy on all source tasks, conflicts between their gradients projected away; fine-tune it."""

    name = "pcgrad"
    about = "one policy over all source tasks, conflicting gradients projected"
    paper = "Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020"
    task_gradients: ClassVar[TaskGradientUse] = "project"
    needs: ClassVar[Needs] = Needs(modules=MEMORYLESS, cannot="cannot take the gradient of each task")
