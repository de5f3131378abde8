"""Where the time goes: a window of the kernel, an update, an iteration of training."""

from __future__ import annotations

from collections.abc import Sequence

from roamrl.platform.bench.measure import Row
from roamrl.platform.bench.profiles.iteration import iteration_rows
from roamrl.platform.bench.profiles.update import update_profile_rows
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.env import BUSY
from roamrl.platform.bench.works import family_work


def profile_suite(effort: Effort) -> Sequence[Row]:
    """Measure all three; the kernel where the family is ``slicing-v1``."""
    return [*_windows(effort), *update_profile_rows(effort), *iteration_rows(effort)]


def _windows(effort: Effort) -> list[Row]:
    if effort.family != "slicing-v1":
        return []
    from roamrl.platform.bench.profiles.cell import cell_rows
    from roamrl.platform.bench.profiles.window import clock_programs, window_rows

    effort.say("profile: compiling the kernel with clocks")
    programs = clock_programs()
    works = [family_work(effort.family)]
    if not effort.quick:
        works.append(family_work(effort.family, BUSY, "slicing-12"))
    rows = []
    for work in works:
        effort.say(f"profile: a window of {work.name}")
        rows += [*window_rows(effort, work, programs), *cell_rows(effort, work)]
    return rows
