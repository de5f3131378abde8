"""Families whose truth is known exactly, to check learning against."""

from roamrl.envs.known.bandit.family import BANDIT
from roamrl.envs.known.navigation.family import NAVIGATION

__all__ = ["BANDIT", "NAVIGATION"]
