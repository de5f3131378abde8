"""Which Ray nodes were started from here: one folder a node, below a folder that only its owner reads."""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.processes import Process, find_process, session_family

STATE_DIR = "ROAMRL_STATE_DIR"
_RECORD = "node.json"
_LOG = "ray.log"


@dataclass(frozen=True)
class Node:
    """A node that was started from here.

    Attributes:
        name: Name of its folder.
        role: Whether it is a cluster's head or a worker.
        pid: The process that keeps all others of the node, first of their session.
        address: Where the head of its cluster listens, ``host:port``.
        dashboard: URL of the dashboard, for heads.
        temp_dir: Folder of this node alone, which only its owner enters; Ray's own is in it.
        started: Time of its start, ISO 8601.
    """

    name: str
    role: Literal["head", "worker"]
    pid: int
    address: str
    dashboard: str | None
    temp_dir: str
    started: str

    @property
    def process(self) -> Process | None:
        """Its first process while it runs; a stranger that was given its number later is not taken for it."""
        found = find_process(self.pid)
        return found if found and self.temp_dir in found.command else None

    @property
    def processes(self) -> list[Process]:
        """All processes of the node that run."""
        return session_family(self.pid, self.temp_dir)


class NodeState:
    """The folder of records: ``$ROAMRL_STATE_DIR``, else ``roamrl/nodes`` of the user's state (``XDG_STATE_HOME``)."""

    def __init__(self, folder: Path | None = None) -> None:
        named = os.environ.get(STATE_DIR)
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        self.folder = folder or (Path(named) if named else state / "roamrl") / "nodes"

    def make(self, name: str) -> Path:
        """Make the folder of a new node and return it.

        Raises:
            ClusterError: If a node of that name is there, or the folder cannot be made for its owner alone.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(self.folder.stat().st_mode) & 0o077:
                self.folder.chmod(0o700)
            (self.folder / name).mkdir(mode=0o700)
        except FileExistsError as error:
            raise ClusterError(f"node {name} was started from here; `roamrl cluster stop {name}` first") from error
        except OSError as error:
            raise ClusterError(
                f"cannot keep records in {self.folder}: {error.strerror}; name another folder in {STATE_DIR}"
            ) from error
        return self.folder / name

    def log(self, name: str) -> Path:
        """Return the file that holds what a node's ``ray start`` says."""
        return self.folder / name / _LOG

    def write(self, node: Node) -> None:
        """Keep a node's record."""
        draft = self.folder / node.name / f".{_RECORD}"
        draft.write_text(json.dumps(asdict(node), indent=1) + "\n", encoding="utf-8")
        draft.replace(self.folder / node.name / _RECORD)

    def forget(self, name: str) -> None:
        """Remove a node's record and log."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def nodes(self) -> list[Node]:
        """Return the nodes on record, heads first, whether they still run or not.

        Raises:
            ClusterError: If a record is damaged.
        """
        found = []
        for file in sorted(self.folder.glob(f"*/{_RECORD}")):
            try:
                found.append(Node(**json.loads(file.read_text(encoding="utf-8"))))
            except (ValueError, TypeError) as error:
                raise ClusterError(f"{file} is no record of a node: {error}; remove {file.parent}") from error
        return sorted(found, key=lambda node: (node.role, node.name))

    def dashboard(self) -> str | None:
        """Return the dashboard of the one head that was started from here and runs; None if there is none.

        Raises:
            ClusterError: If there are several.
        """
        heads = [node.dashboard for node in self.nodes() if node.role == "head" and node.process]
        if len(heads) > 1:
            raise ClusterError(f"several clusters run here ({', '.join(map(str, heads))}); choose one with --address")
        return heads[0] if heads else None
