"""Lineage: the experts behind a run, with those behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roamrl.platform.report.run_data import Row


def parents_of(rows: Iterable[Row]) -> dict[str, tuple[str, ...]]:
    """Return by pretrained expert the experts that it was made of; none for most."""
    return {row.expert_id: row.source_ids for row in rows if row.stage == "pretrain" and row.expert_id}


def lineage(sources: Iterable[str], parents: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return experts and all they came from, each once."""
    found: dict[str, None] = {}
    waiting = list(sources)
    while waiting:
        expert = waiting.pop()
        if expert not in found:
            found[expert] = None
            waiting += parents.get(expert, ())
    return list(found)
