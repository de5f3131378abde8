"""Policies on sets of entities: against loops, order, padding, who sees whom, and policies going in and out."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn import functional

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.distributions import NEVER
from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.population.modules.build import build_module, from_bundles, to_bundle
from roamrl.algorithms.population.modules.entity import with_entities
from roamrl.envs.errors import InputError

INTERACTIONS = ["none", "deepsets", "attention"]
ACTIONS = {"each": None, "discrete": spaces.Discrete(5), "continuous": spaces.Box(-1.0, 1.0, (2,))}
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "silu": functional.silu}


def dense(state, layer, inputs):
    return inputs @ torch.from_numpy(state[f"{layer}.weight"]) + torch.from_numpy(state[f"{layer}.bias"])


def told(state, model, embeddings):
    """What each entity of one cell knows, [n, H], from all embeddings [n, H]."""
    if model["interaction"] == "none":
        return embeddings
    rows = []
    size = torch.tensor([np.log1p(len(embeddings))], dtype=torch.float32)
    if model["interaction"] == "attention":
        asked = embeddings @ torch.from_numpy(state["actor.attention.weight"])
        heads = [part.chunk(2, dim=-1) for part in asked.chunk(3, dim=-1)]
        taken = [torch.softmax(q @ k.T / q.shape[1] ** 0.5, dim=-1) @ v for q, k, v in zip(*heads, strict=True)]
        rows = [torch.cat([own, *(head[e] for head in taken), size]) for e, own in enumerate(embeddings)]
    else:
        for e, own in enumerate(embeddings):
            others = torch.cat([embeddings[:e], embeddings[e + 1 :]])
            pooled = (others.mean(dim=0), others.amax(dim=0)) if len(others) else torch.zeros(2, len(own))
            rows.append(torch.cat([own, *pooled, size]))
    return ACTIVATIONS[model["activation"]](dense(state, "actor.joint", torch.stack(rows)))


def by_loops(spec, state, cell):
    """Logits and standardised value of one cell [E, O], from the entities that are present."""
    model = spec.model
    there = cell[:, 0] == 1.0
    features = cell[there, 1:]
    if model["normalise"]:
        mean, var = (torch.from_numpy(state[f"observations.{name}"]) for name in ("mean", "var"))
        features = ((features - mean[1:]) / (var[1:] + 1e-4).sqrt()).float().clamp(-10.0, 10.0)
    activation = ACTIVATIONS[model["activation"]]

    def embed(net):
        rows = features
        for layer in range(2):
            rows = activation(dense(state, f"{'trunk' if model['shared_trunk'] else net}.{layer}", rows))
        return rows

    def pooled(net, embeddings):
        mean = embeddings.mean(dim=0) if len(embeddings) else torch.zeros(embeddings.shape[1])
        size = torch.tensor([np.log1p(len(embeddings))], dtype=torch.float32)
        return dense(state, f"{net}.head", activation(dense(state, f"{net}.pooled", torch.cat([mean, size]))))

    known = told(state, model, embed("actor")) if there.any() else embed("actor")
    if isinstance(spec.action_space, spaces.MultiBinary):
        logits = torch.full((len(cell),), NEVER)
        logits[there] = dense(state, "actor.head", known)[:, 0]
    else:
        logits = pooled("actor", known)
        if isinstance(spec.action_space, spaces.Box):
            logits = torch.cat([logits, torch.from_numpy(state["actor.log_std"])])
    return logits, pooled("critic", embed("critic"))[0]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
@pytest.mark.parametrize(("activation", "normalise"), [("tanh", True), ("relu", False), ("silu", True)])
def test_outputs_and_gradients_are_those_of_loops_over_the_present(
    entity_spec, make_entities, draw_cells, interaction, actions, shared, activation, normalise
):
    model = {"interaction": interaction, "shared_trunk": shared, "activation": activation, "normalise": normalise}
    spec = entity_spec(6, ACTIONS[actions], **model)
    module = make_entities(spec, [4, 5])
    obs = draw_cells(2, 7, 6, most=4)
    obs[:, 0] = 0.0
    module.observe(draw_cells(2, 60, 6, seed=9))
    logits, values = module.evaluate(module.prepare(obs), module.weights)
    for member in range(2):
        state = module.member_state(member)
        expected = [by_loops(spec, state, cell) for cell in obs[member]]
        for found, own in zip((logits, values), zip(*expected, strict=True), strict=True):
            torch.testing.assert_close(found[member], torch.stack(own), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.logits(obs), logits)
    torch.testing.assert_close(module.values(obs), values)
    torch.testing.assert_close(module.forward(obs), (logits, values))
    static = module.differentiable()(module.prepare(obs), module.weights)
    torch.testing.assert_close(static, (logits, values), rtol=1e-5, atol=1e-5)
    gradients = [
        torch.autograd.grad((out[0].clamp(min=-50.0).square().sum() + out[1].exp().sum()), module.weights)[0]
        for out in ((logits, values), static)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)
    assert (gradients[0] != 0).any(dim=1).all()


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_the_differentiable_path_has_second_derivatives(entity_spec, make_entities, draw_cells, interaction):
    module = make_entities(entity_spec(4, hidden=[3, 2], interaction=interaction))
    evaluate, prepared = module.differentiable(), module.prepare(draw_cells(1, 3, 4)).double()
    present = prepared[..., 0] > 0.0

    def outputs(weights):
        logits, values = evaluate(prepared, weights)
        return logits[present].sigmoid(), values

    weights = module.weights.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(outputs, [weights], fast_mode=True)
    assert torch.autograd.gradgradcheck(outputs, [weights], fast_mode=True)


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_order_does_not_matter(entity_spec, make_entities, interaction, actions):
    module = make_entities(entity_spec(8, ACTIONS[actions], interaction=interaction), [1, 2])
    obs = torch.randn(2, 30, 8, 5, generator=torch.Generator().manual_seed(1))
    obs[..., 0] = 1.0
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    logits, values = module(obs)
    moved_logits, moved_values = module(obs[:, :, order])
    torch.testing.assert_close(moved_logits, logits[..., order] if actions == "each" else logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved_values, values, rtol=1e-5, atol=1e-5)
    assert logits[..., 0].std() > 0.01
    assert values.std() > 0.01


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_a_policy_is_the_same_among_more_places(entity_spec, make_entities, draw_cells, interaction, actions):
    module = make_entities(entity_spec(8, ACTIONS[actions], interaction=interaction), [1])
    module.observe(draw_cells(1, 100, 8))
    bundle = to_bundle(module, 0)
    wide = with_entities(bundle, 40)
    again = from_bundles([wide])
    assert wide.spec.observation_space.shape == (40, 5)
    assert all(np.shares_memory(wide.arrays[name], array) for name, array in bundle.arrays.items())
    few = draw_cells(1, 20, 8, seed=5)
    padded = functional.pad(few, (0, 0, 0, 32))
    logits, values = again(padded)
    expected_logits, expected_values = module(few)
    torch.testing.assert_close(values, expected_values, rtol=1e-6, atol=1e-6)
    static = again.differentiable()(again.prepare(padded), again.weights)[0]
    if actions == "each":
        assert logits.shape == (1, 20, 40)
        assert (logits[..., 8:] == NEVER).all()
        torch.testing.assert_close(static, logits, rtol=1e-5, atol=1e-5)
        logits, static = logits[..., :8], static[..., :8]
        assert StackedPolicy([wide]).act(draw_cells(1, 20, 40).numpy()).shape == (1, 20, 40)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(static, expected_logits, rtol=1e-5, atol=1e-5)
    back = with_entities(wide, 8)
    assert back.spec.to_json() == bundle.spec.to_json()


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_who_sees_whom(entity_spec, make_entities, interaction):
    """Execution is decentralised without interaction only; the critic sees everybody and how many they are."""
    module = make_entities(entity_spec(8, interaction=interaction))
    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(1, 50, 8, 5, generator=generator)
    obs[..., 0] = 1.0
    changed = obs.clone()
    changed[:, :, 1:, 1:] = torch.randn(1, 50, 7, 4, generator=generator)
    fewer = obs.clone()
    fewer[:, :, 3:] = 0.0
    twins = obs[:, :, :1].expand(-1, -1, 8, -1).clone()
    lonely = twins.clone()
    lonely[:, :, 1:] = 0.0
    own = module.logits(obs)[..., 0]
    for other in (changed, fewer):
        difference = (module.logits(other)[..., 0] - own).abs()
        assert difference.max() < 1e-6 if interaction == "none" else difference.mean() > 1e-2
        assert (module.values(other) - module.values(obs)).abs().mean() > 1e-2
    counted = (module.logits(twins) - module.logits(lonely))[..., 0].abs().mean()
    assert counted < 1e-6 if interaction == "none" else counted > 1e-2
    assert (module.values(twins) - module.values(lonely)).abs().mean() > 1e-2


def test_the_same_network_serves_every_entity(entity_spec):
    widths = [build_module(entity_spec(count), [1]).layout.width for count in (1, 8, 40)]
    assert widths[0] == widths[1] == widths[2]
    inputs, first, last = 4, 12, 8
    body = (inputs + 1) * first + (first + 1) * last
    assert widths[0] == 2 * body + (last + 1) + (last + 2) * last + (last + 1)


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_what_absent_rows_hold_does_not_matter(entity_spec, make_entities, draw_cells, interaction):
    """Numbers that are appended to every row, as the task's context, stand in the rows of absent entities too."""
    spec = replace(entity_spec(6, interaction=interaction), extras=Extras("context", contexts=3))
    module = make_entities(spec)
    obs = draw_cells(1, 30, 6, most=4)
    context = torch.randn(1, 30, 1, 3, generator=torch.Generator().manual_seed(4)).expand(-1, -1, 6, -1)
    wide = torch.cat([obs, context], dim=-1)
    clean = wide * obs[..., :1]
    statistics = []
    for given in (wide, clean):
        module.observe(given)
        statistics.append(module.observations.mean.clone())
    torch.testing.assert_close(*statistics)
    for found, expected in zip(module(wide), module(clean), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("blocks", [1 << 22, 40])
def test_statistics_are_those_of_the_entities_that_were_present(
    entity_spec, make_entities, draw_cells, monkeypatch, blocks
):
    monkeypatch.setattr("roamrl.algorithms.population.modules.present_statistics._BLOCK_NUMBERS", blocks)
    module = make_entities(entity_spec(), [1, 2])
    batches = [1e3 + draw_cells(2, cells, 8, seed=cells) for cells in (5, 1, 80)]
    for batch in batches:
        batch[..., 0] -= 1e3
        module.observe(batch)
    for member in range(2):
        rows = torch.cat([batch[member].flatten(0, 1) for batch in batches]).double().numpy()
        rows = rows[rows[:, 0] == 1.0]
        state = module.member_state(member)
        np.testing.assert_allclose(state["observations.mean"], rows.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(state["observations.var"], rows.var(axis=0), rtol=1e-9, atol=1e-9)
        assert state["observations.count"] == len(rows)
    prepared = module.prepare(batches[2])
    present = prepared[..., 0] == 1.0
    assert (prepared[~present] == 0).all()
    assert (prepared[..., 0] == batches[2][..., 0]).all()
    far = batches[2].clone()
    far[..., 1] = 1e9 * far[..., 0]
    assert module.prepare(far)[..., 1][present].unique().tolist() == [10.0]


def test_members_keep_statistics_without_anything_to_learn(entity_spec, make_entities):
    module = make_entities(entity_spec(), [1, 2, 3, 4])
    obs = torch.ones(4, 6, 8, 5)
    obs[2, 0, 0, 3] = torch.nan
    obs[3] = 0.0
    module.observe(obs, torch.tensor([False, True, False, False]))
    assert module.observations.count.tolist() == [48.0, 0.0, 0.0, 0.0]
    assert module.observations.mean[:, 1].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert module.observations.var[:, 1].tolist() == [0.0, 1.0, 1.0, 1.0]
    plain = make_entities(entity_spec(normalise=False))
    plain.observe(obs[:1])
    assert plain.observations.count.tolist() == [0.0]


def test_absent_entities_get_no_work(entity_spec, make_entities, draw_cells, monkeypatch):
    module = make_entities(entity_spec(40))
    seen = []
    embed = type(module._networks)._embed

    def spy(networks, cells, named, net):
        seen.append(cells.presence.shape[2])
        return embed(networks, cells, named, net)

    monkeypatch.setattr(type(module._networks), "_embed", spy)
    obs = draw_cells(1, 50, 40, most=7)
    module.logits(obs), module.values(obs), module.evaluate(module.prepare(obs), module.weights)
    module.logits(torch.zeros(1, 3, 40, 5))
    assert seen == [7, 7, 7, 7, 1]
    module.differentiable()(module.prepare(obs), module.weights)
    assert seen[5:] == [40, 40]


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_a_policy_acts_the_same_out_of_a_bundle(entity_spec, make_entities, draw_cells, interaction, actions):
    module = make_entities(entity_spec(8, ACTIONS[actions], interaction=interaction), [1, 2])
    module.observe(draw_cells(2, 50, 8))
    module.observe_returns(torch.randn(2, 50), torch.zeros(2, 50, 8, 5))
    bundle = to_bundle(module, 1)
    spec = ModuleSpec.from_json(json.loads(json.dumps(bundle.spec.to_json())))
    again = from_bundles([PolicyBundle(spec, bundle.arrays)] * 2)
    obs = draw_cells(1, 6, 8).expand(2, -1, -1, -1)
    for before, after in zip(module.forward(obs), again.forward(obs), strict=True):
        torch.testing.assert_close(after[1], before[1], rtol=0, atol=0)


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_the_trunk_is_all_but_output_layers_and_return_statistics(entity_spec, interaction, actions):
    module = build_module(entity_spec(8, ACTIONS[actions], interaction=interaction), [1])
    heads = {f"{net}.head.{part}" for net in ("actor", "critic") for part in ("weight", "bias")} | {"actor.log_std"}
    untouched = heads | {"returns.mean", "returns.var", "returns.count"}
    assert set(module.trunk_names()) == set(module.member_state(0)) - untouched


def test_a_learner_for_many_starts_from_an_expert_for_few(entity_spec, make_entities):
    expert = to_bundle(make_entities(entity_spec(8)), 0)
    spec = LearnerSpec(entity_spec(40), (MemberSpec(2, initial=expert), MemberSpec(2)), (Phase(1, 2, 3),))
    module, _ = start_population(spec)
    for name, array in module.member_state(0).items():
        np.testing.assert_array_equal(array, expert.arrays[name])
    assert not np.array_equal(module.member_state(1)["actor.0.weight"], expert.arrays["actor.0.weight"])


def test_weights_depend_on_the_members_seed_alone(entity_spec):
    spec = entity_spec(interaction="attention")
    alone = build_module(spec, [7]).member_state(0)
    among = build_module(spec, [1, 7, 2])
    assert all(np.array_equal(array, alone[name]) for name, array in among.member_state(1).items())
    assert not np.array_equal(among.member_state(0)["actor.attention.weight"], alone["actor.attention.weight"])
    rows = alone["actor.joint.weight"]
    np.testing.assert_allclose(rows.T @ rows, 2 * np.eye(8), atol=1e-5)


def spec_of(observation=None, actions=None, **model):
    observation = spaces.Box(-1.0, 1.0, (4, 3)) if observation is None else observation
    return ModuleSpec("entity", observation, actions or spaces.MultiBinary(4), {"hidden": [12, 6], **model})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (spec_of(spaces.Box(-1.0, 1.0, (12,))), r"\[E, O\] of E entities.*use the kind 'mlp'"),
        (spec_of(spaces.Box(-1.0, 1.0, (4, 1))), r"\[E, O\] of E entities"),
        (spec_of(spaces.Discrete(4)), r"\[E, O\] of E entities"),
        (spec_of(actions=spaces.MultiBinary(5)), r"make them MultiBinary\(4\)"),
        (spec_of(actions=spaces.MultiBinary([4, 2])), r"make them MultiBinary\(4\)"),
        (spec_of(actions=spaces.MultiDiscrete([2, 2])), "no action distribution"),
        (spec_of(interaction="deepset"), "did you mean 'deepsets'"),
        (spec_of(interactions="none"), "did you mean 'interaction'"),
        (spec_of(activation="tanhh"), "did you mean 'tanh'"),
        (spec_of(hidden=[8, 0]), "units"),
        (spec_of(interaction="attention", attention_heads=4), "6 units cannot be shared among 4 attention heads"),
        (spec_of(attention_heads=0), "at least one head"),
        (spec_of(attention_heads=True), "at least one head"),
    ],
)
def test_what_cannot_be_built_is_the_users_mistake(spec, message):
    with pytest.raises(InputError, match=message):
        build_module(spec, [1])


