import numpy as np
import pytest
import ray.rllib.algorithms.ppo as ppo
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

from roamrl.algorithms.rllib.config import PopulationConfig

ITERATIONS, ENVS, LENGTH, EPOCHS, MINIBATCHES = 40, 16, 128, 6, 8
SEEDS = (1, 2, 3)


def rllib_returns(seed):
    """Ours, but for the critic: it learns raw returns, so its loss weighs less and the norm is not bounded."""
    config = (
        ppo.PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=ENVS)
        .training(
            lr=1e-3,
            gamma=0.99,
            lambda_=0.95,
            clip_param=0.2,
            entropy_coeff=0.0,
            vf_loss_coeff=0.01,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            train_batch_size_per_learner=ENVS * LENGTH,
            minibatch_size=ENVS * LENGTH // MINIBATCHES,
            num_epochs=EPOCHS,
        )
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh"))
        .reporting(metrics_num_episodes_for_smoothing=16)
        .debugging(seed=seed, log_level="ERROR")
    )
    algorithm = config.build_algo()
    returns = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(ITERATIONS)]
    algorithm.stop()
    return returns


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_we_reach_on_cartpole_what_rllibs_ppo_reaches(local_ray, cartpole_learner):
    learner = cartpole_learner(seeds=SEEDS, iterations=ITERATIONS, envs=ENVS, length=LENGTH)
    algorithm = PopulationConfig().environment("CartPole-v1").population(learner=learner).build_algo()
    while not algorithm.train()["done"]:
        pass
    algorithm.stop()
    ours = np.nanmean(algorithm.curve().return_mean[-5:], axis=0)
    theirs = np.mean([rllib_returns(seed)[-5:] for seed in SEEDS], axis=1)
    print(f"last five iterations: ours {ours.round(1)}, RLlib's PPO {theirs.round(1)}")
    assert ours.min() >= 475.0
    assert ours.mean() >= theirs.mean() - 5.0
