"""mobile-env's small scenario with users and base stations that may be absent, and a policy an engineer would try.

The scenario has five users and three stations. Absent ones stay in the observation, idle and silent, so that all tasks
have the same spaces.
"""

from __future__ import annotations

from typing import Any

from mobile_env.core.arrival import NoDeparture

PRESENT_DBM, ABSENT_DBM = 30.0, -1000.0


class FirstUsers(NoDeparture):
    """The first users are there from the start to the end; the others never come."""

    def __init__(self, users: int, ep_time: int) -> None:
        super().__init__(ep_time=ep_time, seed=0, reset_rng_episode=False)
        self.users = users

    def arrival(self, ue: Any) -> int:
        """Return the step at which a user comes."""
        return 0 if ue.ue_id < self.users else self.ep_time + 1


def populate(env: Any, context: dict[str, Any]) -> None:
    """Set how many users and stations there are; called before every reset."""
    env.arrival = FirstUsers(context["users"], env.EP_MAX_TIME)
    for station in env.stations.values():
        station.tx_power = PRESENT_DBM if station.bs_id < context["stations"] else ABSENT_DBM


def strongest(observation: Any, env: Any, context: dict[str, Any]) -> list[int]:
    """Connect every user that has no connection to the strongest station it can reach (0 changes nothing)."""
    actions = []
    for user in env.users.values():
        connected = any(user in users for users in env.connections.values())
        reachable = env.available_connections(user) if user in env.active and not connected else ()
        best = max(reachable, key=lambda station: env.channel.snr(station, user), default=None)
        actions.append(0 if best is None else best.bs_id + 1)
    return actions
