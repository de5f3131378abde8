"""Wireless task families: contexts, tasks, splits, and batched environments. Never imports Ray or torch."""

from roamrl.envs.registration import register_families

register_families()
