"""The expert store: the door to everything in this folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.envs.canonical import canonical_json
from roamrl.platform.monitoring.metrics import SPOOLED_ENTRIES, STORE_PUBLISHES, count, level
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.bundle import encode_bundle
from roamrl.platform.store.cache import BlobCache
from roamrl.platform.store.catalogue import Catalogue, Problem
from roamrl.platform.store.entry import Entry
from roamrl.platform.store.errors import StoreError, StoreReadOnlyError, StoreUnavailableError
from roamrl.platform.store.expert import Expert
from roamrl.platform.store.format import check_store, make_store
from roamrl.platform.store.garbage import DAY_S, Collector, GarbageReport
from roamrl.platform.store.layout import check_id, check_tag, is_id_prefix, tombstone_key
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.location import backend_at
from roamrl.platform.store.manifest import ManifestFields, build_record
from roamrl.platform.store.probe import ProbeResult, probe
from roamrl.platform.store.publish import publish_entry, stamp
from roamrl.platform.store.query import Condition, Query, nearest_rows
from roamrl.platform.store.signing import Signer, signer_of_environment
from roamrl.platform.store.spool import Spool
from roamrl.platform.store.tags import move_tag, read_tag, tag_names
from roamrl.platform.store.transfer import TransferReport, copy_entries
from roamrl.platform.store.trust_policy import TrustPolicy
from roamrl.platform.store.verify import VerifyReport, verify_store

_log = logging.getLogger(__name__)


class Neighbour(NamedTuple):
    """An entry and the distance of its features from those asked about."""

    entry: Entry
    distance: float


class ExpertStore:
    """Published policies, found by id, by tag, by query and by nearest context.

    Reading: :meth:`get`, :meth:`ls`, :meth:`find`, :meth:`nearest`, :meth:`tags`. What they see is the store as of
    the first question or the last :meth:`refresh`, and what was published through this object; a store that is away
    meanwhile is answered for from that, and from the node's cache of weights.
    Writing: :meth:`publish`, :meth:`tag`, :meth:`retract`, :meth:`copy_to`. Nothing is ever changed in place.
    Upkeep: :meth:`probe`, :meth:`verify`, :meth:`compact`, :meth:`gc`.

    Attributes:
        spool: Where entries wait while the store takes no writes; None where that is an error.
        policy: What signatures experts must have to be loaded from here, or copied here.
    """

    def __init__(
        self,
        backend: Backend,
        limits: Limits | None = None,
        cache: BlobCache | None = None,
        spool: Spool | None = None,
        policy: TrustPolicy | None = None,
    ) -> None:
        self._backend = backend
        self._limits = limits or Limits()
        self._cache = cache
        self.spool = spool
        self.policy = policy or TrustPolicy()
        self._catalogue = Catalogue(backend, self._limits)
        self._outdated = True
        self._read_once = False
        self._probed: ProbeResult | None = None

    @classmethod
    def open(
        cls, where: str | Path, limits: Limits | None = None, *, spooling: bool = False, signatures: str | None = None
    ) -> ExpertStore:
        """Open a store.

        Args:
            where: A folder, as a path or ``file://`` URL, or ``s3://bucket/prefix``.
            limits: Bounds on what is read and published.
            spooling: Keep on this node what is published while the store takes no writes (:class:`Spool`).
            signatures: What happens to experts that no trusted key signed: ``off``, ``warn``, ``enforce``; None for
                what ``ROAMRL_SIGNATURES`` says, or else ``warn`` if this user trusts any key.

        Raises:
            StoreError: If there is no store, it is of another version, or the file of trusted keys cannot be used.
        """
        store = cls._at(where, limits, spooling, signatures)
        check_store(store._backend, store._limits)
        return store

    @classmethod
    def init(
        cls, where: str | Path, limits: Limits | None = None, *, spooling: bool = False, signatures: str | None = None
    ) -> ExpertStore:
        """Make a store in a new or empty folder or prefix, or open the one that is there (as :meth:`open`).

        Raises:
            StoreError: If the place holds something else, or cannot be written.
        """
        store = cls._at(where, limits, spooling, signatures)
        make_store(store._backend)
        check_store(store._backend, store._limits)
        return store

    @classmethod
    def _at(cls, where: str | Path, limits: Limits | None, spooling: bool, signatures: str | None) -> ExpertStore:
        backend = backend_at(where)
        cache = BlobCache.of_node() if backend.remote else None
        spool = Spool.of(backend.location) if spooling else None
        return cls(backend, limits, cache, spool, TrustPolicy.of_user(signatures))

    @property
    def location(self) -> str:
        """Where the store is."""
        return self._backend.location

    @cached_property
    def signer(self) -> Signer | None:
        """The key that signs what this process publishes: that of ``ROAMRL_SIGNING_KEY``, None if it is not set.

        Raises:
            StoreError: If its file cannot be used.
        """
        return signer_of_environment()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not be read when the store was last looked at; everything else is unaffected."""
        return tuple(self._known().problems)

    def publish(
        self, bundle: PolicyBundle, manifest: ManifestFields | Mapping[str, Any], *, publisher: str | None = None
    ) -> str:
        """Publish a policy, signed if there is a :attr:`signer`; the same policy and manifest twice is one entry.

        With a spool, an entry that the store does not take now waits there, and is found by its id all the same.

        Args:
            bundle: The policy.
            manifest: What is to be said of it; module, tensors and blob are added from the bundle.
            publisher: Who publishes, ``user@host`` unless given.

        Returns:
            The entry's id.

        Raises:
            StoreError: If a field or weight is refused, or the store cannot be written.
        """
        if not isinstance(manifest, ManifestFields):
            manifest = build_record(ManifestFields, manifest, "manifest")
        complete, blob = encode_bundle(bundle, manifest, self._limits)
        if self.spool is None:
            entry = publish_entry(self._backend, self._limits, complete, blob, publisher, self.signer)
        else:
            entry = self.spool.publish(self._backend, self._limits, complete, blob, publisher, self.signer)
            level(SPOOLED_ENTRIES, len(self.spool.keys()))
        count(STORE_PUBLISHES)
        self.policy.pass_on(entry.id)
        self._outdated = True
        return entry.id

    def get(self, reference: str) -> Expert:
        """Return an expert by id, by the beginning of an id (four digits or more) or by tag.

        Raises:
            StoreError: If there is none, several begin so, or it was retracted.
        """
        waiting = self._waiting(reference)
        if waiting is not None and self.spool is not None:
            return Expert(self.spool.backend, self._limits, waiting, policy=self.policy)
        return Expert(self._backend, self._limits, self._entry_here(reference), self._cache, self.policy)

    def entry(self, reference: str) -> Entry:
        """Return an entry by id, by the beginning of an id or by tag; one that is not known yet is looked for.

        Raises:
            StoreError: As :meth:`get`.
        """
        return self._waiting(reference) or self._entry_here(reference)

    def _waiting(self, reference: str) -> Entry | None:
        """Return the entry that waits in the spool under an id, if there is one."""
        if self.spool is None or not is_id_prefix(reference):
            return None
        return self.spool.entry(reference, self._limits)

    def _entry_here(self, reference: str) -> Entry:
        start = reference if is_id_prefix(reference) else read_tag(self._backend, reference, self._limits)
        if start is None:
            known = ", ".join(tag_names(self._backend)) or "none"
            raise StoreError(f"no expert has the tag {reference!r}; known tags: {known}")
        if not self._known().starting_with(start):
            self.refresh()
        matches = self._catalogue.starting_with(start)
        if not matches:
            broken = [problem.message for problem in self._catalogue.problems if f"/{start}" in problem.key]
            missing = f"no expert in {self.location} has the id {start[:16]}; list them with `roamrl store ls`"
            raise StoreError(broken[0] if broken else missing)
        if len(matches) > 1:
            found = ", ".join(match[:16] for match in matches[:5])
            raise StoreError(f"{len(matches)} experts begin with {start[:16]} ({found}); give more digits")
        if matches[0] in self._catalogue.retracted:
            raise StoreError(f"expert {matches[0][:12]} was retracted; choose another with `roamrl store ls`")
        return self._catalogue.entries([self._catalogue.row_of[matches[0]]])[0]

    def ls(self) -> list[Entry]:
        """Return all entries, oldest first."""
        return self.find()

    def find(
        self,
        *,
        family: str | None = None,
        config_hash: str | None = None,
        algorithm: str | None = None,
        strategy: str | None = None,
        study: str | None = None,
        split: str | None = None,
        seed: int | None = None,
        split_score: tuple[str, float] | None = None,
        context: Mapping[str, Condition] | None = None,
    ) -> list[Entry]:
        """Return the entries for which all the given conditions hold (see :class:`Query`), oldest first.

        Raises:
            StoreError: If a context variable occurs in no entry that fits otherwise.
        """
        query = Query(
            family=family,
            config_hash=config_hash,
            algorithm=algorithm,
            strategy=strategy,
            study=study,
            split=split,
            seed=seed,
            split_score=split_score,
            context=context or {},
        )
        catalogue = self._known()
        rows = np.flatnonzero(query.mask(catalogue.table) & catalogue.shown)
        return sorted(catalogue.entries(rows), key=lambda entry: (entry.envelope.published, entry.id))

    def nearest(self, features: ArrayLike, family: str, config_hash: str | None = None, k: int = 1) -> list[Neighbour]:
        """Return the ``k`` entries of a family whose contexts lie nearest, nearest first.

        Args:
            features: Features of the context asked about (``Family.features``), [D].
            family: Family id.
            config_hash: Hash of family and config (``Task.config_hash``); None compares over all configs.
            k: How many.

        Raises:
            StoreError: If features are not finite or of another length than the entries'.
        """
        catalogue = self._known()
        mask = Query(family=family, config_hash=config_hash).mask(catalogue.table) & catalogue.shown
        found = nearest_rows(catalogue.table, np.flatnonzero(mask), features, k)
        entries = catalogue.entries(row for row, _ in found)
        return [Neighbour(entry, distance) for entry, (_, distance) in zip(entries, found, strict=True)]

    def refresh(self) -> None:
        """See what others published, retracted and compacted since.

        Raises:
            StoreUnavailableError: If the store does not answer; what was known before is known on.
        """
        self._catalogue.refresh()
        self._outdated = False
        self._read_once = True

    def tag(self, name: str, reference: str) -> None:
        """Let a name stand for an expert from now on.

        Raises:
            StoreError: If the name cannot be a tag, there is no such expert, or the storage cannot keep tags
                (:meth:`probe`).
        """
        check_tag(name)
        self._check_tags()
        move_tag(self._backend, name, self._entry_here(reference).id, stamp(None))

    def tags(self) -> dict[str, str]:
        """Return the id each tag names."""
        found = {name: read_tag(self._backend, name, self._limits) for name in tag_names(self._backend)}
        return {name: entry_id for name, entry_id in found.items() if entry_id is not None}

    def retract(self, reference: str, reason: str) -> None:
        """Take an expert back: it is shown no more, and a collection after the grace period frees its weights.

        Raises:
            StoreError: If there is no such expert.
        """
        entry_id = check_id(self._entry_here(reference).id)
        envelope = stamp(None, datetime.now(UTC)).model_dump(mode="json")
        self._backend.put_if_absent(tombstone_key(entry_id), canonical_json({"envelope": envelope, "reason": reason}))
        self._outdated = True

    def copy_to(self, target: ExpertStore, references: Sequence[str] = ()) -> TransferReport:
        """Copy experts, their weights and signatures to another store; what is there already is left alone.

        What the target's signature policy refuses is not copied, and named in the report.

        Args:
            target: Where they go.
            references: Which, as :meth:`get` takes them; all that are not retracted if none are given.

        Raises:
            StoreError: If one is unknown or was changed, or the target does not take it.
        """
        ids = [self._entry_here(reference).id for reference in references]
        self.refresh()
        catalogue = self._catalogue
        chosen = ids or [entry_id for entry_id in catalogue.keys if entry_id not in catalogue.retracted]
        keys = {entry_id: catalogue.keys[entry_id] for entry_id in chosen}
        report = copy_entries(self._backend, target._backend, self._limits, keys, target.policy)
        target._outdated = True
        return report

    def deliver(self) -> TransferReport:
        """Bring what waits in the spool to the store.

        Raises:
            StoreError: If the store does not take it; what it took is there, and all of it still waits.
        """
        self._outdated = True
        return self.spool.empty_into(self._backend, self._limits) if self.spool is not None else TransferReport()

    def probe(self) -> ProbeResult:
        """Find out what the storage can do, by doing it."""
        self._probed = probe(self._backend)
        return self._probed

    def compact(self) -> str | None:
        """Write an index snapshot of all entries, so that readers open one file; return its key, None if empty."""
        self.refresh()
        return self._catalogue.compact()

    def verify(self) -> VerifyReport:
        """Read everything and check it against what names it."""
        return verify_store(self._backend, self._limits, self.policy)

    def gc(self, grace_s: float = DAY_S) -> GarbageReport:
        """Remove blobs nobody refers to and leftovers of killed writers, if older than the grace period.

        Args:
            grace_s: Seconds, by the store's own clock.

        Raises:
            StoreError: If the grace period is negative, or the store cannot be written.
        """
        if not grace_s >= 0:
            raise StoreError(f"a grace period of {grace_s} s makes no sense; give 0 or more seconds")
        return Collector(self._backend, self._limits, grace_s).run()

    def _known(self) -> Catalogue:
        """Return the catalogue, read anew if it is outdated and the store answers."""
        if self._outdated:
            try:
                self.refresh()
            except StoreUnavailableError as error:
                if not self._read_once:
                    raise
                self._outdated = False
                _log.warning("%s; what was known of it before is used", error)
        return self._catalogue

    def _check_tags(self) -> None:
        found = self._probed or self.probe()
        if not found.writable:
            raise StoreReadOnlyError(found.reason)
        if not found.tags:
            raise StoreError(
                f"{self.location} cannot keep tags: its endpoint ignores If-None-Match, so that of two who move a tag "
                "at once one move would be lost; name experts by id, or use an endpoint with conditional writes"
            )

    def __repr__(self) -> str:
        return f"ExpertStore({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (ExpertStore, (self._backend, self._limits, self._cache, self.spool, self.policy))
