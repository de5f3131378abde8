"""Policies nobody trained: fixed and informed persistence, binary exponential backoff, round robin, simple rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON
from roamrl.envs.episodes import Act, Episodes
from roamrl.envs.errors import InputError
from roamrl.envs.family import Family
from roamrl.envs.mac import cells, playing, rules
from roamrl.envs.mac.config import MACConfig, read_config
from roamrl.envs.mac.env import MEASURES, MACEnv
from roamrl.envs.mac.observation import observed_size
from roamrl.envs.mac.persistence import best_persistence
from roamrl.envs.mac.table import compile_tasks
from roamrl.envs.reference import Reference, Role
from roamrl.envs.task import Task

Chances = NDArray[np.float64]

TUNED_PERSISTENCE: Final = 0.08
"""Transmit probability of ``persistent``, tuned at five saturated stations and L = 10, to two decimals (``python -m
roamrl.envs.mac.tuning``; 0.0805 in closed form)."""

TUNED_CHANCE: Final[Mapping[str, float]] = {"keep-channel": 0.09, "reservation": 0.084, "longest-wait": 0.135}
"""Contention probabilities of the rules on an observation, tuned on ``val`` (``python -m roamrl.envs.mac.tuning``)."""


class Rule(Reference):
    """A rule of :mod:`roamrl.envs.mac.rules`; whole episodes of it are played by one compiled call.

    Attributes:
        code: Number of the rule.
        chance: Its probability of transmitting, where it has one.
    """

    def __init__(self, name: str, role: Role, about: str, code: int, chance: float = 0.0) -> None:
        self.name = name
        self.role = role
        self.about = about
        self.code = code
        self.chance = chance

    def chances(self, task: Task) -> Chances:
        """Return the probability of transmitting in a task by number of stations, [n_max + 1]."""
        return np.full(task.config["n_max"] + 1, self.chance)

    def play(self, family: Family, tasks: Sequence[Task], *, episodes: int, seed: int) -> Episodes:
        """Play E episodes of every task, on the streams of :func:`roamrl.envs.episodes.play`."""
        count = len(tasks)
        returns, measures = play_rows(
            self.code,
            tasks,
            [self.chances(task) for task in tasks],
            np.repeat(np.arange(count), episodes),
            np.tile(np.arange(episodes), count),
            seed,
        )
        shape = (count, episodes)
        return Episodes(returns.reshape(shape), {name: each.reshape(shape) for name, each in measures.items()})

    def acting(self, env: BatchedEnv) -> Act:
        """Return the rule as a policy that acts step by step in one environment, from an episode's start.

        Raises:
            InputError: If it is another family's environment.
        """
        if not isinstance(env, MACEnv):
            raise InputError(f"{self.name} acts in environments of mac-v1, not in {type(env).__name__}")
        shape = (env.num_envs, env.config.n_max)
        memory = np.zeros(shape, rules.MEMORY)
        chances = np.stack([self.chances(task) for task in env.tasks])

        def act(obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
            assert isinstance(env, MACEnv)
            transmit = np.zeros(shape, np.int8)
            seen = np.ascontiguousarray(obs, np.float32).reshape(*shape, -1)
            playing.choose_cells(self.code, env.task_rows, env.table, chances, env.state, seen, memory, transmit)
            return transmit.reshape(*obs.shape[:-1])

        return act


def play_rows(
    code: int,
    tasks: Sequence[Task],
    chances: Sequence[Chances],
    entries: NDArray[np.int64],
    indices: NDArray[np.int64],
    seed: int,
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Play R episodes of a rule by one compiled call; return their returns, [R], and measures, [R] by name.

    Args:
        code: Number of the rule.
        tasks: T tasks of one config; one may be there several times, with probabilities of its own.
        chances: Probability of transmitting of each task by number of stations, T of [n_max + 1].
        entries: Which of the tasks each episode is of, [R].
        indices: Index of each episode's streams, [R].
        seed: Seed of the streams.

    Raises:
        InputError: If the tasks do not share one config.
    """
    config = read_config(tasks[0].config)
    if any(task.config_hash != tasks[0].config_hash for task in tasks):
        raise InputError("tasks of different configs cannot be played together; play each config by itself")
    returns, measures = np.zeros(len(indices)), np.zeros((len(indices), cells.MEASURES))
    playing.play_episodes(
        code,
        seed,
        indices,
        entries,
        compile_tasks(tasks, config),
        np.stack(chances),
        cells.make_cells(1, config.n_max, config.queue_packets),
        np.zeros((config.n_max, observed_size(config)), np.float32),
        np.zeros(config.n_max, rules.MEMORY),
        np.zeros(config.n_max, np.int8),
        returns,
        measures,
    )
    return returns, {name: measures[:, column] for column, name in enumerate(MEASURES)}


