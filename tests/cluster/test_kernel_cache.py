"""Compiled kernels are found again wherever their source lies, and never those of another source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roamrl.cluster.kernel_cache import kernel_cache_variables

KERNEL = """
from numba import njit

@njit(cache=True)
def scaled(x):
    return x * {factor}
"""
CALL = """
import json, sys
from kernels.scale import scaled
value = scaled(3)
print(json.dumps([value, sum(scaled.stats.cache_hits.values()), sum(scaled.stats.cache_misses.values())]))
"""


def call(place: Path, factor: int, cache: Path) -> list[int]:
    """Call the kernel from a fresh process; return its value, cache hits and misses."""
    package = place / "kernels"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "scale.py").write_text(KERNEL.format(factor=factor))
    env = {**os.environ, **kernel_cache_variables(), "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(place)}
    done = subprocess.run([sys.executable, "-c", CALL], env=env, check=True, capture_output=True, text=True)
    answer: list[int] = json.loads(done.stdout)
    return answer


def test_another_place_of_the_same_source_compiles_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert call(tmp_path / "job-1", 2, cache) == [6, 0, 1]
    assert call(tmp_path / "job-2", 2, cache) == [6, 1, 0]
    assert call(tmp_path / "job-3", 5, cache) == [15, 0, 1]
    assert call(tmp_path / "job-4", 2, cache) == [6, 1, 0]


def test_a_folder_of_ones_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert kernel_cache_variables()["NUMBA_CACHE_DIR"].startswith("${HOME}/")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/fast/disk")
    assert kernel_cache_variables()["NUMBA_CACHE_DIR"] == "/fast/disk"
