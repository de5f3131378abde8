"""RL^2: what it describes, and that it learns to explore and exploit a bandit within a trial."""

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.meta.rl2 import RL2, RL2Config
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.strategy import Setting
from roamrl.envs import family as families
from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.in_context import evaluate_in_context

EPISODES = 4


@pytest.fixture
def base(bandits):
    return ModuleSpec("mlp", *families.family_of(bandits).spaces({}), {"hidden": [16], "shared_trunk": True})


def test_it_is_a_recurrent_policy_with_feedback_on_all_sources(base, bandits):
    strategy = RL2(RL2Config(trial_episodes=3, memory=24))
    spec = strategy.module(base, Setting(tasks=2))
    assert (spec.kind, dict(spec.model)) == ("gru", {"hidden": [16], "memory": 24})
    assert (spec.extras.feedback, spec.extras.actions, spec.extras.trial_episodes) == (True, 2, 3)
    assert build_module(spec, [1]).memory_size == 24
    (member,) = strategy.pretrain(bandits, MemberSpec(7))
    assert (member.tasks, member.seed) == (bandits, 7)
    assert RL2.in_context
    assert not RL2.adapts


def test_what_it_cannot_do_is_refused(base, bandits):
    with pytest.raises(InputError, match="at least 2"):
        RL2Config(trial_episodes=1)
    with pytest.raises(InputError, match="memory alone"):
        RL2(RL2Config()).adapt(bandits[0], [], MemberSpec(1))
    stations = ModuleSpec("entity", spaces.Box(0.0, 1.0, (5, 3)), spaces.MultiBinary(5))
    with pytest.raises(InputError, match=r"of kind 'entity' and observations of shape .*on flat observations"):
        RL2(RL2Config()).module(stations, Setting())
    several = ModuleSpec("mlp", spaces.Box(0.0, 1.0, (5, 3)), spaces.MultiBinary(5))
    with pytest.raises(InputError, match=r"of kind 'mlp' and observations of shape .*on flat observations"):
        RL2(RL2Config()).module(several, Setting())


def test_it_learns_to_find_the_better_arm_within_a_trial(base, bandits, run):
    spec = RL2(RL2Config(trial_episodes=EPISODES, memory=16)).module(base, Setting(tasks=2))
    learner = LearnerSpec(
        spec, (MemberSpec(1, bandits, lr=5e-3),), (Phase(20, 16, 2 * EPISODES),), PPOSettings(gamma=0.9)
    )
    trained = run(learner).iterate(20)
    bundle = to_bundle(trained.module, 0)
    found = evaluate_in_context([bundle] * 2, bandits, range(EPISODES), episodes=200, seed=5)
    curve = np.array([episode.returns.mean() for episode in found.scored]) / 2
    untold = np.array([episode.returns[:, :].mean(axis=1) for episode in found.scored]) / 2
    assert curve[0] < 0.75, "the first pull is blind"
    assert curve[-1] > 0.8, "the better arm pays 0.9"
    assert curve[-1] - curve[0] > 0.1
    assert (untold[-1] > 0.75).all(), "on either task"
    warm = np.array([episode.returns.mean() for episode in found.warm_up]) / 2
    assert warm[-1] > warm[0]
