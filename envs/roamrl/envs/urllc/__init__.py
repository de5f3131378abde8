"""The family ``urllc-v1``: how many packets to send a slot, power against reliability."""

from roamrl.envs.urllc.family import URLLC

__all__ = ["URLLC"]
