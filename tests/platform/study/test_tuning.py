"""The choice of step sizes on val: by the area under the whole curve, and at each point."""

from __future__ import annotations

from dataclasses import replace

from roamrl.platform.study.results import Result
from roamrl.platform.study.tuning import by_protocol, choose_step_size

ROW = Result(
    study="s", unit="u", stage="tune", arm="a", strategy="scratch", family="f", family_config_hash="", task_id="t",
    task_name="t", split="val", split_hash="", tuning="candidate", seed=0, source_ids=(), env_steps=0,
    pretrain_env_steps=0, episodes=0, return_mean=0.0, return_trivial=0.0, return_oracle=1.0, score=0.0,
    violation_rate=0.0, violation_adapting=0.0, eval_episodes=1, wall_s=0.0, cpu_s=0.0, expert_id=None, commit="",
)  # fmt: skip


def curve(scores: dict[int, float]) -> list[Result]:
    return [replace(ROW, episodes=point, score=score) for point, score in scores.items()]


def test_fixed_choice_has_the_larger_area_and_points_have_their_own_best() -> None:
    fast_start = curve({0: 0.0, 1: 0.3, 10: 0.3, 100: 0.3})
    late_rise = curve({0: 0.0, 1: 0.1, 10: 0.2, 100: 0.5})
    choice = choose_step_size({1e-2: fast_start, 1e-3: late_rise})
    assert choice.fixed == 1e-2
    assert choice.per_point == {0: 1e-2, 1: 1e-2, 10: 1e-2, 100: 1e-3}
    assert choice.step_sizes == (1e-2, 1e-3)


def test_tasks_and_seeds_are_averaged() -> None:
    good_on_one = curve({0: 0.0, 1: 0.9}) + curve({0: 0.0, 1: -0.9})
    fair_on_both = curve({0: 0.0, 1: 0.2}) + curve({0: 0.0, 1: 0.2})
    assert choose_step_size({1.0: good_on_one, 2.0: fair_on_both}).fixed == 2.0


def test_rows_are_labelled_by_protocol() -> None:
    choice = choose_step_size({1e-2: curve({0: 0.0, 1: 0.3, 2: 0.1}), 1e-3: curve({0: 0.0, 1: 0.1, 2: 0.2})})
    assert choice.fixed == 1e-2
    fixed = by_protocol(choice, 1e-2, curve({0: 0.0, 1: 0.0, 2: 0.0}))
    other = by_protocol(choice, 1e-3, curve({0: 0.0, 1: 0.0, 2: 0.0}))
    assert [(r.tuning, r.episodes) for r in fixed] == [
        ("fixed", 0), ("fixed", 1), ("fixed", 2), ("per-n", 0), ("per-n", 1),
    ]  # fmt: skip
    assert [(r.tuning, r.episodes) for r in other] == [("per-n", 2)]
