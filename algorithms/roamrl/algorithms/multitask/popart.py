"""PopArt: one policy over all source tasks, and a critic that standardises the returns of each task for itself.

    n_m(s) = (V_m(s) - mu_m) / sigma_m is learned; when mu_m, sigma_m become mu'_m, sigma'_m,
    v_m <- v_m sigma_m / sigma'_m,   c_m <- (sigma_m c_m + mu_m - mu'_m) / sigma'_m   keep V_m = sigma_m n_m + mu_m

(van Hasselt et al., NIPS 2016; for several tasks Hessel et al., AAAI 2019). Tasks whose rewards are large no longer
drown the others in the critic; the policy's advantages are standardised over all rows, as everywhere in the engine.
mu_m and sigma_m are running means over all returns seen, not exponential ones. The policy itself is joint training's:
one head, which meets a target as it is.
"""

from __future__ import annotations

from typing import ClassVar

from roamrl.algorithms.multitask.multihead import Multihead


class PopArt(Multihead):
    """Train one policy on all source tasks with values normalised task by task; fine-tune it on the target."""

    name = "popart"
    about = "one policy over all source tasks, values normalised task by task"
    paper = "Hessel et al., Multi-task Deep Reinforcement Learning with PopArt, AAAI 2019"
    heads: ClassVar[dict[str, bool]] = {"actor_heads": False, "critic_heads": True}
