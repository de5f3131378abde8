"""The strategies maml, fomaml and reptile: what they describe and what they refuse."""

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.meta.maml import FOMAML, MAML, MAMLConfig
from roamrl.algorithms.meta.reptile import Reptile, ReptileConfig
from roamrl.algorithms.meta_learning import InnerRule, MAMLSettings, ReptileSettings
from roamrl.algorithms.population.modules.inner_rates import KIND
from roamrl.algorithms.strategy import Setting
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task

TASKS = [Task("f-v1", {}, {"load": load}) for load in (0.5, 1.0, 1.5)]
SPEC = ModuleSpec("mlp", spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), {"hidden": [8]})
SOURCE = PolicyBundle(SPEC, {"w": np.ones(2, np.float32)})
BASE = MemberSpec(seed=7, lr=0.5)


@pytest.mark.parametrize(("strategy", "order"), [(MAML, 2), (FOMAML, 1)])
def test_maml_pretrains_one_member_on_all_sources(strategy, order):
    config = MAMLConfig(tasks=3, inner_steps=2, inner_lr=0.7, kl_coeff=0.1)
    (member,) = strategy(config).pretrain(TASKS, BASE)
    assert member.tasks == tuple(TASKS)
    assert member.meta == MAMLSettings(tasks=3, steps=2, inner_lr=0.7, order=order, kl_coeff=0.1)
    assert (member.seed, member.lr, member.initial) == (7, 0.5, None)


@pytest.mark.parametrize(("adapt_by", "meta"), [("inner", InnerRule(0.7)), ("finetune", None)])
def test_maml_adapts_from_the_weights_learned(adapt_by, meta):
    member = MAML(MAMLConfig(inner_lr=0.7, adapt_by=adapt_by)).adapt(TASKS[0], [SOURCE], BASE)
    assert (member.tasks, member.initial, member.layers, member.meta) == ((TASKS[0],), SOURCE, "all", meta)


def test_reptile_goes_on_with_ppo():
    strategy = Reptile(ReptileConfig(tasks=2, inner_steps=4, rate=0.9, final_rate=0.3))
    (member,) = strategy.pretrain(TASKS, BASE)
    assert member.meta == ReptileSettings(tasks=2, steps=4, rate=0.9, final_rate=0.3)
    adapted = strategy.adapt(TASKS[1], [SOURCE], BASE)
    assert (adapted.tasks, adapted.initial, adapted.meta) == ((TASKS[1],), SOURCE, None)


def test_learned_rates_have_a_module_of_their_own():
    assert MAML(MAMLConfig()).module(SPEC, Setting()) is SPEC
    own = MAML(MAMLConfig(learn_rates=True)).module(SPEC, Setting())
    assert (own.kind, own.model) == (KIND, SPEC.model)


@pytest.mark.parametrize("strategy", [MAML(MAMLConfig()), Reptile(ReptileConfig())])
def test_a_target_needs_a_source(strategy):
    with pytest.raises(InputError, match="given none"):
        strategy.adapt(TASKS[0], [], BASE)


def test_what_cannot_be_is_refused():
    gru, entity = (ModuleSpec(kind, SPEC.observation_space, SPEC.action_space) for kind in ("gru", "entity"))
    with pytest.raises(InputError, match="cannot take inner steps with a module of kind 'gru'"):
        FOMAML(MAMLConfig()).module(gru, Setting())
    with pytest.raises(InputError, match=r"builds on a module of kind 'mlp'.*leave the setting 'learn_rates' out"):
        MAML(MAMLConfig(learn_rates=True)).module(entity, Setting())
    with pytest.raises(InputError, match="did you mean 'finetune'"):
        MAMLConfig(adapt_by="fine-tune")
