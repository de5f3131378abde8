"""What a person runs: studies, the expert store, evaluation, reports.

From Python: ``run_study(load_study("quick"))`` runs a study, ``read_results(folder).to_pandas()`` gives its table.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roamrl.platform.report.recommend import recommend
    from roamrl.platform.store.store import ExpertStore
    from roamrl.platform.study.load import load_study, study_names
    from roamrl.platform.study.plan import plan_study
    from roamrl.platform.study.run import read_curves, read_learning, read_results, run_study

__all__ = [
    "ExpertStore",
    "load_study",
    "plan_study",
    "read_curves",
    "read_learning",
    "read_results",
    "recommend",
    "run_study",
    "study_names",
]

_PLACES = {
    "ExpertStore": "store.store",
    "load_study": "study.load",
    "plan_study": "study.plan",
    "read_curves": "study.run",
    "read_learning": "study.run",
    "read_results": "study.run",
    "recommend": "report.recommend",
    "run_study": "study.run",
    "study_names": "study.load",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the command line's help must not wait for Ray and torch."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
