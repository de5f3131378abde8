"""Members with discounts of their own: what they play and learn is what each would alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from roamrl.algorithms.learner_spec import DQNSettings, PPOSettings
from roamrl.algorithms.meta_learning import ReptileSettings
from roamrl.algorithms.population.acting import noise_generators
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.exploit import Copy
from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.learner_folder import read_learner, write_learner
from roamrl.algorithms.rllib.play import Player
from roamrl.envs.errors import InputError

GAMMAS = (0.5, 0.9, 0.99)


@pytest.fixture
def learner(toy_learner):
    return lambda gammas=GAMMAS: replace(toy_learner(seeds=(3, 11, 5), envs=2, length=6), gammas=gammas)


def played(spec, gamma):
    module, _ = start_population(spec)
    rows = make_rows(spec, 2, None, {})
    player = Player(rows, noise_generators([member.seed for member in spec.members]), 2)
    player.start(0)
    rollout, _ = player.play(module, 8, gamma)
    return module, rollout


def test_every_member_is_discounted_by_its_own(learner):
    spec = learner()
    module, rollout = played(spec, np.array(spec.member_gammas))
    assert rollout.discounts.dtype == np.float32
    for member, gamma in enumerate(GAMMAS):
        assert (rollout.discounts[:, member] == np.float32(gamma)).all()
    batch = build_batch(module, rollout, PPOSettings())
    for member, gamma in enumerate(GAMMAS):
        _, alone = played(spec, gamma)
        expected = build_batch(module, alone, PPOSettings())
        for name in ("returns", "advantages", "values", "obs"):
            np.testing.assert_array_equal(getattr(batch, name)[member], getattr(expected, name)[member], err_msg=name)
        others = [other for other in range(3) if other != member]
        assert not np.array_equal(batch.returns[others], expected.returns[others])


def test_members_without_have_the_shared_discount(learner):
    assert learner(()).member_gammas == (0.95,) * 3
    spec = learner()
    assert spec.of_members(slice(1, 3)).member_gammas == (0.9, 0.99)
    assert spec.of_members(slice(1, 3)).members == spec.members[1:]


@pytest.mark.parametrize("gammas", [(0.9,), (0.9, 0.5, 0.0), (0.9, 0.5, 1.5)])
def test_wrong_discounts_are_refused(learner, gammas):
    with pytest.raises(InputError, match="gammas"):
        learner(gammas)


def test_action_values_need_a_discount_below_one(learner):
    spec = learner(())
    with pytest.raises(InputError, match="below 1"):
        replace(spec, module=replace(spec.module, kind="q"), algorithm="dqn", dqn=DQNSettings(), gammas=(0.9, 0.5, 1.0))


def test_members_that_learn_to_adapt_share_one(toy_learner):
    spec = toy_learner(meta=ReptileSettings(tasks=2, steps=1))
    with pytest.raises(InputError, match="share one discount"):
        replace(spec, gammas=(0.9, 0.8))


def test_a_folder_keeps_them(tmp_path, learner):
    write_learner(tmp_path, learner())
    assert read_learner(tmp_path).gammas == GAMMAS


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_an_algorithm_exchanges_members_and_keeps_what_they_learn_with(local_ray, tmp_path, learner):
    spec = learner()
    algorithm = PopulationConfig().population(learner=spec).build_algo()
    algorithm.train()
    before = algorithm.member_states()
    values = {name: column.copy() for name, column in algorithm.values.items()}
    values["gamma"][2], values["lr"][2] = 0.7, 5e-3
    algorithm.exploit([Copy(2, 0)], values)
    after = algorithm.member_states()
    (playing,) = algorithm._ask_runners(lambda runner: runner.module.stacked.weights.detach().numpy().copy())
    np.testing.assert_array_equal(playing[2], playing[0])
    for number, source in ((0, 0), (1, 1), (2, 0)):
        for name, array in after[number].items():
            np.testing.assert_array_equal(array, before[source][name], err_msg=name)
    learned_with = algorithm._ask_learner(lambda learner: learner.hyper.lr.tolist())
    assert learned_with == pytest.approx([1e-3, 1e-3, 5e-3])
    place = algorithm.save_to_path(str(tmp_path / "checkpoint"))
    algorithm.train()
    expected = algorithm.member_states()
    algorithm.stop()
    resumed = PopulationConfig().population(learner=spec).build_algo()
    resumed.restore_from_path(place)
    assert resumed.values["gamma"].tolist() == [0.5, 0.9, 0.7]
    assert resumed._ask_runners(lambda runner: runner._gammas.tolist()) == [[0.5, 0.9, 0.7]]
    resumed.train()
    for number, state in enumerate(resumed.member_states()):
        for name, array in state.items():
            np.testing.assert_array_equal(array, expected[number][name], err_msg=name)
    resumed.stop()
