"""The batched environment of ``slicing-v1``: B cells, each with its own context, stepped by one kernel call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from scipy.special import expit

from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.errors import InputError
from roamrl.envs.placement import Placement
from roamrl.envs.radio.fading import FADING_SLOTS
from roamrl.envs.slicing import kernel, lanes
from roamrl.envs.slicing.allocation import LOGIT, allocation_grid, softmax_shares
from roamrl.envs.slicing.config import SlicingConfig, read_config
from roamrl.envs.slicing.features import observed_numbers
from roamrl.envs.slicing.table import TaskTable, compile_tasks
from roamrl.envs.task import Task

MEASURES = ("violation_rate", "loss_rate", "prb_used", "throughput_mbps")
"""Step measures: share of slices whose mean delay passes c2; packets dropped of those dropped or delivered; mean
resource blocks in use; Mbit/s delivered."""


def observation_space(config: SlicingConfig) -> spaces.Box:
    """Return the space of one cell's observation: the last windows, then the observed context."""
    size = config.history * kernel.FEATURES * len(config.slices) + observed_size(config)
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def observed_size(config: SlicingConfig) -> int:
    """Return how many numbers of the context the agent sees."""
    lists = ("weights", "users", "rate_scale")
    names = [name for name in config.observed if name != "sla_target"]
    return sum(len(config.slices) if name in lists else 1 for name in names)


def weights_at(config: SlicingConfig) -> tuple[int, int] | None:
    """Return where the SLA weights stand in an observation, (start, stop); None if the agent does not see them."""
    if "weights" not in config.observed:
        return None
    size, slices = observation_space(config).shape[0], len(config.slices)
    before = observed_size(replace(config, observed=config.observed[: config.observed.index("weights")]))
    start = size - observed_size(config) + before
    return start, start + slices


def action_space(config: SlicingConfig) -> spaces.Space[Any]:
    """Return the space of one cell's action."""
    slices = len(config.slices)
    if config.action == "continuous":
        return spaces.Box(-LOGIT, LOGIT, (slices,), np.float32)
    return spaces.Discrete(len(allocation_grid(slices)))


