"""The family ``slicing-v1``: an xApp splits one NR cell's resource blocks among slices."""

from roamrl.envs.slicing.family import SLICING

__all__ = ["SLICING"]
