"""Environments from elsewhere: any Gymnasium environment, as a family."""

from roamrl.envs.adapters.family import GYMNASIUM, GymnasiumFamily

__all__ = ["GYMNASIUM", "GymnasiumFamily"]
