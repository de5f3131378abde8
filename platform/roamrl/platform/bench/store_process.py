"""One process of the store's benchmark: python -m roamrl.platform.bench.store_process.

It says ``ready`` when its imports are done. Each line it is given is a JSON list of the work's name and arguments; it
does the work and prints when it began and ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import numpy as np

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.population.modules import build
from roamrl.platform.bench.store_policies import policy, policy_fields
from roamrl.platform.store import ExpertStore

Span = tuple[float, float]
"""When work began and ended, seconds since 1970."""


class Crew:
    """Processes that do the same work at once, ready before any of them begins."""

    def __init__(self, count: int) -> None:
        command = [sys.executable, "-m", "roamrl.platform.bench.store_process"]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
        ]
        for process in self._processes:
            if _line(process) != ["ready"]:
                raise RuntimeError(f"a process did not get ready: {' '.join(command)}")

    def work(self, tasks: Sequence[Sequence[object]]) -> list[Span]:
        """Give each task to a process of its own, at once; return when each began and ended."""
        chosen = self._processes[: len(tasks)]
        for process, task in zip(chosen, tasks, strict=True):
            assert process.stdin is not None  # a pipe
            process.stdin.write(json.dumps(list(task)) + "\n")
            process.stdin.flush()
        answers = [_line(process) for process in chosen]
        if not all(len(answer) == 2 for answer in answers):
            raise RuntimeError(f"a process failed at {tasks[0]}")
        return [(float(begun), float(ended)) for begun, ended in answers]

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def publish_many(place: str, each: int, number: int) -> Span:
    """Publish so many experts of own weights."""
    store, bundle = ExpertStore.open(place), policy(0)
    arrays = dict(bundle.arrays)
    name = next(iter(arrays))
    begun = time.time()
    for turn in range(each):
        seed = number * each + turn
        arrays[name] = np.full_like(bundle.arrays[name], seed)
        store.publish(PolicyBundle(bundle.spec, arrays), policy_fields(seed))
    return begun, time.time()


def load_one(place: str, entry_id: str, cache: str) -> Span:
    """Load an expert's weights, after the store was opened and the expert found."""
    os.environ["ROAMRL_CACHE"] = cache
    expert = ExpertStore.open(place).get(entry_id)
    begun = time.time()
    expert.bundle()
    return begun, time.time()


WORKS: Mapping[str, Callable[..., Span]] = {"publish": publish_many, "load": load_one}
"""Work by name."""


def main() -> None:
    """Work until there are no more lines."""
    assert build.MODULE_KINDS  # imported now, so that no timed work imports it
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(*WORKS[name](*arguments), flush=True)


def _line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None  # a pipe
    return process.stdout.readline().split()


if __name__ == "__main__":
    main()
