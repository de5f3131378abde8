"""The family's config: what fixes the spaces, the length of an episode and the reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from roamrl.envs.canonical import JSON, plain
from roamrl.envs.checked_values import known_keys, number, one_of, whole
from roamrl.envs.mac.cells import MOST_SLOTS

OTHERS_D2LT = ("last", "longest")


@dataclass(frozen=True)
class MACConfig:
    """A full config; its JSON is part of every task.

    Attributes:
        n_max: Rows of an observation and entries of an action: most stations a cell can have.
        history: Events (contention epochs) an observation holds, the latest last.
        others_d2lt: What a station knows of the others' delay since their last success: ``last``, the time since any
            of them succeeded (it hears that a packet got through), or ``longest``, the largest among them (it hears
            whose packet got through, and keeps a table).
        episode_slots: Slots of an episode.
        queue_packets: Packets a station can hold; one that arrives at a full queue is lost.
        burst_packets: Packets that arrive together under the arrival law ``bursts``.
        fairness: Weight w, 0 to 1, of the fairness term: a delivered slot counts 1 - w (1 - d / d_max), d the D2LT of
            its station and d_max the largest among the stations that had a packet.
        collision_cost: Reward taken for each of the L slots of a collision; the slots are lost anyhow.
    """

    n_max: int = 40
    history: int = 8
    others_d2lt: str = "last"
    episode_slots: int = 20_000
    queue_packets: int = 10
    burst_packets: int = 5
    fairness: float = 0.0
    collision_cost: float = 0.0

    def to_json(self) -> dict[str, JSON]:
        """Return the full config as plain JSON."""
        return dict(plain(asdict(self)))


def read_config(given: Mapping[str, JSON]) -> MACConfig:
    """Check what was given and fill in the rest.

    Raises:
        InputError: If a key is unknown (names the nearest) or a value cannot be used.
    """
    known_keys("mac config key", given, [entry.name for entry in fields(MACConfig)])
    values = {**asdict(MACConfig()), **given}
    return MACConfig(
        n_max=whole("n_max", values["n_max"], 1, 1000),
        history=whole("history", values["history"], 1, 1000),
        others_d2lt=one_of("others_d2lt", values["others_d2lt"], OTHERS_D2LT),
        episode_slots=whole("episode_slots", values["episode_slots"], 1, MOST_SLOTS),
        queue_packets=whole("queue_packets", values["queue_packets"], 1, 10_000),
        burst_packets=whole("burst_packets", values["burst_packets"], 1, 1000),
        fairness=number("fairness", values["fairness"], 0.0, 1.0),
        collision_cost=number("collision_cost", values["collision_cost"], 0.0, 100.0),
    )
