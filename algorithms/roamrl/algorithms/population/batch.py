"""From a rollout to a learning batch: values in one pass, advantages, per-member normalisation, imitation targets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.population.modules.entity import StackedEntities
from roamrl.algorithms.population.modules.entity_networks import without_absent
from roamrl.algorithms.population.modules.memory import MemoryModule
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.rollout import Rollout, padded_finals
from roamrl.algorithms.population.sequences import Recurrence, by_sequence, memory_values
from roamrl.algorithms.population.teachers import Teachers
from roamrl.envs.errors import InputError

_EPSILON = 1e-8


@dataclass(frozen=True)
class Batch:
    """The rows of each member, in the order of (step, sub-environment); with memory, of (sub-environment, step).

    Attributes:
        obs: [P, N, *O] float32, as the environment gave them; of sets of entities without the last ones that are absent
            from all of them.
        actions: [P, N, *A].
        logp: Log-probabilities under the members' policies before learning, [P, N].
        advantages: Normalised to mean 0 and deviation 1 within each member, times the row's importance where teachers
            acted, [P, N].
        returns: Targets of the critic in units of return, [P, N].
        values: The critic's values before learning, in units of return, [P, N].
        imitation: What the members' policies shall become on these observations, [P, N, K]; None without teachers.
        tasks: Number of each row's task in the member's pool, [P, N] int64; None without tasks.
        recurrence: How the rows are sequences, for modules with memory; None without.
    """

    obs: Tensor
    actions: Tensor
    logp: Tensor
    advantages: Tensor
    returns: Tensor
    values: Tensor
    imitation: Tensor | None = None
    tasks: Tensor | None = None
    recurrence: Recurrence | None = None

    @property
    def rows(self) -> int:
        """Rows a member has, N."""
        return self.logp.shape[1]

    @property
    def sequence_length(self) -> int:
        """Rows that stay together in minibatches: the steps of a sequence, 1 without memory."""
        return 1 if self.recurrence is None else self.recurrence.length

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: c if c is None else c.to(device) for name, c in columns.items()}
        return Batch(**moved)


def build_batch(module: StackedModule, rollout: Rollout, ppo: PPOSettings, teachers: Teachers | None = None) -> Batch:
    """Turn a rollout into a batch on the module's device; changes nothing.

    A truncated episode is bootstrapped from the observation in which it ended, a terminated one not at all, one still
    running from the observation after the last step. Teachers, if given, say what to imitate on every observation.

    Where rows waited for others to end their episodes, a member's rows are those that it played, each as often as
    another or once more, so that they are T * B all the same: what a member learns from depends on no other member.

    Raises:
        InputError: If rows waited and the module has a memory, whose sequences have no gaps.
    """
    device = module.weights.device
    in_rows = by_sequence if isinstance(module, MemoryModule) else _member_major
    obs = torch.from_numpy(in_rows(_of_present(module, rollout.obs, ppo))).to(device)
    recurrence = None
    if isinstance(module, MemoryModule):
        values, next_values, recurrence = memory_values(module, obs, rollout)
    else:
        values, next_values = _values(module, obs, rollout)
    advantages = generalised_advantages(
        rollout.rewards,
        values,
        next_values,
        rollout.discounts,
        rollout.terminated,
        rollout.truncated,
        ppo.gae_lambda,
        rollout.importance,
    )
    weighted = advantages if rollout.importance is None else advantages * rollout.importance
    flat = {
        "actions": rollout.actions,
        "logp": rollout.logp,
        "advantages": advantages,
        "returns": weighted + values,
        "values": values,
    }
    chosen = _played_rows(rollout)
    if chosen is not None and recurrence is not None:
        raise InputError("a module with memory learns from rows that never wait; choose a module kind without memory")

    def of_rows(array: NDArray[Any]) -> Tensor:
        column = torch.from_numpy(in_rows(array))
        return (column if chosen is None else _take(column, chosen)).to(device)

    columns = {name: of_rows(array) for name, array in flat.items()}
    importance = None if rollout.importance is None else of_rows(rollout.importance)
    columns["advantages"] = _normalised(columns["advantages"], importance)
    tasks = None if rollout.tasks is None else of_rows(rollout.tasks)
    if chosen is not None:
        obs = _take(obs, chosen.to(device))
    imitation = None if teachers is None else teachers.target(obs, tasks)
    return Batch(obs=obs, imitation=imitation, tasks=tasks, recurrence=recurrence, **columns)


def generalised_advantages(
    rewards: NDArray[Any],
    values: NDArray[Any],
    next_values: NDArray[Any],
    discounts: NDArray[Any],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    gae_lambda: float,
    importance: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return generalised advantages (Schulman et al., 2016, eq. 16), all arrays [T, ..].

    delta_t = r_t + d_t V(s_t+1) (1 - terminated_t) - V(s_t);
    A_t = delta_t + lambda d_t (1 - terminated_t)(1 - truncated_t) rho_t+1 A_t+1.

    rho = min(1, pi(a|s) / mu(a|s)) corrects for actions that others (mu) took: V-trace with both bounds 1 and traces
    lambda rho (Espeholt et al., ICML 2018, eq. 1 and remark 2), where rho_t A_t = v_t - V(s_t). With rho = 1 it is
    generalised advantage estimation.

    Args:
        rewards: r_t.
        values: V(s_t).
        next_values: V(s_t+1); at a truncation that of the observation in which the episode ended.
        discounts: d_t.
        terminated: Whether nothing follows.
        truncated: Whether the episode was cut.
        gae_lambda: lambda.
        importance: rho; None for 1.
    """
    advantages = rewards + discounts * np.where(terminated, 0, next_values) - values
    decay = gae_lambda * discounts * ~(terminated | truncated)
    if importance is not None:
        decay[:-1] *= importance[1:]
    for step in range(len(rewards) - 2, -1, -1):
        advantages[step] += decay[step] * advantages[step + 1]
    return advantages


