"""PEARL: what it describes, and that its belief finds the task and pays."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.meta.pearl import Pearl, PearlConfig
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.strategy import Setting
from roamrl.envs import family as families
from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.in_context import evaluate_in_context

EPISODES = 6


@pytest.fixture
def base(bandits):
    return ModuleSpec("mlp", *families.family_of(bandits).spaces({}), {"hidden": [16]})


def test_it_infers_a_latent_variable_on_all_sources(base, bandits):
    strategy = Pearl(PearlConfig(trial_episodes=3, latent=2, encoder=[8], kl_weight=0.3))
    spec = strategy.module(base, Setting(tasks=2))
    assert spec.kind == "latent"
    assert dict(spec.model) == {"hidden": [16], "latent": 2, "encoder": [8], "kl_weight": 0.3}
    assert (spec.extras.feedback, spec.extras.noise, spec.extras.trial_episodes) == (True, 2, 3)
    assert build_module(spec, [1]).memory_size == 2 * 2 + 1 + 1
    (member,) = strategy.pretrain(bandits, MemberSpec(7))
    assert (member.tasks, member.seed) == (bandits, 7)
    assert Pearl.in_context
    assert not Pearl.adapts


def test_what_it_cannot_do_is_refused(base, bandits):
    with pytest.raises(InputError, match="at least 2"):
        PearlConfig(trial_episodes=1)
    with pytest.raises(InputError, match="belief about the task alone"):
        Pearl(PearlConfig()).adapt(bandits[0], [], MemberSpec(1))
    with pytest.raises(InputError, match="'gru'"):
        Pearl(PearlConfig()).module(ModuleSpec("gru", base.observation_space, base.action_space), Setting())
    several = ModuleSpec("mlp", spaces.Box(0.0, 1.0, (5, 3)), spaces.MultiBinary(5))
    with pytest.raises(InputError, match="flat observations"):
        Pearl(PearlConfig()).module(several, Setting())


def test_its_belief_concentrates_on_the_task_and_beats_none(base, bandits, run):
    spec = Pearl(PearlConfig(trial_episodes=EPISODES, latent=2, encoder=(16,))).module(base, Setting(tasks=2))
    ppo, phases = PPOSettings(gamma=0.9), (Phase(20, 16, 2 * EPISODES),)
    trained, blind = (
        run(LearnerSpec(own, (MemberSpec(1, bandits, lr=5e-3),), phases, ppo)).iterate(20) for own in (spec, base)
    )
    bundle = to_bundle(trained.module, 0)
    found = evaluate_in_context([bundle] * 2, bandits, range(EPISODES), episodes=200, seed=5)
    curve = np.array([episode.returns.mean() for episode in found.scored]) / 2
    assert curve[-1] > 0.75, "the better arm pays 0.9"
    assert curve[-1] - curve[0] > 0.15
    assert blind.recent()[0] < 0.6, "without context one half is all there is"

    rollout, _ = trained.player.play(trained.module, 2 * EPISODES, 0.9)
    memory = torch.from_numpy(rollout.first_memory)
    widths = []
    for step in range(2 * EPISODES):
        with torch.no_grad():
            _, memory = trained.module.step(torch.from_numpy(rollout.obs[step]), memory)
        widths.append(trained.module.belief(memory).precision.rsqrt().mean(dim=(0, 1)))
    assert widths[0].tolist() == [1.0, 1.0], "a trial begins with the prior"
    assert widths[-1].min() < 0.7
    mean = trained.module.belief(memory).mean[0]
    one, other = (mean[torch.from_numpy(rollout.tasks[-1, 0] == task)].mean(dim=0) for task in (0, 1))
    assert float((one - other).norm()) > 1.0, "beliefs about the two tasks lie apart"
