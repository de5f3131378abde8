"""A process that publishes: python publish_worker.py STORE MANIFEST BLOB NUMBER COUNT ACKNOWLEDGED.

It publishes COUNT entries of its own and, after each, one that all workers share; what was acknowledged is appended
to a file at once.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load

from roamrl.platform.store.entry import Entry
from roamrl.platform.store.errors import StoreUnavailableError
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.location import backend_at
from roamrl.platform.store.manifest import Blob, Manifest
from roamrl.platform.store.publish import publish_entry
from roamrl.platform.store.tensors import encode_tensors


def publish_patiently(*arguments) -> Entry:
    """Publish; a server that is overloaded, and says so, is asked again."""
    for _ in range(20):
        try:
            return publish_entry(*arguments)
        except StoreUnavailableError:
            time.sleep(0.5)
    return publish_entry(*arguments)


def main(root: str, manifest: str, blob: str, number: int, count: int, acknowledged: str) -> None:
    backend, limits = backend_at(root), Limits()
    shared = Manifest(**json.loads(Path(manifest).read_text()))
    shared_blob = Path(blob).read_bytes()
    arrays = load(shared_blob)
    for turn in range(count):
        arrays["actor.head.bias"] = np.array([number, turn, 1], np.float32)
        own_blob, _ = encode_tensors(arrays, limits)
        digest = Blob(sha256=hashlib.sha256(own_blob).hexdigest(), size=len(own_blob))
        own = shared.model_copy(update={"blob": digest, "seed": number * 10_000 + turn})
        for one, data in ((own, own_blob), (shared, shared_blob)):
            entry = publish_patiently(backend, limits, one, data, f"worker-{number}")
            with open(acknowledged, "a", encoding="utf-8") as file:
                file.write(entry.id + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
