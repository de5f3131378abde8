"""Stacked recurrent policies against torch.nn.GRU, member by member, in steps and over sequences."""

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.population.compiled import compiled_gradient
from roamrl.algorithms.population.modules.build import build_module, from_bundles, to_bundle
from roamrl.algorithms.population.modules.gru_scan import gru_scan
from roamrl.algorithms.population.modules.memory import Sequences
from roamrl.envs.errors import InputError

MEMBERS, COUNT, LENGTH, INPUTS, UNITS = 3, 4, 9, 5, 6


def make_spec(action_space=None, **model):
    model = {"hidden": [7], "memory": UNITS, **model}
    return ModuleSpec("gru", spaces.Box(-np.inf, np.inf, (INPUTS,)), action_space or spaces.Discrete(3), model)


def randomised(spec=None, seeds=(4, 5, 6)):
    module = build_module(spec or make_spec(normalise=False), list(seeds))
    with torch.no_grad():
        module.weights.add_(torch.randn(module.weights.shape, generator=torch.Generator().manual_seed(0)) * 0.3)
    return module


@pytest.fixture
def sequences():
    """Sequences whose memory begins anew here and there, also before their first step."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(MEMBERS, COUNT, LENGTH, INPUTS, generator=generator)
    memory = torch.rand(MEMBERS, COUNT, UNITS, generator=generator) - 0.5
    starts = torch.rand(MEMBERS, COUNT, LENGTH, generator=generator) < 0.2
    starts[0, 0] = False
    starts[1, 0, 0] = starts[1, 1, -1] = True
    return Sequences(inputs, memory, starts)


class TorchPolicy(nn.Module):
    """One member out of torch's own parts."""

    def __init__(self, state):
        super().__init__()
        parts = {name: torch.from_numpy(array).clone() for name, array in state.items()}
        self.encoder = self.linear(parts, "encoder.0")
        self.cell = nn.GRU(7, UNITS, batch_first=True)
        self.cell.weight_ih_l0 = nn.Parameter(parts["gru.input.weight"].T.clone())
        self.cell.weight_hh_l0 = nn.Parameter(parts["gru.memory.weight"].T.clone())
        self.cell.bias_ih_l0 = nn.Parameter(parts["gru.input.bias"])
        self.cell.bias_hh_l0 = nn.Parameter(parts["gru.memory.bias"])
        self.actor, self.critic = self.linear(parts, "actor.head"), self.linear(parts, "critic.head")

    @staticmethod
    def linear(parts, name):
        layer = nn.Linear(*parts[f"{name}.weight"].shape)
        layer.weight, layer.bias = nn.Parameter(parts[f"{name}.weight"].T.clone()), nn.Parameter(parts[f"{name}.bias"])
        return layer

    def forward(self, inputs, memory, starts):
        features = self.encoder(inputs).tanh()
        seen = []
        for step in range(inputs.shape[1]):
            memory = memory * (~starts[:, step, None])
            out, last = self.cell(features[:, step : step + 1], memory[None])
            memory = last[0]
            seen.append(out)
        seen = torch.cat(seen, dim=1).flatten(0, 1)
        return self.actor(seen), self.critic(seen).squeeze(-1)

    def gradients(self):
        named = {"encoder.0": self.encoder, "actor.head": self.actor, "critic.head": self.critic}
        found = {f"{name}.weight": layer.weight.grad.T for name, layer in named.items()}
        found |= {f"{name}.bias": layer.bias.grad for name, layer in named.items()}
        found |= {"gru.input.weight": self.cell.weight_ih_l0.grad.T, "gru.input.bias": self.cell.bias_ih_l0.grad}
        return found | {
            "gru.memory.weight": self.cell.weight_hh_l0.grad.T,
            "gru.memory.bias": self.cell.bias_hh_l0.grad,
        }


