"""Experts: published policies, ready to be looked at, built and asked."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.platform.monitoring.metrics import STORE_LOADS, count
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.bundle import decode_bundle, read_blob
from roamrl.platform.store.cache import BlobCache
from roamrl.platform.store.entry import Entry
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.manifest import Manifest
from roamrl.platform.store.signatures import encode_signature, signed_content, signing_keys, write_signature
from roamrl.platform.store.signing import Signer
from roamrl.platform.store.trust_policy import Standing, TrustPolicy

if TYPE_CHECKING:
    from roamrl.algorithms.population.acting import StackedPolicy
    from roamrl.algorithms.population.modules.stacked import StackedModule


class Expert:
    """One published policy; its weights are fetched and checked when first needed.

    Attributes:
        entry: What the store says of it.
    """

    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        entry: Entry,
        cache: BlobCache | None = None,
        policy: TrustPolicy | None = None,
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._cache = cache
        self._policy = policy
        self.entry = entry

    @property
    def id(self) -> str:
        """The sha256 of its manifest."""
        return self.entry.id

    @property
    def manifest(self) -> Manifest:
        """What it learned on, how, and how well it does."""
        return self.entry.manifest

    def bundle(self) -> PolicyBundle:
        """Return its module spec and weights, checked against the manifest, after a look at who signed it.

        Raises:
            SignatureError: If no trusted key signed it, and the signature policy is ``enforce``.
            StoreError: If the weights are missing, were changed, hold NaN, or the module is not on the allow-list.
        """
        return self._bundle

    def policy(self, device: str = "cpu") -> StackedModule:
        """Return a ready module of one member, a fresh one at each call.

        Raises:
            StoreError: As :meth:`bundle`.
            InputError: If the weights do not fit the module.
        """
        from roamrl.algorithms.population.modules.build import from_bundles

        return from_bundles([self._bundle], device)

    def act(self, obs: ArrayLike, *, greedy: bool = True, rng: np.random.Generator | None = None) -> NDArray[Any]:
        """Return its actions for observations [N, *O], or its action for a single one [*O].

        Args:
            obs: Observations; finite numbers.
            greedy: Take the most likely action; otherwise draw one.
            rng: Source of randomness for drawing.

        Raises:
            StoreError: If the observations have another shape than its observation space, or are not finite.
        """
        if self._stacked.carries:
            raise StoreError(f"expert {self.entry.short} carries a memory from step to step; ask its session(rows)")
        shape = self._bundle.spec.observation_space.shape
        values = np.asarray(obs, np.float32)
        if shape is None:
            raise StoreError(f"expert {self.entry.short} has no array observations; use its policy()")
        extra = values.ndim - len(shape)
        if extra not in (0, 1) or values.shape[extra:] != shape:
            raise StoreError(f"expert {self.entry.short} observes {shape}, or [N, ..] of it; got {values.shape}")
        if not np.isfinite(values).all():
            raise StoreError("observations hold NaN or an infinity; an expert takes finite numbers")
        rows = values.reshape(1, len(values) if extra else 1, *shape)
        actions: NDArray[Any] = self._stacked.act(rows, greedy=greedy, rng=rng)[0]
        return actions if extra else np.asarray(actions[0])

    def session(self, rows: int = 1) -> StackedPolicy:
        """Return its policy at the beginning of a trial in so many rows: act, then after(rewards, ended), by turns."""
        from roamrl.algorithms.population.acting import StackedPolicy

        policy = StackedPolicy([self._bundle])
        policy.begin(rows)
        return policy

    @cached_property
    def _bundle(self) -> PolicyBundle:
        if self._policy is not None:
            self._policy.check(self._backend, self.entry, self._limits)
        data = read_blob(self._backend, self.manifest, self._limits, self._cache)
        count(STORE_LOADS)
        return decode_bundle(self.manifest, data, self._limits)

    @cached_property
    def _stacked(self) -> StackedPolicy:
        from roamrl.algorithms.population.acting import StackedPolicy

        return StackedPolicy([self._bundle])

    def signatures(self) -> list[Standing]:
        """Return its signatures and what they are worth to this user, those by trusted keys first.

        Raises:
            StoreUnavailableError: If the store does not answer.
        """
        policy = self._policy or TrustPolicy()
        return policy.standings(self._backend, self.entry, self._limits, signing_keys(self._backend, self.id))

    def sign(self, signer: Signer) -> bool:
        """Sign it; say whether it had no valid signature by that key before.

        Raises:
            StoreError: If its entry was not written in canonical form, or the store cannot be written.
        """
        data = encode_signature(signer, signed_content(self.entry))
        return write_signature(self._backend, self.id, signer.key.id, data)

    def __repr__(self) -> str:
        manifest = self.manifest
        return f"Expert({self.entry.short}, {manifest.family}, {manifest.strategy}, {manifest.env_steps} steps)"

    def __reduce__(self) -> tuple[Any, ...]:
        policy = None if self._policy is None else self._policy.of_expert(self.id)
        return (Expert, (self._backend, self._limits, self.entry, self._cache, policy))
