"""Seeds of what is played beside the evaluation."""

from __future__ import annotations

from roamrl.envs.canonical import JSON, content_hash


def seed_apart(evaluation: int, purpose: JSON) -> int:
    """Return a seed that is a hash of what it is for, and never the evaluation's."""
    seed = int(content_hash(purpose)[:7], 16)
    return seed + 1 if seed == evaluation else seed
