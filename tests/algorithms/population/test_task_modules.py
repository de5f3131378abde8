"""Modules that are told the task: heads of each task, PopArt, one-of-K codes and embeddings."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.modules.build import build_module, from_bundles, to_bundle
from roamrl.algorithms.population.modules.conditioned import for_a_new_task
from roamrl.algorithms.population.modules.multihead import single_head
from roamrl.envs.errors import InputError

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)
TASKS = 4


def spec(kind, action=None, extras=None, **model):
    action = spaces.Discrete(5) if action is None else action
    extras = Extras("number") if extras is None else extras
    return ModuleSpec(kind, BOX, action, {"hidden": (8, 8), "tasks": TASKS, **model}, extras)


def rows(count, members=2, seed=0, numbers=None):
    generator = torch.Generator().manual_seed(seed)
    obs = torch.randn(members, count, 3, generator=generator)
    numbers = torch.randint(0, TASKS, (members, count), generator=generator) if numbers is None else numbers
    return torch.cat([obs, numbers[..., None].float()], dim=-1), numbers


KINDS = [
    spec("multihead"),
    spec("multihead", shared_trunk=True),
    spec("multihead", actor_heads=False),
    spec("multihead", critic_heads=False),
    spec("multihead", spaces.Box(-1, 1, (2,))),
    spec("conditioned"),
    spec("conditioned", code="embedding", width=3),
    spec("conditioned", spaces.Box(-1, 1, (2,)), code="embedding"),
]


@pytest.mark.parametrize("module_spec", KINDS, ids=lambda s: f"{s.kind}-{dict(s.model)}-{s.action_space}"[:60])
def test_a_member_is_itself_alone_and_all_paths_agree(module_spec):
    both, alone = build_module(module_spec, [1, 2]), build_module(module_spec, [2])
    obs, numbers = rows(40)
    both.observe(obs)
    alone.observe(obs[1:])
    returns = torch.randn(2, 40) * 5 + numbers
    both.observe_returns(returns, obs)
    alone.observe_returns(returns[1:], obs[1:])
    logits, values = both.forward(obs)
    torch.testing.assert_close(logits[1:], alone.logits(obs[1:]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(values[1:], alone.values(obs[1:]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(both.logits(obs), logits)
    torch.testing.assert_close(both.values(obs), values)
    bundle = to_bundle(both, 1)
    again = from_bundles([bundle])
    assert torch.equal(again.logits(obs[1:]), alone.logits(obs[1:]))


def test_every_task_has_its_own_head_and_only_that_learns_from_it():
    module = build_module(spec("multihead"), [1])
    obs, _ = rows(30, members=1, numbers=torch.full((1, 30), 2))
    logits, values = module.evaluate(module.prepare(obs), module.weights)
    (gradient,) = torch.autograd.grad(logits.square().sum() + values.sum(), module.weights)
    named = module.layout.views(gradient)
    for name in ("actor.head.weight", "critic.head.weight"):
        touched = named[name][0].abs().sum(dim=(1, 2)) > 0
        assert touched.tolist() == [False, False, True, False]
    assert named["actor.0.weight"].abs().sum() > 0


def test_an_unknown_task_gets_the_mean_of_all_heads():
    module = build_module(spec("multihead"), [1])
    known = torch.stack([module.logits(rows(6, 1, numbers=torch.full((1, 6), task))[0]) for task in range(TASKS)])
    unknown = module.logits(rows(6, 1, numbers=torch.full((1, 6), -1))[0])
    torch.testing.assert_close(unknown, known.mean(dim=0))
    assert (known[0] - known[1]).abs().max() > 1e-4


def test_popart_keeps_what_the_critic_says_and_standardises_each_task():
    module = build_module(spec("multihead"), [1, 2])
    obs, numbers = rows(400)
    before = module.values(obs)
    returns = 100.0 * numbers + (1 + numbers) * torch.randn(2, 400)
    module.observe_returns(returns, obs, torch.tensor([False, True]))
    torch.testing.assert_close(module.values(obs), before, rtol=1e-4, atol=1e-4)
    standard = module.standardise_returns(returns, obs)
    for task in range(TASKS):
        own = standard[0][numbers[0] == task]
        assert abs(own.mean()) < 1e-3 and abs(own.std(correction=0) - 1) < 1e-3
    assert module.returns.count[1].sum() == 0
    module.observe_returns(returns + 7.0, obs)
    both = torch.cat([returns, returns + 7.0], dim=1)[0]
    chosen = torch.cat([numbers, numbers], dim=1)[0] == 3
    assert module.returns.mean[0, 3] == pytest.approx(both[chosen].mean().item(), rel=1e-5)
    assert module.returns.var[0, 3] == pytest.approx(both[chosen].var(correction=0).item(), rel=1e-4)
    torch.testing.assert_close(module.values(obs)[0], before[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("heads", [{}, {"actor_heads": False}, {"critic_heads": False}])
def test_a_head_becomes_a_policy_of_its_own(shared, heads):
    module = build_module(spec("multihead", shared_trunk=shared, **heads), [1])
    obs, numbers = rows(50, members=1)
    module.observe(obs)
    module.observe_returns(torch.randn(1, 50) * 3 + 10 * numbers, obs)
    bundle = to_bundle(module, 0)
    for task in (None, 0, 3):
        told = rows(50, 1, numbers=torch.full((1, 50), -1 if task is None else task))[0]
        single = from_bundles([single_head(bundle, task)])
        assert single.spec.kind == "mlp"
        torch.testing.assert_close(single.logits(obs[..., :3]), module.logits(told), rtol=1e-5, atol=1e-5)
        if task is not None:
            torch.testing.assert_close(single.values(obs[..., :3]), module.values(told), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="has no head"):
        single_head(bundle, TASKS)
    with pytest.raises(InputError, match="only a multihead policy"):
        single_head(single_head(bundle))


@pytest.mark.parametrize("code", ["one-hot", "embedding"])
def test_a_conditioned_policy_meets_a_new_task_with_the_mean_code(code):
    module = build_module(spec("conditioned", code=code, hidden=(8,)), [1])
    obs, _ = rows(20, 1, numbers=torch.full((1, 20), -1))
    module.observe(obs)
    new = from_bundles([for_a_new_task(to_bundle(module, 0))])
    told = obs[..., :3] if code == "one-hot" else torch.cat([obs[..., :3], torch.zeros(1, 20, 1)], dim=-1)
    torch.testing.assert_close(new.logits(told), module.logits(obs), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(new.values(told), module.values(obs), rtol=1e-5, atol=1e-6)
    other = rows(20, 1, numbers=torch.full((1, 20), 1))[0]
    assert (module.logits(other) - module.logits(obs)).abs().max() > 1e-5


def test_what_does_not_fit_is_refused():
    for kind in ("multihead", "conditioned"):
        with pytest.raises(InputError, match="reads the number of the task"):
            build_module(spec(kind, extras=Extras()), [1])
        with pytest.raises(InputError, match="did you mean"):
            build_module(spec(kind, task=3), [1])
        with pytest.raises(InputError, match="flat"):
            build_module(
                ModuleSpec(kind, spaces.Box(-1, 1, (2, 3)), spaces.Discrete(2), {"tasks": 2}, Extras("number")), [1]
            )
    with pytest.raises(InputError, match="cannot be compiled"):
        build_module(spec("multihead"), [1]).differentiable()
    with pytest.raises(InputError, match="read something of the task"):
        StackedPolicy([to_bundle(build_module(spec("multihead"), [1]), 0)]).act(np.zeros((1, 2, 3), np.float32))
