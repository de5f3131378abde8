"""The family's config: what fixes the spaces and the scale of a downlink."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Final

from roamrl.envs.canonical import JSON, plain
from roamrl.envs.checked_values import known_keys, number, one_of, whole
from roamrl.envs.errors import InputError

SHARINGS: Final = ("shared", "dedicated")
OBSERVABLE: Final = ("arrivals", "fading_mean_db", "violation_cost")

MOST_ACTIONS: Final = 4096
"""Most joint actions that several users' rates may make."""

MOST_CHANNEL_STATES: Final = 10_000
"""Most channel states of a user (blocks of equal gains are interchangeable) for which its chain can be solved."""


@dataclass(frozen=True)
class UrllcConfig:
    """A full config; its JSON is part of every task.

    Attributes:
        users: Users U, each with a buffer and a channel of its own.
        resource_blocks: Blocks B of a slot; a block serves one user.
        sharing: ``shared``: the users share the B blocks; ``dedicated``: each user has B blocks to itself, so that
            users do not meet. Of no effect for one user.
        gains: Levels of a block's power gain, equally probable and independent from slot to slot and block to block.
        snr_per_power: SNR that a unit of power gives at gain 1; a block carries log2(1 + snr_per_power * gain * power)
            packets.
        buffer_packets: Most packets that wait for a user.
        max_rate: Most packets a user is sent in a slot.
        max_arrivals: Most packets that arrive for a user in a slot.
        backlog_limit: A user is violated in a slot after which more packets than this are left.
        loss_weight: A lost packet costs this times the violation cost.
        history: Slots whose arrivals and rates the agent sees, the latest last; 0 for none.
        observed: Context variables the agent sees.
        episode_slots: Slots of an episode.
    """

    users: int = 1
    resource_blocks: int = 1
    sharing: str = "shared"
    gains: tuple[float, ...] = (0.1, 0.25, 0.45, 0.7, 1.0, 1.4, 2.0, 3.2)
    snr_per_power: float = 4.0
    buffer_packets: int = 24
    max_rate: int = 8
    max_arrivals: int = 8
    backlog_limit: int = 6
    loss_weight: float = 0.0
    history: int = 0
    observed: tuple[str, ...] = ()
    episode_slots: int = 1000

    @property
    def coupled(self) -> bool:
        """Whether users compete for blocks."""
        return self.users > 1 and self.sharing == "shared"

    @property
    def actions(self) -> int:
        """Number of joint actions, (max_rate + 1) to the power of the users."""
        return int((self.max_rate + 1) ** self.users)

    def to_json(self) -> dict[str, JSON]:
        """Return the full config as plain JSON."""
        return dict(plain(asdict(self)))


def read_config(given: Mapping[str, JSON]) -> UrllcConfig:
    """Check what was given and fill in the rest; there are as many blocks as users unless said otherwise.

    Raises:
        InputError: If a key is unknown (names the nearest) or a value cannot be used.
    """
    known_keys("urllc config key", given, [entry.name for entry in fields(UrllcConfig)])
    values = {**UrllcConfig().to_json(), **given}
    users = whole("users", values["users"], 1, 4)
    buffer = whole("buffer_packets", values["buffer_packets"], 1, 200)
    config = UrllcConfig(
        users=users,
        resource_blocks=whole("resource_blocks", given.get("resource_blocks", users), 1, 8),
        sharing=one_of("sharing", values["sharing"], SHARINGS),
        gains=_gains(values["gains"]),
        snr_per_power=number("snr_per_power", values["snr_per_power"], 1e-3, 1e6),
        buffer_packets=buffer,
        max_rate=whole("max_rate", values["max_rate"], 1, 12),
        max_arrivals=whole("max_arrivals", values["max_arrivals"], 1, 16),
        backlog_limit=whole("backlog_limit", values["backlog_limit"], 0, buffer - 1),
        loss_weight=number("loss_weight", values["loss_weight"], 0.0, 1e3),
        history=whole("history", values["history"], 0, 64),
        observed=_observed(values["observed"]),
        episode_slots=whole("episode_slots", values["episode_slots"], 1, 1_000_000),
    )
    _check_together(config)
    return config


def _gains(value: JSON) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 16:
        raise InputError(f"gains: a list of 1 to 16 levels is needed, got {value!r}")
    levels = tuple(number(f"gains[{entry}]", level, 1e-6, 1e6) for entry, level in enumerate(value))
    if any(low >= high for low, high in pairwise(levels)):
        raise InputError(f"gains: levels rise from one to the next, got {list(levels)}; sort them and drop doubles")
    return levels


def _observed(value: JSON) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"observed: a list of context variables is needed, got {value!r}")
    names = tuple(one_of("observed", name, OBSERVABLE) for name in value)
    if len(set(names)) != len(names):
        raise InputError(f"observed: a variable is named twice in {list(names)}")
    return names


def _check_together(config: UrllcConfig) -> None:
    if config.coupled and config.resource_blocks < config.users:
        raise InputError(
            f"resource_blocks: {config.users} users who share need a block each, got {config.resource_blocks}; "
            "give more blocks, or sharing: dedicated"
        )
    if config.actions > MOST_ACTIONS:
        raise InputError(
            f"{config.users} users with rates 0 to {config.max_rate} make {config.actions} joint actions, more than "
            f"{MOST_ACTIONS}; lower users or max_rate"
        )
    states = math.comb(config.resource_blocks + len(config.gains) - 1, config.resource_blocks)
    if states > MOST_CHANNEL_STATES:
        raise InputError(
            f"{config.resource_blocks} blocks of {len(config.gains)} gains make {states} channel states, more than the "
            f"{MOST_CHANNEL_STATES} for which an optimum can be computed; lower resource_blocks or the number of gains"
        )
