"""Experts on their way to Ray tasks: their arrays once in Ray's object store, and in the expert store for good."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import ray

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.platform.store.expert import Expert

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HandedOver:
    """An expert for Ray tasks. Tasks of a node share one copy of its arrays, which they cannot write to.

    Attributes:
        expert: The expert, without its weights.
        reference: Its policy in Ray's object store, held by the process that put it there.
    """

    expert: Expert
    reference: Any

    def bundle(self) -> PolicyBundle:
        """Return the policy; from the expert store where Ray has lost it, e.g. with its owner or a node.

        Raises:
            StoreError: If Ray has lost it and the store does not give it.
        """
        try:
            bundle: PolicyBundle = ray.get(self.reference)
        except (ray.exceptions.ObjectLostError, ray.exceptions.ObjectFetchTimedOutError) as error:
            _log.warning("expert %s is read from the store: %s", self.expert.entry.short, type(error).__name__)
            return self.expert.bundle()
        return bundle


@dataclass
class Handover:
    """What one process has put into Ray's object store: every expert once, however many tasks ask for it."""

    _given: dict[str, HandedOver] = field(default_factory=dict)

    def give(self, expert: Expert) -> HandedOver:
        """Return an expert in the form in which tasks take it.

        Raises:
            StoreError: If its weights cannot be read.
        """
        if expert.id not in self._given:
            self._given[expert.id] = HandedOver(expert, ray.put(expert.bundle()))
        return self._given[expert.id]
