"""Whether the expert store can be used."""

from __future__ import annotations

from roamrl.platform.doctor.checks import Check, Verdict
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.store import ExpertStore


def store_check(where: str) -> Check:
    """Check that a store answers, and what can be done with it."""
    try:
        store = ExpertStore.open(where)
        can = store.probe()
    except StoreError as error:
        return Check("store", Verdict.FAIL, f"{where} cannot be used", str(error))
    found = f"{can.location}; {'; '.join(can.words())}"
    if not can.publishing:
        return Check("store", Verdict.FAIL, found, f"give runs the right to write to {can.location}")
    if not can.tags:
        return Check("store", Verdict.WARN, found, "tags need storage with conditional writes; publishing works")
    return Check("store", Verdict.OK, found)
