"""Checking a whole store: every entry, blob, tag and snapshot against what names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.bundle import check_loads, decode_bundle, read_blob
from roamrl.platform.store.catalogue import Catalogue, Problem
from roamrl.platform.store.entry import Entry, decode_entry, manifest_id
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.index import index_row
from roamrl.platform.store.layout import SIGNATURES, id_of_signature, signature_key
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.requests import BLOBS_AT_ONCE, for_each
from roamrl.platform.store.tags import read_tag, tag_names
from roamrl.platform.store.trust_policy import Standing, TrustPolicy


@dataclass(frozen=True)
class VerifyReport:
    """What a check found.

    Attributes:
        entries: Entries read.
        blobs: Blobs read and found whole.
        bytes: Their size in all.
        retracted: Entries that were retracted.
        tags: Tags read.
        trusted: Signatures that are valid, by trusted keys.
        untrusted: Signatures that are valid, by other keys.
        invalid: Signatures that are not valid.
        problems: What is wrong.
    """

    entries: int
    blobs: int
    bytes: int
    retracted: int
    tags: int
    trusted: int
    untrusted: int
    invalid: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_store(backend: Backend, limits: Limits, policy: TrustPolicy) -> VerifyReport:
    """Read everything in a store from its files (never from an index) and check it.

    Under the policy ``enforce``, an expert without a valid signature by a trusted key is a problem.
    """
    catalogue = Catalogue(backend, limits)
    catalogue.refresh()
    problems = list(catalogue.problems)
    told = {problem.key for problem in problems}
    signed, stray = _signature_files(backend)
    problems += stray

    def examine(named: tuple[str, str]) -> _Examined:
        return _examine(backend, limits, policy, catalogue, *named, signed.get(named[0], ()))

    def weigh(entries: Sequence[Entry]) -> tuple[int | None, list[Problem]]:
        return _weigh(backend, limits, catalogue, entries)

    examined = for_each(backend, examine, catalogue.keys.items())
    sharing: dict[str, list[Entry]] = {}
    for each in examined:
        if each.entry is not None and each.entry.id not in catalogue.retracted:
            sharing.setdefault(each.entry.manifest.blob.sha256, []).append(each.entry)
    weighed = for_each(backend, weigh, sharing.values(), BLOBS_AT_ONCE)
    found = [*(each.problems for each in examined), *(each for _, each in weighed)]
    problems += [problem for several in found for problem in several if problem.key not in told]
    standings = [standing for each in examined for standing in each.standings]
    sizes = [size for size, _ in weighed if size is not None]
    words = [each.word for each in standings]
    names = tag_names(backend)
    problems += [problem for name in names if (problem := _check_tag(backend, limits, name, catalogue)) is not None]
    return VerifyReport(
        entries=len(catalogue.keys),
        blobs=len(sizes),
        bytes=sum(sizes),
        retracted=len(catalogue.retracted & set(catalogue.keys)),
        tags=len(names),
        trusted=words.count("trusted"),
        untrusted=words.count("untrusted"),
        invalid=words.count("invalid"),
        problems=tuple(problems),
    )


@dataclass(frozen=True)
class _Examined:
    """What was found of one entry; the entry itself if it may be used, so that its weights are of interest."""

    entry: Entry | None
    standings: Sequence[Standing]
    problems: Sequence[Problem]


def _examine(
    backend: Backend,
    limits: Limits,
    policy: TrustPolicy,
    catalogue: Catalogue,
    entry_id: str,
    key: str,
    signing_keys: Sequence[str],
) -> _Examined:
    standings: list[Standing] = []
    problems: list[Problem] = []
    try:
        entry = _check_entry(backend, limits, entry_id, key)
        _check_index(catalogue, entry)
        standings += policy.standings(backend, entry, limits, signing_keys)
        problems += [
            Problem(signature_key(entry_id, each.signature.key_id), each.signature.problem)
            for each in standings
            if each.word == "invalid"
        ]
        if entry_id not in catalogue.retracted:
            _check_policy(policy, entry, standings)
    except StoreError as error:
        return _Examined(None, standings, [*problems, Problem(key, str(error))])
    return _Examined(entry, standings, problems)


def _weigh(
    backend: Backend, limits: Limits, catalogue: Catalogue, entries: Sequence[Entry]
) -> tuple[int | None, list[Problem]]:
    """Check weights by the first of the entries that share them which they fit; return their size, None for no fit."""
    problems: list[Problem] = []
    for entry in entries:
        try:
            return _check_weights(backend, limits, entry), problems
        except StoreError as error:
            problems.append(Problem(catalogue.keys[entry.id], str(error)))
    return None, problems


def _check_entry(backend: Backend, limits: Limits, entry_id: str, key: str) -> Entry:
    data = backend.get(key, limits.manifest_bytes)
    if data is None:
        raise StoreError("it vanished while it was read; entries are never deleted: restore it")
    entry = decode_entry(data, entry_id, limits)
    if manifest_id(entry.manifest.to_bytes()) != entry_id:
        raise StoreError(
            f"entry {entry.short} is not in canonical form; restore or remove its file and publish the expert anew"
        )
    return entry


def _signature_files(backend: Backend) -> tuple[dict[str, list[str]], list[Problem]]:
    """Return the ids of the keys that each entry has signatures by; and files that are no signature's."""
    signed: dict[str, list[str]] = {}
    problems: list[Problem] = []
    for key in backend.list(SIGNATURES):
        entry_id = id_of_signature(key)
        if entry_id is None:
            problems.append(Problem(key, "its name is no signature's; remove it"))
        else:
            signed.setdefault(entry_id, []).append(key.rpartition("/")[2].removesuffix(".json"))
    return signed, problems


def _check_policy(policy: TrustPolicy, entry: Entry, found: Sequence[Standing]) -> None:
    if policy.mode == "enforce" and not any(each.word == "trusted" for each in found):
        signatures = [each.signature for each in found]
        raise StoreError(policy.reason(entry, [each.key_id for each in signatures], signatures))


def _check_index(catalogue: Catalogue, entry: Entry) -> None:
    row = catalogue.row_of.get(entry.id)
    if row is None:  # unreadable when the catalogue was made, and among its problems
        return
    indexed = catalogue.table.slice(row, 1).to_pylist()[0]
    own = index_row(entry)
    differing = [name for name in own if name not in ("published", "publisher") and own[name] != indexed[name]]
    if differing:
        raise StoreError(f"the index says something else than entry {entry.short} on {differing}; compact anew")


def _check_weights(backend: Backend, limits: Limits, entry: Entry) -> int:
    data = read_blob(backend, entry.manifest, limits)
    check_loads(decode_bundle(entry.manifest, data, limits))
    return len(data)


def _check_tag(backend: Backend, limits: Limits, name: str, catalogue: Catalogue) -> Problem | None:
    key = f"tags/{name}"
    try:
        entry_id = read_tag(backend, name, limits)
    except StoreError as error:
        return Problem(key, str(error))
    if entry_id is None or entry_id not in catalogue.keys:
        return Problem(key, "it names an expert that is not in the store; move it to another")
    if entry_id in catalogue.retracted:
        return Problem(key, f"it names expert {entry_id[:12]}, which was retracted; move it to another")
    return None
