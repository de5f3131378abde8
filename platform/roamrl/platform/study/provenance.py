"""Where results come from: commit, package versions, machine, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def source_commit() -> str:
    """Return the git commit of the code that runs, ``+changes`` if files differ from it; the version if there is none.

    An installed wheel has no repository around it, and then the package's version stands for the commit.
    """
    here = Path(__file__).parent
    try:
        head = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
        tracked = _git(here, "ls-files", str(Path(__file__)))
    except (OSError, subprocess.CalledProcessError):
        return f"version {version('roamrl')}"
    if not tracked:
        return f"version {version('roamrl')}"
    return head + ("+changes" if changed else "")


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages on which results depend."""
    return {name: version(name) for name in ("roamrl", "ray", "torch", "numpy", "numba", "gymnasium")}


def machine() -> str:
    """Describe the machine: processor, cores, memory."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{_processor()}, {os.cpu_count()} cores, {pages * size / 2**30:.0f} GiB, {platform.system()}"


def command() -> str:
    """Return the command line that runs, with the program by its name alone."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
