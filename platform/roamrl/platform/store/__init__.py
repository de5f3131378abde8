"""The expert store: published policies, found by id, query and nearest context."""

from roamrl.platform.store.entry import Entry
from roamrl.platform.store.errors import StoreError, StoreReadOnlyError, StoreUnavailableError
from roamrl.platform.store.expert import Expert
from roamrl.platform.store.manifest import Manifest, ManifestFields, SplitScore
from roamrl.platform.store.store import ExpertStore, Neighbour

__all__ = [
    "Entry",
    "Expert",
    "ExpertStore",
    "Manifest",
    "ManifestFields",
    "Neighbour",
    "SplitScore",
    "StoreError",
    "StoreReadOnlyError",
    "StoreUnavailableError",
]