def _values(module: StackedModule, obs: Tensor, rollout: Rollout) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values of all observations and of what followed them, both [T, P, B]."""
    steps, members, envs = rollout.rewards.shape
    last = torch.from_numpy(np.ascontiguousarray(rollout.last_obs)).to(obs.device)
    finals, places = padded_finals(rollout)
    with torch.inference_mode():
        now = _in_blocks(module, obs)
        after = _in_blocks(module, torch.cat([last, torch.from_numpy(finals).to(obs.device)], dim=1))
    values = np.ascontiguousarray(now.view(members, steps, envs).cpu().numpy().swapaxes(0, 1))
    tail = after.cpu().numpy()
    next_values = np.concatenate([values[1:], tail[None, :, :envs]])
    step, member, env = rollout.final_at.T
    next_values[step, member, env] = tail[member, envs + places]
    return values, next_values


def _in_blocks(module: StackedModule, obs: Tensor) -> Tensor:
    """Value observations [P, N, *O] in blocks whose hidden layers stay in a core's cache."""
    rows = max(64, VALUE_BLOCK // module.members)
    return torch.cat([module.values(block) for block in obs.split(rows, dim=1)], dim=1)


VALUE_BLOCK = 4096
"""Rows of all members that are valued at once."""


def _of_present(module: StackedModule, obs: NDArray[np.float32], ppo: PPOSettings) -> NDArray[np.float32]:
    """Return observations [T, P, B, *O] without the last entities that all of them lack.

    A compiled gradient keeps them: it is compiled for one shape.
    """
    if not isinstance(module, StackedEntities) or ppo.compiled:
        return obs
    rows = torch.from_numpy(obs)
    return without_absent(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]).numpy()


def _played_rows(rollout: Rollout) -> Tensor | None:
    """Return T * B rows of each member among those it played, in their order, [P, T * B]; None where it played all."""
    if rollout.played is None:
        return None
    played = _member_major(rollout.played)
    count = np.arange(played.shape[1])
    return torch.from_numpy(np.stack([(own := np.flatnonzero(row))[count * len(own) // len(count)] for row in played]))


def _take(column: Tensor, rows: Tensor) -> Tensor:
    """Return the given rows [P, N] of a column [P, M, ..]."""
    return torch.stack([own.index_select(0, chosen) for own, chosen in zip(column, rows, strict=True)])


def _member_major(array: NDArray[Any]) -> NDArray[Any]:
    """Turn [T, P, B, ..] into [P, T * B, ..]."""
    steps, members, envs = array.shape[:3]
    return np.ascontiguousarray(array.swapaxes(0, 1)).reshape(members, steps * envs, *array.shape[3:])


def _normalised(advantages: Tensor, importance: Tensor | None) -> Tensor:
    """Standardise advantages [P, N]; where teachers acted, rows count and come out by their importance [P, N]."""
    if importance is None:
        var, mean = torch.var_mean(advantages, dim=1, correction=0, keepdim=True)
        return (advantages - mean) / (var.sqrt() + _EPSILON)
    share = importance / importance.sum(dim=1, keepdim=True).clamp(min=_EPSILON)
    mean = (share * advantages).sum(dim=1, keepdim=True)
    var = (share * (advantages - mean).square()).sum(dim=1, keepdim=True)
    return importance * (advantages - mean) / (var.sqrt() + _EPSILON)