class SlicingEnv(BatchedEnv):
    """N cells of K slices; see :class:`~roamrl.envs.batched.BatchedEnv` for what step and reset return.

    An observation holds for each of the last ``history`` windows (the latest last) and each slice: log1p of offered
    and of backlog bits (unit 1e5), head-of-line delay and mean delay over the target (at most 6), mean spectral
    efficiency (0 without users), share; then the observed part of the context.

    For references and oracles: ``allocations`` [A, K]; ``offered_bits``, ``backlog_bits``, ``efficiency``,
    ``delay_ms``, ``weights`` [N, K] of the last window and the tasks being played; ``parameters`` [N, K, PARAMETERS]
    of the tasks being played; ``users``, ``queues`` (lane = row * K + slice), ``traces``, ``window_ms`` for the
    functions of :mod:`roamrl.envs.slicing.kernel`.

    Args:
        placement: Seeds, indices and task pools of the rows; tasks of one config.
        autoreset_mode: SAME_STEP, NEXT_STEP or DISABLED.

    Raises:
        InputError: If the tasks do not share one config.
    """

    def __init__(self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP) -> None:
        first = placement.pools[0][0]
        if any(task.config_hash != first.config_hash for pool in set(placement.pools) for task in pool):
            raise InputError("tasks of different configs have different spaces; make one environment for each config")
        self.config = read_config(first.config)
        self.window_ms = self.config.window_ms
        self.allocations = allocation_grid(len(self.config.slices))
        super().__init__(placement, observation_space(self.config), action_space(self.config), autoreset_mode)
        slices, slots = len(self.config.slices), self.config.user_slots
        self.users = lanes.make_users(self.num_envs * slices, slots)
        self.queues = lanes.make_queues(self.num_envs * slices, slots, self.config.buffer_packets)
        self._out = np.zeros((self.num_envs, slices, lanes.MEASURED))
        self._shares = np.full((self.num_envs, slices), 1.0 / slices)
        self._features = np.zeros((self.num_envs, slices, kernel.FEATURES))
        self._frames = np.zeros((self.num_envs, self.config.history, slices * kernel.FEATURES), np.float32)
        self._measured = np.zeros((self.num_envs, kernel.MEASURES))
        self._measures = {name: self._measured[:, column] for column, name in enumerate(MEASURES)}
        self._reward_parts: NDArray[np.float64] | None = None

    def _compile(self, tasks: Sequence[Task]) -> None:
        self._table: TaskTable = compile_tasks(tasks, self.config)
        self._window = lanes.make_window(
            self.config.user_slots, self._table.packets, self.config.window_slots // FADING_SLOTS
        )
        self._observed = np.array([observed_numbers(task, self.config) for task in tasks], np.float32)

    def _begin(self, rows: NDArray[np.int64]) -> None:
        keys = np.stack([self._seeds[rows], self._episodes[rows], self._indices[rows]], axis=1)
        table = self._table
        kernel.begin_cells(rows, keys, self._task_rows, table.parameters, table.traces, self.users, self.queues)
        self._shares[rows] = 1.0 / self._shares.shape[1]
        rewards, measured = np.zeros_like(self._rewards), np.zeros_like(self._measured)
        for _ in range(self.config.warmup_windows):
            self._run(rows, rewards, measured)

    def _run(self, rows: NDArray[np.int64], rewards: NDArray[np.float64], measured: NDArray[np.float64]) -> None:
        """Run one window in these rows at ``_shares`` and push it on their history."""
        kernel.step_cells(
            rows,
            self._shares,
            self.window_ms,
            self._task_rows,
            self._table.parameters,
            self._table.traces,
            self.users,
            self.queues,
            self._window,
            self._out,
            self._features,
            self.config.late_penalty,
            rewards,
            measured,
        )
        where = self._where(rows)
        if self.config.history > 1:
            self._frames[where, :-1] = self._frames[where, 1:]
        self._frames[where, -1] = self._features[where].reshape(len(rows), self._frames.shape[2])

    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        rows = self._all_rows[active]
        where = self._where(rows)
        if len(rows) < self.num_envs:
            self._measured[~active] = 0.0
        self._shares[where] = self._to_shares(actions)[where]
        self._run(rows, self._rewards, self._measured)
        slices = self._shares.shape[1]
        played = self.users.lanes["window"][::slices] - self.config.warmup_windows
        self._truncated[where] = played[where] >= self.config.episode_windows
        if self._reward_parts is not None:
            self._reward_parts[where] = self._satisfaction()[where]

    def keep_reward_parts(self) -> None:
        """From now on keep each slice's satisfaction, which the reward weighs."""
        self._reward_parts = np.zeros(self._shares.shape)

    def reward_parts(self) -> NDArray[np.float64]:
        """Return 1 / (1 + exp(c1 (d - c2))) of each slice in the last step, less the late penalty, [N, K]."""
        return super().reward_parts() if self._reward_parts is None else self._reward_parts.copy()

    def _satisfaction(self) -> NDArray[np.float64]:
        out, p = self._out, self.parameters
        packets = out[..., lanes.DELIVERED] + out[..., lanes.DROPPED] + out[..., lanes.WAITING]
        late = np.mean(out[..., lanes.LATE] / np.maximum(packets, 1.0), axis=1, keepdims=True)
        satisfied = expit(p[..., lanes.C1] * (p[..., lanes.C2] - self.delay_ms))
        return np.asarray(satisfied - self.config.late_penalty * late)

    def _to_shares(self, actions: NDArray[Any]) -> NDArray[np.float64]:
        if self.config.action == "continuous":
            if actions.shape != self._shares.shape or not np.isfinite(actions).all():
                raise InputError(f"continuous actions are finite logits {self._shares.shape}, got {actions.shape}")
            return softmax_shares(np.clip(actions.astype(np.float64), -LOGIT, LOGIT))
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= len(self.allocations):
            raise InputError(f"discrete actions are {self.num_envs} numbers below {len(self.allocations)}: {actions!r}")
        return np.asarray(self.allocations[actions])

    def _observe(self, rows: NDArray[np.int64]) -> None:
        where = self._where(rows)
        seen = self._frames.shape[1] * self._frames.shape[2]
        self._obs[where, :seen] = self._frames[where].reshape(len(rows), seen)
        self._obs[where, seen:] = self._observed[self._task_rows[where]]

    def _where(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | slice:
        """Return these rows as NumPy finds them fastest: all of them, as nearly always, as a slice."""
        return slice(None) if len(rows) == self.num_envs else rows

    def _arrays(self) -> State:
        state: State = {f"users.{name}": array for name, array in self.users._asdict().items()}
        state |= {f"queues.{name}": array for name, array in self.queues._asdict().items()}
        return state | {"out": self._out, "shares": self._shares, "frames": self._frames}

    @property
    def parameters(self) -> NDArray[np.float64]:
        """Parameters of the task each row plays, [N, K, PARAMETERS] (a copy)."""
        return self._table.parameters[self._task_rows]

    @property
    def traces(self) -> lanes.Traces:
        """Recorded traces that ``parameters`` refer to."""
        return self._table.traces

    @property
    def packets(self) -> int:
        """Room for one user's packets of one window, for ``lanes.make_window``."""
        return self._table.packets

    @property
    def offered_bits(self) -> NDArray[np.float64]:
        """Bits offered in the last window, [N, K]."""
        return self._out[..., lanes.OFFERED_BITS].copy()

    @property
    def backlog_bits(self) -> NDArray[np.float64]:
        """Bits yet to be sent at the end of the last window, [N, K]."""
        return self._out[..., lanes.BACKLOG_BITS].copy()

    @property
    def efficiency(self) -> NDArray[np.float64]:
        """Mean spectral efficiency of the users present in the last window, [N, K]; 0 without users."""
        return self._out[..., lanes.EFFICIENCY].copy()

    @property
    def outcome(self) -> NDArray[np.float64]:
        """All that was measured in the last window, [N, K, MEASURED] (columns of ``lanes``)."""
        return self._out.copy()

    @property
    def delay_ms(self) -> NDArray[np.float64]:
        """Mean delay in the last window, [N, K]; 0 without packets."""
        out = self._out
        packets = out[..., lanes.DELIVERED] + out[..., lanes.DROPPED] + out[..., lanes.WAITING]
        return np.asarray(out[..., lanes.DELAY_SUM_MS] / np.maximum(packets, 1.0))

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights of the slices in the reward, [N, K]."""
        return self.parameters[..., lanes.WEIGHT]