def test_observations_of_another_size_are_refused(entity_spec, make_entities):
    module = make_entities(entity_spec(8))
    with pytest.raises(InputError, match="at most 8 entities with 5 numbers"):
        module.logits(torch.ones(1, 2, 9, 5))
    with pytest.raises(InputError, match="at most 8 entities with 5 numbers"):
        module.logits(torch.ones(1, 2, 8, 6))


def test_policies_that_have_no_other_number_of_entities(entity_spec, make_entities):
    flat = ModuleSpec("mlp", spaces.Box(-1.0, 1.0, (4, 3)), spaces.Discrete(2), {"hidden": [4]})
    with pytest.raises(InputError, match="kind 'mlp' is made for its number of inputs"):
        with_entities(to_bundle(build_module(flat, [1]), 0), 8)
    bundle = to_bundle(make_entities(entity_spec(8)), 0)
    with pytest.raises(InputError, match="at least one entity"):
        with_entities(bundle, 0)
    high = np.ones((8, 5), np.float32)
    columns = np.arange(1.0, 6.0, dtype=np.float32)
    even = replace(bundle, spec=replace(bundle.spec, observation_space=spaces.Box(0.0, high * columns)))
    assert with_entities(even, 3).spec.observation_space == spaces.Box(0.0, high[:3] * columns)
    high[2] = 7.0
    uneven = replace(bundle, spec=replace(bundle.spec, observation_space=spaces.Box(0.0, high)))
    with pytest.raises(InputError, match="differ between entities"):
        with_entities(uneven, 40)
