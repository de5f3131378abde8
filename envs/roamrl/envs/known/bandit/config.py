"""The config of ``bandit-v1``: how many arms, how many pulls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from roamrl.envs.canonical import JSON, plain
from roamrl.envs.checked_values import known_keys, whole


@dataclass(frozen=True)
class BanditConfig:
    """A full config; its JSON is part of every task.

    Attributes:
        arms: Arms, K.
        pulls: Pulls of an episode (10, 100 and 500 in Duan et al., "RL^2", 2016).
    """

    arms: int = 5
    pulls: int = 100

    def to_json(self) -> dict[str, JSON]:
        """Return the full config as plain JSON."""
        return dict(plain(asdict(self)))


def read_config(given: Mapping[str, JSON]) -> BanditConfig:
    """Check what was given and fill in the rest.

    Raises:
        InputError: If a key is unknown (names the nearest) or a value cannot be used.
    """
    known_keys("bandit config key", given, [entry.name for entry in fields(BanditConfig)])
    values = {**asdict(BanditConfig()), **given}
    return BanditConfig(arms=whole("arms", values["arms"], 2, 1000), pulls=whole("pulls", values["pulls"], 1, 10_000))
