"""The family ``mac-v1``: stations share a slotted channel without knowing how many they are."""

from roamrl.envs.mac.family import MAC

__all__ = ["MAC"]