class InformedRule(Rule):
    """A rule that transmits with the best p for a number of stations that it knows."""

    def chances(self, task: Task) -> Chances:
        """Return the best saturated p of each number of stations for the task's L."""
        slots = int(task.context["packet_slots"])
        return np.array([best_persistence(max(stations, 1), slots) for stations in range(task.config["n_max"] + 1)])


ROUND_ROBIN: Final = Rule(
    "round-robin", "other", "no collisions: the longest wait among those with a packet", rules.ROUND_ROBIN
)


class Oracle(Reference):
    """A clairvoyant scheduler: of three schedules without collisions the one that delivers most, episode by episode.

    Each lets one station with a packet transmit whenever there is one. Saturated, that is round robin and exact: no
    policy carries more than L of every L + 1 slots, and all stations get the same. Otherwise:

    * A service takes L + 1 slots whoever is served, and the channel never rests while there is something to send. So
      where no packet is lost and nobody leaves, no policy has delivered more packets by any slot, not even one that
      knew the future.
    * Where queues overflow, the longest queue first loses the fewest packets of all policies that do not know the
      future, with stations that are alike (Wasserman and Bambos, Probability in the Engineering and Informational
      Sciences 10(2), 1996); stations know less than the queues.
    * Where stations leave, those that leave at the next jump are served first.

    With a fairness term a delivered slot counts as one here, the most it can count: a bound, reached when saturated.
    """

    name = "oracle"
    role = "oracle"
    about = "clairvoyant, no collisions: the best of three schedules in every episode"

    def __init__(self) -> None:
        self._schedules = [Rule("", "other", "", code) for code in (rules.LONGEST_QUEUE, rules.LEAVING_FIRST)]
        self._schedules.append(ROUND_ROBIN)

    def play(self, family: Family, tasks: Sequence[Task], *, episodes: int, seed: int) -> Episodes:
        """Play E episodes of every task under each schedule, and keep the best of each episode."""
        config = read_config({**tasks[0].config, "fairness": 0.0}).to_json()
        fair = [Task(task.family, config, task.context) for task in tasks]
        played = [schedule.play(family, fair, episodes=episodes, seed=seed) for schedule in self._schedules]
        best = np.argmax([part.returns for part in played], axis=0)

        def chosen(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
            return np.asarray(np.choose(best, parts))

        measures = {name: chosen([part.measures[name] for part in played]) for name in MEASURES}
        return Episodes(chosen([part.returns for part in played]), measures)


def persistent(chance: float) -> Rule:
    """Return p-persistent access with one p for every cell."""
    return Rule("persistent", "trivial", "every station transmits with p, tuned at N = 5", rules.PERSISTENT, chance)


def references(config: Mapping[str, JSON]) -> dict[str, Reference]:
    """Return the references under a full config by name; the first of each role stands for it in scores.

    ``longest-wait`` is among them where stations observe the longest of the others' waits.
    """
    full = read_config(config)
    offered = [
        persistent(TUNED_PERSISTENCE),
        Rule("backoff", "classical", "binary exponential backoff of IEEE 802.11, windows 16 to 1024", rules.BACKOFF),
        InformedRule("persistent-n", "classical", "every station transmits with the best p for N", rules.PERSISTENT),
        InformedRule("persistent-backlog", "other", "the best p for the stations that have a packet", rules.BACKLOG),
        *(observing(name, chance) for name, chance in TUNED_CHANCE.items() if offers(full, name)),
        ROUND_ROBIN,
        Oracle(),
    ]
    return {reference.name: reference for reference in offered}


OBSERVING: Final[Mapping[str, tuple[int, str]]] = {
    "keep-channel": (rules.KEEP, "on the observation: who got through goes on"),
    "reservation": (rules.RESERVATION, "on the observation: a place that worked one history ago is kept"),
    "longest-wait": (rules.LONGEST_WAIT, "on the observation: who waits longest transmits"),
}
"""Rules on an observation: number and description."""


def offers(config: MACConfig, name: str) -> bool:
    """Return whether a rule's observation is there under a config."""
    return name != "longest-wait" or config.others_d2lt == "longest"


def observing(name: str, chance: float) -> Rule:
    """Return a rule on the observation that contends with a probability."""
    code, about = OBSERVING[name]
    return Rule(name, "other", about, code, chance)
