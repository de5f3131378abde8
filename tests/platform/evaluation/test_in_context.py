"""In-context evaluation: paired with every other arm's, and without a trace in the warm-up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.envs import episodes
from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING
from roamrl.envs.task import Task
from roamrl.platform.evaluation.evaluate import evaluate_bundles
from roamrl.platform.evaluation.in_context import evaluate_in_context, warm_up_seed

SEED = 17


@pytest.fixture(scope="module")
def tasks() -> tuple[Task, ...]:
    return SLICING.sample(2, 0, config={"episode_windows": 4})


def policies(tasks: tuple[Task, ...], kind: str = "gru", *, blind: bool = False) -> list[PolicyBundle]:
    """Untrained policies with feedback; blind ones always do the same."""
    spec = ModuleSpec(kind, *SLICING.spaces(tasks[0].config), {"hidden": [8]})
    told = with_feedback(spec, noise=5 if kind == "latent" else 0, trial_episodes=3)
    module = build_module(told, [1, 2])
    with torch.no_grad():
        module.weights.add_(torch.randn(module.weights.shape, generator=torch.Generator().manual_seed(0)))
        if blind:
            module.layout.views(module.weights)["actor.head.weight"].zero_()
    return [to_bundle(module, member) for member in range(2)]


@pytest.mark.parametrize("kind", ["gru", "latent", "mlp"])
@pytest.mark.parametrize("greedy", [True, False])
def test_without_warm_up_it_is_plain_evaluation(tasks: tuple[Task, ...], kind: str, greedy: bool) -> None:
    bundles = policies(tasks, kind)
    plain = evaluate_bundles(bundles, tasks, episodes=3, seed=SEED, greedy=greedy)
    found = evaluate_in_context(bundles, tasks, [0, 2], episodes=3, seed=SEED, greedy=greedy)
    np.testing.assert_array_equal(found.scored[0].returns, plain.returns)
    if kind != "mlp":  # which remembers its last step alone
        assert not np.array_equal(found.scored[1].returns, plain.returns), "two episodes later it does something else"
    for name, values in plain.measures.items():
        np.testing.assert_array_equal(found.scored[0].measures[name], values)
    assert (len(found.warm_up), found.warm_up[0].returns.shape) == (2, (2, 3))


def test_evaluating_on_the_way_leaves_no_trace(tasks: tuple[Task, ...]) -> None:
    bundles = policies(tasks)
    often = evaluate_in_context(bundles, tasks, [0, 1, 2, 4], episodes=3, seed=SEED)
    once = evaluate_in_context(bundles, tasks, [4], episodes=3, seed=SEED)
    np.testing.assert_array_equal(often.scored[3].returns, once.scored[0].returns)
    for one, other in zip(often.warm_up, once.warm_up, strict=True):
        np.testing.assert_array_equal(one.returns, other.returns)


@pytest.mark.parametrize("rows", [1024, 4])
def test_every_point_is_on_the_evaluations_streams_and_no_warm_up_is(
    tasks: tuple[Task, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "ROWS_A_BATCH", rows)
    bundles = policies(tasks, blind=True)
    plain = evaluate_bundles(bundles, tasks, episodes=5, seed=SEED)
    found = evaluate_in_context(bundles, tasks, [0, 1, 3], episodes=5, seed=SEED)
    for episode in found.scored:
        np.testing.assert_array_equal(episode.returns, plain.returns)
    played = np.concatenate([plain.returns, *(episode.returns for episode in found.warm_up)], axis=1)
    assert len(np.unique(played[0])) == played.shape[1] == 20, "no episode is played twice"


def test_what_cannot_be_measured_is_refused(tasks: tuple[Task, ...]) -> None:
    bundles = policies(tasks)
    for points in ([], [1, 1], [2, 1], [-1, 0]):
        with pytest.raises(InputError, match="points"):
            evaluate_in_context(bundles, tasks, points, episodes=1, seed=SEED)
    with pytest.raises(InputError, match="twice"):
        evaluate_in_context(bundles, tasks, [0, 1], episodes=1, seed=SEED, warm_up=SEED)
    with pytest.raises(InputError, match="one task a policy"):
        evaluate_in_context(bundles, tasks[:1], [0], episodes=1, seed=SEED)
    plain = ModuleSpec("mlp", *SLICING.spaces(tasks[0].config), {"hidden": [8]})
    with pytest.raises(InputError, match="carry nothing"):
        evaluate_in_context([to_bundle(build_module(plain, [1]), 0)] * 2, tasks, [0], episodes=1, seed=SEED)
    assert warm_up_seed(SEED) != SEED
