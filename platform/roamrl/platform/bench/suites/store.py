"""The expert store: publications a second, lookups among many entries, and loading by several trials at once."""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from roamrl.platform.bench.measure import Row
from roamrl.platform.bench.store_policies import policy, policy_fields
from roamrl.platform.bench.store_process import Crew
from roamrl.platform.bench.suites import Effort
from roamrl.platform.store import ExpertStore
from roamrl.platform.store.bundle import encode_bundle
from roamrl.platform.store.entry import Entry, encode_entry, manifest_id
from roamrl.platform.store.index import index_row, write_snapshot
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.location import backend_at
from roamrl.platform.store.publish import stamp

PLACE = "ROAMRL_BENCH_STORE"
"""Environment variable: a place for stores beside the local folder, ``s3://bucket/prefix``; none unless set."""

ENTRIES, LOOKUP_MS = 100_000, 100.0


def store_suite(effort: Effort) -> Sequence[Row]:
    """Measure publishing, lookups and loading, in a folder and where ``ROAMRL_BENCH_STORE`` says."""
    rows: list[Row] = []
    writers, each = (4, 10) if effort.quick else (8, 50)
    sizes, trials = ((1,), (2,)) if effort.quick else ((1, 50), (2, 4, 8, 16))
    with tempfile.TemporaryDirectory() as folder, Crew(max(writers, *trials)) as crew:
        places = {"folder": folder}
        if os.environ.get(PLACE):
            places["s3"] = f"{os.environ[PLACE].rstrip('/')}/{uuid.uuid4().hex}"
        for name, base in places.items():
            effort.say(f"store: publishing, {name}")
            rows += publish_rows(crew, name, f"{base}/publish", writers, each)
            effort.say(f"store: loading, {name}")
            rows += load_rows(crew, name, f"{base}/load", sizes, trials, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        effort.say("store: lookups")
        rows += lookup_rows(f"{folder}/lookup", 10_000 if effort.quick else ENTRIES, effort.rounds)
    return rows


def publish_rows(crew: Crew, name: str, place: str, writers: int, each: int) -> list[Row]:
    """Let processes publish experts of 256 KiB, each with its own weights, at once; the first of each warms up."""
    ExpertStore.init(place)
    crew.work([("publish", place, 1, 1_000_000 + number) for number in range(writers)])
    spans = crew.work([("publish", place, each, number) for number in range(writers)])
    wall = max(end for _, end in spans) - min(start for start, _ in spans)
    found = len(ExpertStore.open(place).ls())
    if found != writers * (each + 1):
        raise RuntimeError(f"{writers * (each + 1)} experts were published, and {found} are there")
    notes = {"writers": writers, "entries": writers * each}
    return [Row("store", "publications a second, 256 KiB", name, writers * each / wall, wall_s=wall, notes=notes)]


def load_rows(
    crew: Crew, name: str, place: str, sizes: Sequence[int], trials: Sequence[int], folder: Path
) -> list[Row]:
    """Let processes load one expert at once, with a cold cache (the first time on the node) and a warm one."""
    store, rows = ExpertStore.init(place), []
    for megabytes in sizes:
        entry_id = store.publish(policy(megabytes), policy_fields(megabytes))
        for count in trials:
            home = str(folder / f"cache-{uuid.uuid4().hex}")
            for cache in ("cold", "warm"):
                spans = crew.work([("load", place, entry_id, home)] * count)
                seconds = [end - start for start, end in spans]
                rows.append(
                    Row(
                        "store",
                        "ms to load an expert, median of the trials",
                        f"{name}, {megabytes} MB, {count} trials, {cache}",
                        1e3 * float(np.median(seconds)),
                        rounds=count,
                        notes={"least": 1e3 * min(seconds), "most": 1e3 * max(seconds)},
                    )
                )
    return rows


def lookup_rows(place: str, entries: int, rounds: int) -> list[Row]:
    """Ask a store of many entries, all in one snapshot, after the snapshot was read."""
    ids = _fill(place, entries)
    store = ExpertStore.open(place)
    begun = time.perf_counter()
    store.refresh()
    opening = time.perf_counter() - begun
    middle = ids[len(ids) // 2]
    questions: dict[str, Callable[[], object]] = {
        "by id": lambda: store.entry(middle),
        "by the beginning of an id": lambda: store.entry(middle[:12]),
        "by conditions": lambda: store.find(strategy="joint", seed=entries // 2),
        "by a range of the context": lambda: store.find(context={"load": (0.5, 0.5 + 20 / entries)}),
        "the 5 nearest": lambda: store.nearest([0.5, 0.5], "slicing-v1", k=5),
    }
    rows = [Row("store", "s to open and list", f"{entries} entries", opening, notes={"entries": entries})]
    for name, ask in questions.items():
        seconds = []
        for _ in range(rounds + 1):
            begun = time.perf_counter()
            if not ask():
                raise RuntimeError(f"nothing was found {name}")
            seconds.append(time.perf_counter() - begun)
        rows.append(
            Row(
                "store",
                f"ms a lookup among {entries} entries",
                name,
                1e3 * float(np.median(seconds[1:])),
                rounds=rounds,
                target=LOOKUP_MS,
                at_most=True,
                notes={"least": 1e3 * min(seconds[1:]), "most": 1e3 * max(seconds[1:]), "first": 1e3 * seconds[0]},
            )
        )
    return rows


def _fill(place: str, entries: int) -> list[str]:
    """Make a store of many entries that differ in seed, context and features, with one snapshot of them all."""
    ExpertStore.init(place)
    backend, limits = backend_at(place), Limits()
    manifest, _ = encode_bundle(policy(0), policy_fields(0), limits)  # lookups never open a blob
    envelope, rows, documents = stamp("bench"), [], []
    draw = np.random.default_rng(0)
    for number in range(entries):
        at = draw.random(2).tolist()
        one = manifest.model_copy(
            update={
                "seed": number,
                "strategy": ("joint", "scratch")[number % 2],
                "context": {"load": number / entries},
                "features": tuple(at),
            }
        )
        content = one.to_bytes()
        entry = Entry(manifest_id(content), one, envelope)
        document = encode_entry(content, envelope)
        path = Path(backend.location) / "entries" / f"2025{number % 12 + 1:02d}01" / f"{entry.id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document)
        rows.append(index_row(entry))
        documents.append(document)
    write_snapshot(backend, rows, documents)
    return [str(row["entry_id"]) for row in rows]


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer entries, writers and sizes.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of lookups.")] = 5,
) -> None:
    """Print the rows as JSON, one a line."""
    for row in store_suite(Effort(rounds=rounds, quick=quick, say=lambda what: typer.echo(what, err=True))):
        typer.echo(json.dumps(row.to_json()))


if __name__ == "__main__":
    typer.run(main)
