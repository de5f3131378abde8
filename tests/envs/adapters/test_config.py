"""What studies say about an environment: read in full, or refused with a way to mend it."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.envs.adapters import GYMNASIUM
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task

COUNTER = {"make": "pocket_envs:Counter", "max_episode_steps": 8}
LENGTH = {"make": "CartPole-v1", "context": {"length": {}}}


def with_length(**row):
    return {"make": "CartPole-v1", "context": {"length": row}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kwargs": {}}, "config.make says which environment"),
        ({"make": "CartPol-v1"}, "did you mean 'CartPole-v1'"),
        ({"make": "no_such_module:make"}, "'no_such_module' cannot be imported.*PYTHONPATH"),
        ({"make": "pocket_envs:Countr"}, "did you mean 'Counter'"),
        ({"make": "pocket_envs:Counter"}, "give config.max_episode_steps"),
        ({**COUNTER, "kwargs": {"gaol": 3}}, "refused the arguments.*gaol"),
        ({**COUNTER, "make": "pocket_envs:press_most"}, "refused the arguments"),
        ({**COUNTER, "apply": "pocket_envs:set_gaol"}, "did you mean 'set_goal'"),
        ({**COUNTER, "apply": "pocket_envs:NOT_A_FUNCTION"}, "is a int"),
        ({**COUNTER, "context": {"goal": {"set": "kwarg"}}}, "needs a default"),
        ({**COUNTER, "context": {"pairs": {"set": "apply", "default": 2}}}, "needs config.apply"),
        ({**COUNTER, "references": {"orcale": "pocket_envs:press_most"}}, "did you mean 'oracle'"),
        ({**COUNTER, "references": {"oracle": "pocket_envs:press"}}, "did you mean 'press_most'"),
        ({**COUNTER, "make": "pocket_envs:Unseeded"}, "two different episodes.*seed_kwarg"),
        ({**COUNTER, "make": "pocket_envs:Forgetful", "context": {"goal": {}}}, None),
        ({"make": "CartPole-v1", "context": {"lenght": {}}}, "did you mean 'length'"),
        ({"make": "CartPole-v1", "obsreved": []}, "did you mean 'observed'"),
        ({**LENGTH, "observed": ["lengths"]}, "did you mean 'length'"),
        (with_length(trian=[1, 2]), "did you mean 'train'"),
        (with_length(set="atribute"), "did you mean 'attribute'"),
        (with_length(train=[2, 1]), "low < high"),
        (with_length(train=[1, 2, 3]), "low < high"),
        (with_length(train={"choose": []}), "at least one"),
        (with_length(train=[0.5, 2], integer=True), "whole ends"),
        (with_length(train=[1, 2], ood=[1.5, 3]), "keep them apart"),
        (with_length(train=[1, 2], ood={"choose": [3, 2]}), "share 2"),
        ({"make": "CartPole-v1", "max_episode_steps": -1}, "whole number"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_way_to_mend_it(config, message):
    if message is None:
        assert GYMNASIUM.config(config)["max_episode_steps"] == 8
        return
    with pytest.raises(InputError, match=message):
        GYMNASIUM.config(config)


def test_a_reset_that_undoes_the_context_is_noticed():
    config = {**COUNTER, "make": "pocket_envs:Forgetful", "context": {"goal": {"integer": True}}}
    GYMNASIUM.make(GYMNASIUM.task({"goal": 5}, config)).reset()
    with pytest.raises(InputError, match="sets 'goal' anew"):
        GYMNASIUM.make(GYMNASIUM.task({"goal": 6}, config)).reset()


def test_a_full_config_reads_as_itself_and_a_task_needs_nothing_else():
    full = GYMNASIUM.config({**LENGTH, "context": {"length": {"train": [0.4, 0.6]}}})
    assert full["context"]["length"]["default"] == 0.5
    assert full["max_episode_steps"] == 500
    assert GYMNASIUM.config(full) == full
    task = GYMNASIUM.task({"length": 0.45}, full)
    env = GYMNASIUM.make(Task.from_json(task.to_json()))
    env.reset()
    assert env.step(0)[1] == 1.0


def test_a_function_of_ones_own_acts_on_the_context():
    pairs = {"set": "apply", "default": 1, "train": [1, 3], "integer": True}
    config = {**COUNTER, "apply": "pocket_envs:set_goal", "context": {"pairs": pairs}}
    for count in (1, 3):
        env = GYMNASIUM.make(GYMNASIUM.task({"pairs": count}, config))
        env.reset()
        assert [env.step(0)[2] for _ in range(2 * count)].index(True) == 2 * count - 1
    with pytest.raises(InputError, match="whole number"):
        GYMNASIUM.task({"pairs": 1.5}, config)


def test_a_seed_for_the_constructor_makes_episodes_repeatable():
    config = {**COUNTER, "make": "pocket_envs:Unseeded", "seed_kwarg": "settings.seed"}
    env = GYMNASIUM.make_vec([GYMNASIUM.task(config=config)], 2, seed=4)
    first, _ = env.reset(seed=4)
    again, _ = env.reset(seed=4)
    other, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    assert len({row.tobytes() for row in (*first, *other)}) == 4


def test_values_that_are_no_numbers_are_told_apart():
    context = {"kinematics_integrator": {"train": {"choose": ["euler", "semi-implicit euler"]}}}
    config = GYMNASIUM.config({"make": "CartPole-v1", "context": context})
    tasks = [GYMNASIUM.task({"kinematics_integrator": name}, config) for name in ("euler", "semi-implicit euler")]
    assert [GYMNASIUM.features(task).tolist() for task in tasks] == [[1.0, 0.0], [0.0, 1.0]]
    assert {name: len(split) for name, split in GYMNASIUM.splits(config).items()} == {"train": 2}
    with pytest.raises(InputError, match="one of"):
        GYMNASIUM.task({"kinematics_integrator": "rk4"}, config)
