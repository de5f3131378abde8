"""The best settings as a study file: the study with them in it, ready for ``roamrl run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.canonical import JSON
from roamrl.platform.study.schema import Study
from roamrl.platform.sweep.paths import with_values
from roamrl.platform.sweep.results import Candidate
from roamrl.platform.sweep.trial import paths_of, search_of

BEST_FILE = "best.yaml"


def best_study(study: Study, best: Candidate) -> Study:
    """Return the study with the best candidate's settings, those it ended with, and without the search."""
    return with_values(study, paths_of(study, ended_with(study, best)))


def ended_with(study: Study, best: Candidate) -> Mapping[str, JSON]:
    """Return the settings that a candidate had at its end; nothing where they are the study's own."""
    changed = best.last.settings if search_of(study).scheduler == "pbt" else best.settings
    return dict(changed)


def write_best(folder: Path, study: Study, best: Candidate) -> Path:
    """Write ``best.yaml`` and return its path; what is a study's default is not spelled out."""
    own = best_study(study, best).model_copy(update={"name": f"{study.name}-best"})
    search = search_of(study)
    values = paths_of(study, ended_with(study, best))
    said = [f"#   {path}: {_written(value)}" for path, value in values.items()] or ["#   nothing: its own were best"]
    lines = [
        f"# Study {study.name!r} with the best settings that 'roamrl sweep' found for arm {search.arm!r} (seed "
        f"{search.seed}):",
        *said,
        f"# Trial {best.number} of sweep {folder}: mean score {best.last.score:.4f} on {study.val!r} after "
        f"{best.last.env_steps} environment steps a member.",
        "# That score was chosen as the highest of many; what the settings are worth says a run: roamrl run FILE",
    ]
    if search.scheduler == "pbt":
        lines.insert(-1, "# They changed as it trained, and these are its last: a run has them from the beginning.")
    text = yaml.safe_dump(own.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
    path = folder / BEST_FILE
    write_atomically(path, ("\n".join(lines) + "\n" + text).encode())
    return path


def _written(value: JSON) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True)).removesuffix("...\n").strip()
