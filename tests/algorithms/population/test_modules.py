"""Stacked networks against torch.nn, initialisation, statistics, and policies going in and out."""

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import build_module, from_bundles, to_bundle
from roamrl.envs.errors import InputError

TORCH_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


def make_spec(action_space=None, **model):
    model = {"hidden": [12, 7], **model}
    return ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (2, 3)), action_space or spaces.Discrete(5), model)


def torch_net(state, net, head, activation):
    layers = []
    for layer in (f"{net}.0", f"{net}.1", head):
        weight, bias = (torch.from_numpy(state[f"{layer}.{part}"]) for part in ("weight", "bias"))
        linear = nn.Linear(*weight.shape)
        linear.weight, linear.bias = nn.Parameter(weight.T.clone()), nn.Parameter(bias)
        layers += [linear, TORCH_ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
@pytest.mark.parametrize("shared", [False, True])
def test_outputs_and_gradients_are_those_of_torch_linear_stacks(activation, shared):
    module = build_module(make_spec(activation=activation, shared_trunk=shared, normalise=False), [4, 5, 6])
    with torch.no_grad():
        module.weights.add_(torch.randn(module.weights.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
    obs = torch.randn(3, 9, 2, 3)
    logits, values = module.evaluate(module.prepare(obs), module.weights)
    torch.testing.assert_close(module.logits(obs), logits)
    torch.testing.assert_close(module.values(obs), values, rtol=1e-5, atol=1e-5)
    (logits.square().sum(dim=(1, 2)) * torch.tensor([1.0, 2.0, 3.0]) + values.exp().sum(dim=1)).sum().backward()
    gradients = module.layout.views(module.weights.grad)
    for member in range(3):
        state = module.member_state(member)
        names = ("trunk", "trunk") if shared else ("actor", "critic")
        actor = torch_net(state, names[0], "actor.head", activation)
        critic = torch_net(state, names[1], "critic.head", activation)
        if shared:
            critic = nn.Sequential(*actor[:-1], critic[-1])
        flat = obs[member].flatten(1)
        own_logits, own_values = actor(flat), critic(flat).squeeze(-1)
        torch.testing.assert_close(logits[member], own_logits)
        torch.testing.assert_close(values[member], own_values)
        (own_logits.square().sum() * (member + 1) + own_values.exp().sum()).backward()
        for net, layers in ((names[0], (actor[0], actor[2])), (names[1], (critic[0], critic[2]))):
            for number, linear in enumerate(layers):
                torch.testing.assert_close(gradients[f"{net}.{number}.weight"][member], linear.weight.grad.T)
                torch.testing.assert_close(gradients[f"{net}.{number}.bias"][member], linear.bias.grad)
        for head, net in (("actor.head", actor), ("critic.head", critic)):
            torch.testing.assert_close(gradients[f"{head}.weight"][member], net[-1].weight.grad.T)
            torch.testing.assert_close(gradients[f"{head}.bias"][member], net[-1].bias.grad)


def test_a_state_independent_deviation_gets_its_gradient():
    module = build_module(make_spec(spaces.Box(-1.0, 1.0, (2,)), normalise=False), [1, 2])
    logits, _ = module.evaluate(module.prepare(torch.randn(2, 9, 2, 3)), module.weights)
    assert logits.shape == (2, 9, 4)
    (logits[..., 2:].sum() + 0.0 * logits.sum()).backward()
    views = module.layout.views(module.weights.grad)
    assert views["actor.log_std"].tolist() == [[9.0, 9.0]] * 2
    assert views["actor.head.weight"].abs().max() == 0


def test_weights_depend_on_the_members_seed_alone():
    alone = build_module(make_spec(), [7]).member_state(0)
    among = build_module(make_spec(), [1, 7, 7, 2])
    for member in (1, 2):
        assert all(np.array_equal(array, alone[name]) for name, array in among.member_state(member).items())
    assert not np.array_equal(among.member_state(0)["actor.0.weight"], alone["actor.0.weight"])
    rows = alone["actor.0.weight"]
    np.testing.assert_allclose(rows @ rows.T, 2 * np.eye(6), atol=1e-5)


def test_observation_statistics_are_those_of_all_rows_seen_and_normalise():
    module = build_module(make_spec(), [1, 2])
    rng = np.random.default_rng(0)
    batches = [rng.normal([[[3.0]], [[-50.0]]], [[[2.0]], [[9.0]]], (2, n, 6)).astype(np.float32) for n in (5, 1, 80)]
    for batch in batches:
        module.observe(torch.from_numpy(batch.reshape(2, -1, 2, 3)))
    rows = np.concatenate(batches, axis=1).astype(np.float64)
    state = module.member_state(1)
    np.testing.assert_allclose(state["observations.mean"], rows[1].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(state["observations.var"], rows[1].var(axis=0), rtol=1e-6)
    assert state["observations.count"] == 86
    prepared = module.prepare(torch.from_numpy(rows.astype(np.float32)).view(2, -1, 2, 3))
    torch.testing.assert_close(prepared.mean(dim=1), torch.zeros(2, 6), atol=1e-4, rtol=0)
    torch.testing.assert_close(prepared.std(dim=1, correction=0), torch.ones(2, 6), atol=1e-3, rtol=0)
    assert module.prepare(torch.full((2, 1, 2, 3), 1e9)).abs().max() == 10


def test_held_and_non_finite_members_keep_their_statistics():
    module = build_module(make_spec(), [1, 2, 3])
    obs = torch.ones(3, 4, 2, 3)
    obs[2, 0] = torch.nan
    module.observe(obs, torch.tensor([False, True, False]))
    assert module.observations.count.tolist() == [4.0, 0.0, 0.0]
    assert module.observations.mean[:, 0].tolist() == [1.0, 0.0, 0.0]


def test_values_are_in_units_of_return():
    module = build_module(make_spec(), [1])
    obs = torch.randn(1, 4, 2, 3)
    raw = module.values(obs)
    module.observe_returns(torch.tensor([[10.0, 30.0]]), obs[:, :2])
    torch.testing.assert_close(module.values(obs), raw * 10.0 + 20.0)
    torch.testing.assert_close(module.forward(obs)[1], module.values(obs))
    torch.testing.assert_close(module.standardise_returns(torch.tensor([[30.0]]), obs[:, :1]), torch.tensor([[1.0]]))


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.Box(-1.0, 1.0, (2,)), spaces.MultiBinary(4)])
def test_a_policy_acts_the_same_out_of_a_bundle(space):
    module = build_module(make_spec(space), [1, 2])
    module.observe(torch.randn(2, 50, 2, 3) * 3)
    module.observe_returns(torch.randn(2, 50), torch.zeros(2, 50, 2, 3))
    bundle = to_bundle(module, 1)
    spec = ModuleSpec.from_json(json.loads(json.dumps(bundle.spec.to_json())))
    again = from_bundles([PolicyBundle(spec, bundle.arrays)] * 2)
    obs = torch.randn(1, 6, 2, 3).expand(2, -1, -1, -1)
    for before, after in zip(module.forward(obs), again.forward(obs), strict=True):
        torch.testing.assert_close(after[1], before[1], rtol=0, atol=0)
    assert {str(array.dtype) for array in bundle.arrays.values()} == {"float32", "float64"}


def test_the_trunk_is_all_but_output_layers_and_return_statistics():
    source, module = build_module(make_spec(spaces.Discrete(9)), [1]), build_module(make_spec(), [2])
    source.observe(torch.randn(1, 50, 2, 3) * 3)
    source.observe_returns(torch.randn(1, 50) * 7, torch.zeros(1, 50, 2, 3))
    before, given = module.member_state(0), source.member_state(0)
    module.load_member_state(0, given, "trunk")
    after = module.member_state(0)
    heads = {f"{net}.head.{part}" for net in ("actor", "critic") for part in ("weight", "bias")}
    untouched = heads | {"returns.mean", "returns.var", "returns.count"}
    assert set(module.trunk_names()) == set(after) - untouched
    for name, array in after.items():
        np.testing.assert_array_equal(array, (before if name in untouched else given)[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("actor.0.bias"), "lacks the array 'actor.0.bias'"),
        (lambda arrays: arrays.update({"actor.9.bias": np.zeros(3, np.float32)}), "unknown policy array"),
        (lambda arrays: arrays.update({"actor.0.bias": np.zeros(3, np.float32)}), r"float32 \(3,\)"),
        (lambda arrays: arrays.update({"actor.0.bias": np.zeros(12)}), "float64"),
        (lambda arrays: arrays.update({"actor.0.bias": np.full(12, np.nan, np.float32)}), "not finite"),
        (lambda arrays: arrays.update({"returns.var": np.full(1, -1.0)}), "negative"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    module = build_module(make_spec(), [1])
    arrays = build_module(make_spec(), [2]).member_state(0)
    change(arrays)
    before = module.weights.detach().clone()
    with pytest.raises(InputError, match=message):
        module.load_member_state(0, arrays)
    assert torch.equal(module.weights.detach(), before)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (make_spec(hidden=[]), "hidden layers"),
        (make_spec(hidden=[0]), "units"),
        (make_spec(hidden=[8, 1 << 20]), "units"),
        (make_spec(activation="tanhh"), "did you mean 'tanh'"),
        (make_spec(hiden=[8]), "did you mean 'hidden'"),
        (make_spec(normalise=1), "true or false"),
        (make_spec(spaces.MultiDiscrete([2, 3])), "no action distribution"),
        (ModuleSpec("mlpp", spaces.Box(-1, 1, (2,)), spaces.Discrete(2)), "did you mean 'mlp'"),
        (ModuleSpec("mlp", spaces.Discrete(3), spaces.Discrete(2)), "Box observations"),
    ],
)
def test_what_cannot_be_built_is_the_users_mistake(spec, message):
    with pytest.raises(InputError, match=message):
        build_module(spec, [1])


def test_a_population_has_one_spec():
    bundles = [to_bundle(build_module(make_spec(hidden=[n, 7]), [1]), 0) for n in (12, 13)]
    with pytest.raises(InputError, match="number 1 differs"):
        from_bundles(bundles)
    with pytest.raises(InputError, match="at least one"):
        from_bundles([])
    with pytest.raises(InputError, match="member 3 does not exist"):
        build_module(make_spec(), [1]).member_state(3)
