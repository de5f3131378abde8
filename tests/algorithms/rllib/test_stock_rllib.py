import logging

import numpy as np
import pytest
import ray.rllib.algorithms.ppo as ppo

from roamrl.algorithms.rllib.registration import register_families
from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:.*Overriding environment rllib-single-agent-env-v0.*"),
]

WINDOWS = 20
CONFIG = {"episode_windows": WINDOWS}
CELLS = 4


@pytest.fixture
def stock_ppo(local_ray, caplog):
    """Makes RLlib's own PPO on our cells."""
    caplog.set_level(logging.ERROR, logger="ray")
    assert "roamrl/Slicing-v1" in register_families()
    built = []

    def make(mode, **env_config):
        config = (
            ppo.PPOConfig()
            .environment("roamrl/Slicing-v1", env_config={"config": CONFIG, "seed": 5, **env_config})
            .env_runners(num_env_runners=0, num_envs_per_env_runner=CELLS, gym_env_vectorize_mode=mode)
            .training(train_batch_size_per_learner=160, minibatch_size=80, num_epochs=2)
            .debugging(log_level="ERROR")
        )
        built.append(config.build_algo())
        return built[-1]

    yield make
    for algorithm in built:
        algorithm.stop()


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_stock_ppo_trains_on_our_cells(stock_ppo, mode):
    algorithm = stock_ppo(mode)
    before = algorithm.get_weights()["default_policy"]
    algorithm.train()
    result = algorithm.train()
    after = algorithm.get_weights()["default_policy"]
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    played = result["env_runners"]
    assert played["num_env_steps_sampled_lifetime"] == 320
    assert played["episode_len_mean"] == played["episode_len_max"] == WINDOWS
    assert np.isfinite(played["episode_return_mean"])


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_stock_runner_records_what_the_cells_gave(stock_ppo, mode):
    runner = stock_ppo(mode).env_runner
    episodes = runner.sample(num_episodes=2 * CELLS)
    starts = {}
    task = SLICING.task(config=CONFIG)
    cells = SLICING.make_vec([task], 64, seed=5)
    for number in range(4):
        for index, start in enumerate(cells.reset(options={"episode": number})[0]):
            starts[start.tobytes()] = (index, number)
    found = [starts[episode.observations[0].tobytes()] for episode in episodes]
    assert len(set(found)) == 2 * CELLS, "every episode has a stream of its own"
    for episode, (index, number) in zip(episodes, found, strict=True):
        cell = SLICING.make(task, seed=5, index=index)
        cell.reset(options={"episode": number})
        steps = [cell.step(action) for action in episode.actions]
        np.testing.assert_array_equal(np.stack([step[0] for step in steps]), episode.observations[1:])
        np.testing.assert_allclose([step[1] for step in steps], episode.rewards)
        assert [step[3] for step in steps] == [False] * (WINDOWS - 1) + [True]
        assert episode.is_truncated and len(episode) == WINDOWS


def test_an_unknown_entry_names_the_nearest(stock_ppo):
    with pytest.raises(InputError, match="did you mean 'context'"):
        stock_ppo("vector_entry_point", contxt={})
