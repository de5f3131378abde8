"""What a running study tells whoever watches it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the course of a run; the command line shows it, notebooks may pass their own."""

    def start(self, total_units: int, total_windows: int) -> None:
        """The run begins; totals leave out what an earlier run has finished."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def unit_started(self, key: str, label: str) -> None:
        """A unit begins."""

    def unit_done(self, key: str, label: str, windows: int, seconds: float) -> None:
        """A unit is finished; ``windows`` are the environment steps it simulated."""

    def unit_failed(self, key: str, label: str, error: str) -> None:
        """A unit failed; the run goes on without it."""

    def finish(self) -> None:
        """The run is over."""


class NoProgress:
    """Tells nobody."""

    def start(self, total_units: int, total_windows: int) -> None:
        """Do nothing."""

    def stage(self, name: str) -> None:
        """Do nothing."""

    def unit_started(self, key: str, label: str) -> None:
        """Do nothing."""

    def unit_done(self, key: str, label: str, windows: int, seconds: float) -> None:
        """Do nothing."""

    def unit_failed(self, key: str, label: str, error: str) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
