"""Gradients of each task: equal to those taken one by one; projections equal to the algorithm as written."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import MemberSpec, PPOSettings
from roamrl.algorithms.population.batch import Batch
from roamrl.algorithms.population.by_task import TaskRows
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.gradient import plain_gradient
from roamrl.algorithms.population.losses import LossWeights, Minibatch
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.surgery import TaskGradients, conflict, project_conflicts, task_gradients

PPO = PPOSettings()


def test_rows_sorted_by_task_come_back():
    tasks = torch.tensor([[2, 0, 2, 1, 2], [0, 0, 0, 0, 3]])
    rows = TaskRows.of(tasks, 4)
    values = torch.randn(2, 5, 3)
    spread = rows.spread(values)
    assert spread.shape == (8, 4, 3)
    assert torch.equal(rows.collect(spread), values)
    assert torch.equal(spread[2, :3], values[0, [0, 2, 4]])
    assert torch.equal(rows.shares()[2], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]))
    assert rows.shares()[3].sum() == 0


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    spec = ModuleSpec("mlp", spaces.Box(-1, 1, (3,)), spaces.Discrete(4), {"hidden": (8,)})
    module = build_module(spec, [1, 2, 3])
    rows = 60
    batch = Minibatch(
        torch.randn(3, rows, 3, generator=generator),
        torch.randint(0, 4, (3, rows), generator=generator),
        torch.full((3, rows), -1.4),
        torch.randn(3, rows, generator=generator),
        torch.randn(3, rows, generator=generator),
    )
    tasks = torch.randint(0, 4, (3, rows), generator=generator)
    tasks[2, tasks[2] == 3] = 0  # a member that sees three of the four
    ones = torch.ones(3)
    return module, batch, tasks, LossWeights(0.2 * ones, 0.01 * ones, ones, 0 * ones)


@pytest.mark.parametrize("most", [4096, 20])
def test_a_tasks_gradient_is_that_of_its_rows_alone(problem, most):
    module, batch, tasks, by = problem
    found = task_gradients(module.weights, batch, tasks, 4, by, plain_gradient(module, PPO), most)
    for member in range(3):
        for task in range(4):
            chosen = torch.nonzero(tasks[member] == task).squeeze(1)
            if not len(chosen):
                assert not found.present[member, task] and found.each[member, task].abs().sum() == 0
                continue
            rows = batch.take(chosen).block(slice(member, member + 1), slice(None))
            own = by.block(slice(member, member + 1))
            expected, _ = plain_gradient(module, PPO)(module.weights[member : member + 1], rows, own)
            torch.testing.assert_close(found.each[member, task], expected[0], rtol=1e-4, atol=1e-6)


def test_the_tasks_mean_is_the_joint_gradient_when_they_have_equal_rows(problem):
    module, batch, _, by = problem
    tasks = (torch.arange(60) % 4).expand(3, -1)
    of_block = plain_gradient(module, PPO)
    found = task_gradients(module.weights, batch, tasks, 4, by, of_block, 4096)
    joint, statistics = of_block(module.weights, batch, by)
    torch.testing.assert_close(found.each.mean(dim=1), joint, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.statistics, statistics, rtol=1e-4, atol=1e-6)


def as_written(gradients, orders):
    """Algorithm 1 of Yu et al. (2020), vector by vector."""
    changed = []
    for i, gradient in enumerate(gradients):
        own = gradient.clone()
        for j in orders[i]:
            dot = own @ gradients[j]
            if j != i and dot < 0:
                own -= dot / (gradients[j] @ gradients[j]) * gradients[j]
        changed.append(own)
    return torch.stack(changed).mean(dim=0)


@pytest.mark.parametrize("size", [2, 3, 50])
def test_projection_is_the_algorithm_as_written(size):
    generator = torch.Generator().manual_seed(3)
    each = torch.randn(2, 6, size, generator=generator, dtype=torch.float64)
    gradients = TaskGradients(each, torch.ones(2, 6, dtype=torch.bool), torch.zeros(0))
    orders = torch.rand(6, 6, generator=torch.Generator().manual_seed(7)).argsort(dim=1).tolist()
    found = project_conflicts(gradients, torch.Generator().manual_seed(7))
    for member in range(2):
        torch.testing.assert_close(found[member], as_written(each[member], orders), rtol=1e-9, atol=1e-9)


def test_two_opposed_gradients_lose_what_opposes():
    each = torch.tensor([[[1.0, 0.0], [-1.0, 1.0]]])
    gradients = TaskGradients(each, torch.ones(1, 2, dtype=torch.bool), torch.zeros(0))
    cosine, apart = conflict(gradients)
    assert cosine.item() == pytest.approx(-np.sqrt(0.5)) and apart.item() == 1.0
    changed = project_conflicts(gradients, torch.Generator().manual_seed(0))[0]
    assert changed.tolist() == pytest.approx([0.25, 0.75])
    assert all(changed @ own >= 0 for own in each[0])


def test_absent_tasks_count_for_nothing():
    each = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]])
    present = torch.tensor([[True, False, True]])
    gradients = TaskGradients(each, present, torch.zeros(0))
    assert conflict(gradients)[0].item() == pytest.approx(np.sqrt(0.5))
    assert project_conflicts(gradients, torch.Generator().manual_seed(0))[0].tolist() == pytest.approx([1.0, 0.5])
    alone = TaskGradients(each, torch.tensor([[True, False, False]]), torch.zeros(0))
    assert [number.item() for number in conflict(alone)] == [0.0, 0.0]


def test_learning_projects_or_measures_or_does_neither(problem):
    spec, batch, tasks = problem[0].spec, problem[1], problem[2]
    whole = Batch(
        batch.prepared, batch.actions, batch.logp, batch.advantages, batch.targets, batch.targets, None, tasks
    )
    members = tuple(MemberSpec(seed, max_grad_norm=1e9) for seed in (1, 2, 3))
    after, stats = {}, {}
    for use in ("none", "measure", "project"):
        module = build_module(spec, [1, 2, 3])
        optimiser = StackedAdam(module.weights)
        ppo = PPOSettings(epochs=1, minibatches=1, normalise_values=False)
        generator = torch.Generator().manual_seed(0)
        stats[use] = fit(module, optimiser, whole, MemberHyper.of(members), ppo, generator, None, use)
        after[use] = optimiser.first_moment.clone() / 0.1
    assert torch.equal(after["none"], after["measure"])
    assert (after["none"] - after["project"]).abs().max() > 1e-3
    assert "gradient_cosine" not in stats["none"]
    np.testing.assert_allclose(stats["measure"]["gradient_cosine"], stats["project"]["gradient_cosine"], rtol=1e-4)
    apart = stats["project"]["gradient_conflict"]
    assert ((apart >= 0) & (apart <= 1)).all() and apart.max() > 0
    np.testing.assert_allclose(
        stats["project"]["grad_norm"], torch.linalg.vector_norm(after["project"], dim=1), rtol=1e-4
    )
