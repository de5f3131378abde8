"""The tuned classical arm before it runs, and what a search on a target gives."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.envs.episodes import Episodes
from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING
from roamrl.envs.tuned_reference import TunedReference
from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.study import classical
from roamrl.platform.study.classical import Found, Search, Target, classical_targets, result_row, search_and_score
from roamrl.platform.study.load import load_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.tasks import study_splits

TASK = SLICING.task({"load": 1.3}, {"episode_windows": 10})


def made(*overrides: str) -> list[Target]:
    study = load_study("quick", ["tuned_classical={up_to: 20}", *overrides])
    splits = study_splits(study)
    return classical_targets(study, [named for name in study.targets for named in splits[name]])


def test_every_target_has_a_search_for_every_seed_and_point() -> None:
    targets = made()
    assert [target.named.name for target in targets] == ["usual", "brisk", "crowded", "video first"]
    found = [(each.repetition, each.point, each.budget) for each in targets[0].searches]
    budgets = {0: 0, 1: 1, 5: 5, 20: 20, 50: 20, 100: 20}
    assert found == [(number, n, budget) for number in range(2) for n, budget in budgets.items()]
    ends = {each.point for each in targets[0].searches if each.episodes == 50}
    assert ends == {0, 100}
    assert {each.episodes for each in targets[0].searches if each.point not in ends} == {30}


def test_seeds_are_a_targets_and_a_repetitions_and_never_the_evaluations() -> None:
    seeds = {
        (t.named.name, s.repetition): {x.seed for x in t.searches if x.repetition == s.repetition}
        for t in made()
        for s in t.searches
    }
    assert all(len(own) == 1 for own in seeds.values())
    first = seeds["usual", 0]
    assert len({seed for own in seeds.values() for seed in own}) == 8
    (seed,) = first
    (moved,) = {s.seed for s in made(f"evaluation.seed={seed}")[0].searches if s.repetition == 0}
    assert moved == seed + 1


def test_keys_follow_from_searches_evaluation_and_the_familys_code(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [target.key for target in made()]
    assert len(set(keys)) == 4
    assert [target.key for target in made("about=else", "execution.members_per_trial=1")] == keys
    for change in ("seed=1", "evaluation.seed=5", "adapt.seeds=3", "tuned_classical={up_to: 5}"):
        assert not set(keys) & {target.key for target in made(change)}
    monkeypatch.setattr(type(SLICING), "sources", lambda self, config: "other code")
    assert not set(keys) & {target.key for target in made()}


def test_it_is_off_unless_the_study_says_so_and_has_a_row_in_the_plan() -> None:
    assert "classical" not in {row.stage for row in plan_study(load_study("quick")).rows()}
    rows = plan_study(load_study("quick", ["tuned_classical={}"])).rows()
    (row,) = [row for row in rows if row.stage == "classical"]
    assert (row.arm, row.units, row.members, row.windows) == ("classical-tuned", 4, 8, 0)
    assert row.seconds > 0


def test_a_family_without_numbers_to_tune_is_refused() -> None:
    with pytest.raises(InputError, match="'gymnasium-v1' has no classical policy with numbers to tune"):
        plan_study(load_study("cartpole", ["tuned_classical={}"]))


def test_no_arm_may_take_its_name() -> None:
    with pytest.raises(InputError, match="that name belongs to a reference"):
        load_study("quick", ["arms.classical-tuned={strategy: scratch}"])


def search(budget: int, seed: int = 5, episodes: int = 6) -> Search:
    return Search(0, budget, budget, seed, episodes)


def test_without_episodes_it_is_the_policy_tuned_on_val_on_the_evaluation_streams() -> None:
    found = search_and_score(TASK, [search(0), search(4), search(12), search(0, episodes=3)], seed=9, traces=None)
    val = SLICING.reference(TASK.config, "classical").play(SLICING, [TASK], episodes=6, seed=9)
    for each in found[:2]:
        np.testing.assert_array_equal(each.returns, val.returns[0])
        assert each.violation_rate == pytest.approx(val.measures["violation_rate"].mean())
        assert each.searched == 0
    np.testing.assert_array_equal(found[3].returns, val.returns[0, :3])
    tuned = SLICING.tuned_classical(TASK, 12, 5)
    np.testing.assert_array_equal(
        found[2].returns, tuned.reference.play(SLICING, [TASK], episodes=6, seed=9).returns[0]
    )
    assert found[2].searched == 12
    assert found[2].violation_searching == pytest.approx(tuned.measured("violation_rate"))


def test_what_was_played_already_is_not_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    played = []
    worth = classical._worth
    monkeypatch.setattr(classical, "_worth", lambda *given: played.append(given[2]) or worth(*given))
    search_and_score(TASK, [search(0), search(1, seed=6), search(9), search(0, episodes=3)], seed=9, traces=None)
    assert played == [6, 3]


def test_a_family_that_plays_more_than_it_may_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = TunedReference(
        SLICING.reference(TASK.config, "classical"), {"floor": 0.1}, Episodes(np.zeros((1, 13)), {})
    )
    monkeypatch.setattr(type(SLICING), "tuned_classical", lambda *given: greedy)
    with pytest.raises(InputError, match="played 13 episodes to tune on at most 12"):
        search_and_score(TASK, [search(12)], seed=9, traces=None)


def test_rows_are_like_an_arms() -> None:
    (target, *_) = made()
    reference = ReferenceReturns(
        {"trivial": np.array([1.0, 3.0, 9.0]), "oracle": np.array([5.0, 7.0, 9.0])}, {"trivial": 0.5, "oracle": 0.1}
    )
    found = Found(np.array([4.0, 4.0]), 0.2, 14, 0.6, 1.5, 1.25)
    row = result_row(target, reference, Search(1, 20, 20, 5, 2), found)
    assert (row.stage, row.arm, row.strategy, row.tuning) == ("adapt", "classical-tuned", "classical-tuned", "none")
    assert (row.seed, row.episodes, row.env_steps, row.eval_episodes) == (1, 20, 2000, 2)
    assert (row.return_trivial, row.return_oracle, row.score) == (2.0, 6.0, 0.5)
    # Of 20 target episodes 14 were searched with and 6 played by what was found.
    assert row.violation_adapting == pytest.approx((14 * 0.6 + 6 * 0.2) / 20)
    assert (row.wall_s, row.cpu_s) == (1.5, 1.25)
    begun = result_row(target, reference, Search(1, 0, 0, 5, 2), Found(found.returns, 0.2, 0, float("nan"), 0.0, 0.0))
    assert np.isnan(begun.violation_adapting)
    early = result_row(target, reference, Search(1, 5, 5, 5, 2), Found(found.returns, 0.2, 0, float("nan"), 0.0, 0.0))
    assert early.violation_adapting == pytest.approx(0.2)