def test_outputs_and_gradients_are_those_of_torch_gru(sequences):
    module = randomised()
    logits, values = module.evaluate(sequences, module.weights)
    assert logits.shape == (MEMBERS, COUNT * LENGTH, 3)
    scale = torch.tensor([1.0, 2.0, 3.0])
    (logits.sin().sum(dim=(1, 2)) * scale + values.exp().sum(dim=1)).sum().backward()
    gradients = module.layout.views(module.weights.grad)
    for member in range(MEMBERS):
        policy = TorchPolicy(module.member_state(member))
        own = (part[member] for part in (sequences.inputs, sequences.memory, sequences.starts))
        own_logits, own_values = policy(*own)
        torch.testing.assert_close(logits[member], own_logits)
        torch.testing.assert_close(values[member], own_values)
        (own_logits.sin().sum() * (member + 1) + own_values.exp().sum()).backward()
        for name, gradient in policy.gradients().items():
            torch.testing.assert_close(gradients[name][member], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_the_recurrence_has_the_gradient_of_finite_differences():
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    starts = torch.rand(5, 2, 3, generator=generator) < 0.3
    gates, weight, bias = draw(5, 2, 12, 3), draw(2, 4, 12), draw(2, 12)
    memory = draw(2, 4, 3).detach()
    assert torch.autograd.gradcheck(lambda *args: gru_scan(args[0], memory, starts, *args[1:]), (gates, weight, bias))


def test_steps_are_what_sequences_are(sequences):
    module = randomised()
    module.observe_returns(torch.tensor([[3.0, 7.0]] * MEMBERS), torch.zeros(MEMBERS, 2, INPUTS))
    with torch.no_grad():
        logits, values = module.evaluate(sequences, module.weights)
        own_values, memories = module.unroll(sequences)
    torch.testing.assert_close(own_values, values)
    memory = sequences.memory
    for step in range(LENGTH):
        memory = memory.masked_fill(sequences.starts[:, :, step, None], 0.0)
        obs = sequences.inputs[:, :, step]
        with torch.no_grad():
            found = module.step_values(obs, memory)
            out, memory = module.step(obs, memory)
        torch.testing.assert_close(out, logits.unflatten(1, (COUNT, LENGTH))[:, :, step])
        torch.testing.assert_close(memory, memories[:, :, step])
        torch.testing.assert_close(found, values.unflatten(1, (COUNT, LENGTH))[:, :, step] * 2.0 + 5.0)


def test_members_are_independent_and_drawn_from_their_seeds(sequences):
    together = build_module(make_spec(), [4, 5, 6])
    alone = build_module(make_spec(), [5])
    np.testing.assert_array_equal(
        together.member_state(1)["gru.memory.weight"], alone.member_state(0)["gru.memory.weight"]
    )
    for gate in np.split(alone.member_state(0)["gru.memory.weight"], 3, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(UNITS), atol=1e-5)
    with torch.no_grad():
        together.weights[0] = torch.nan
        logits, _ = together.evaluate(sequences, together.weights)
        own, _ = alone.evaluate(Sequences(*(part[1:2] for part in vars(sequences).values())), alone.weights)
    assert logits[0].isnan().all()
    torch.testing.assert_close(logits[1:2], own, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("space", [spaces.Discrete(4), spaces.Box(-1.0, 1.0, (2,)), spaces.MultiBinary(3)])
def test_a_policy_acts_the_same_out_of_a_bundle(space):
    module = build_module(make_spec(space), [1, 2])
    obs = torch.randn(2, 6, INPUTS)
    module.observe(obs * 3)
    bundle = to_bundle(module, 1)
    spec = ModuleSpec.from_json(json.loads(json.dumps(bundle.spec.to_json())))
    again = from_bundles([PolicyBundle(spec, bundle.arrays)])
    memory = torch.rand(2, 6, UNITS)
    with torch.no_grad():
        before, after = module.step(obs, memory), again.step(obs[1:], memory[1:])
    for ours, theirs in zip(before, after, strict=True):
        torch.testing.assert_close(ours[1], theirs[0], rtol=1e-6, atol=1e-6)
    assert set(module.trunk_names()) >= {"encoder.0.weight", "gru.input.weight", "gru.memory.bias", "observations.mean"}
    assert not any(name.startswith(("actor.head", "critic")) for name in module.trunk_names())


def test_bits_and_noise_stay_as_they_are_and_rewards_are_standardised():
    module = build_module(with_feedback(make_spec(), noise=2), [1])
    rows = torch.randn(1, 100, INPUTS + 3 + 2 + 2)
    action, reward, rest = slice(INPUTS, INPUTS + 3), INPUTS + 3, slice(INPUTS + 4, None)
    rows[..., reward] = 50.0 + 10.0 * torch.arange(100).remainder(2)
    module.observe(rows)
    prepared = module.prepare(rows)
    for raw in (action, rest):
        torch.testing.assert_close(prepared[..., raw], rows[..., raw], rtol=0, atol=0)
    torch.testing.assert_close(prepared[..., reward], (rows[..., reward] - 55.0) / 5.0, rtol=1e-4, atol=1e-4)
    continuous = build_module(with_feedback(make_spec(spaces.Box(-9.0, 9.0, (3,)))), [1])
    continuous.observe(rows[..., :-2])
    assert not torch.equal(continuous.prepare(rows[..., :-2])[..., action], rows[..., action])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory": 0}, "memory is a whole number"),
        ({"memory": True}, "memory is a whole number"),
        ({"memry": 3}, "did you mean 'memory'"),
        ({"backward_steps": 0}, "backward_steps"),
        ({"hidden": []}, "hidden layers"),
        ({"shared_trunk": True}, "unknown gru setting"),
    ],
)
def test_senseless_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        build_module(make_spec(**change), [1])


@pytest.mark.parametrize("ask", ["forward", "logits", "values", "prepared_logits", "prepared_values"])
def test_a_policy_with_memory_is_not_asked_about_one_observation(ask):
    with pytest.raises(InputError, match="carry a memory"):
        getattr(build_module(make_spec(), [1]), ask)(torch.zeros(1, 1, INPUTS))


def test_there_is_no_compiled_path():
    with pytest.raises(InputError, match="no compiled path"):
        compiled_gradient(build_module(make_spec(memory=5), [1]), PPOSettings(compiled=True))
