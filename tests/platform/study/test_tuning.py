"""The choice of candidates on val: by the area under the whole curve, and at each point."""

from __future__ import annotations

from dataclasses import replace

from roamrl.platform.study.candidates import Candidate
from roamrl.platform.study.results import Result
from roamrl.platform.study.tuning import by_protocol, choose_candidate

ROW = Result(
    study="s", unit="u", stage="tune", arm="a", strategy="scratch", family="f", family_config_hash="", task_id="t",
    task_name="t", split="val", split_hash="", tuning="candidate", seed=0, source_ids=(), env_steps=0,
    pretrain_env_steps=0, episodes=0, return_mean=0.0, return_trivial=0.0, return_oracle=1.0, score=0.0,
    violation_rate=0.0, violation_adapting=0.0, eval_episodes=1, wall_s=0.0, cpu_s=0.0, expert_id=None, commit="",
)  # fmt: skip


SLOW, FAST = Candidate(1e-3), Candidate(1e-2, 1)


def curve(scores: dict[int, float]) -> list[Result]:
    return [replace(ROW, episodes=point, score=score) for point, score in scores.items()]


def test_fixed_choice_has_the_larger_area_and_points_have_their_own_best() -> None:
    fast_start = curve({0: 0.0, 1: 0.3, 10: 0.3, 100: 0.3})
    late_rise = curve({0: 0.0, 1: 0.1, 10: 0.2, 100: 0.5})
    choice = choose_candidate({FAST: fast_start, SLOW: late_rise})
    assert choice.fixed == FAST
    assert choice.per_point == {0: FAST, 1: FAST, 10: FAST, 100: SLOW}
    assert choice.chosen == (FAST, SLOW)


def test_tasks_and_seeds_are_averaged() -> None:
    good_on_one = curve({0: 0.0, 1: 0.9}) + curve({0: 0.0, 1: -0.9})
    fair_on_both = curve({0: 0.0, 1: 0.2}) + curve({0: 0.0, 1: 0.2})
    assert choose_candidate({SLOW: good_on_one, FAST: fair_on_both}).fixed == FAST


def test_rows_are_labelled_by_protocol() -> None:
    choice = choose_candidate({FAST: curve({0: 0.0, 1: 0.3, 2: 0.1}), SLOW: curve({0: 0.0, 1: 0.1, 2: 0.2})})
    assert choice.fixed == FAST
    fixed = by_protocol(choice, FAST, curve({0: 0.0, 1: 0.0, 2: 0.0}))
    other = by_protocol(choice, SLOW, curve({0: 0.0, 1: 0.0, 2: 0.0}))
    assert [(r.tuning, r.episodes) for r in fixed] == [
        ("fixed", 0), ("fixed", 1), ("fixed", 2), ("per-n", 0), ("per-n", 1),
    ]  # fmt: skip
    assert [(r.tuning, r.episodes) for r in other] == [("per-n", 2)]


def test_a_candidate_that_is_best_at_the_start_alone_still_meets_a_target() -> None:
    choice = choose_candidate({FAST: curve({0: 0.0, 1: 0.5, 9: 0.5}), SLOW: curve({0: 0.2, 1: 0.1, 9: 0.1})})
    assert choice.chosen == (FAST, SLOW)
    assert choice.per_point == {0: SLOW, 1: FAST, 9: FAST}
    assert choice.last_of(SLOW) == 1
