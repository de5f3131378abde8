"""RLlib's own PPO: one environment, 64 stepped one after the other, or a native batch of 256."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from roamrl.algorithms.rllib.config import quiet_ray
from roamrl.platform.bench.settings import SHARED
from roamrl.platform.bench.works import Work

FORMS = {"rllib-1": (1, "sync"), "rllib-64": (64, "sync"), "rllib-native-256": (256, "vector_entry_point")}
"""Name to environments and how they are stepped."""


def ppo_config(work: Work, rows: int, form: str, seed: int = 0) -> Any:
    """Return the config of RLlib's PPO on a work.

    Args:
        work: What to train on.
        rows: Environment steps an iteration.
        form: One of :data:`FORMS`.
        seed: Of weights and environments.
    """
    from ray import tune
    from ray.rllib.algorithms import ppo
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    count, mode = FORMS[form]
    name = f"bench-{work.name}"
    tune.register_env(name, work.rllib_env)
    config: Any = ppo.PPOConfig
    return (
        config()
        .environment(name, env_config={"seed": seed})
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=min(count, rows),
            gym_env_vectorize_mode=mode,
            rollout_fragment_length="auto",
            batch_mode="truncate_episodes",
        )
        .training(
            lr=SHARED.learning_rate,
            gamma=SHARED.gamma,
            lambda_=SHARED.gae_lambda,
            clip_param=SHARED.clip,
            entropy_coeff=SHARED.entropy,
            vf_loss_coeff=SHARED.value,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=SHARED.max_norm,
            grad_clip_by="global_norm",
            train_batch_size_per_learner=rows,
            minibatch_size=rows // SHARED.minibatches,
            num_epochs=SHARED.epochs,
        )
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=list(SHARED.hidden), fcnet_activation="tanh"))
        .debugging(seed=seed, log_level="ERROR")
    )


def _build(work: Work, rows: int, form: str) -> Any:
    """Build the algorithm without RLlib's and Gymnasium's remarks on it, torch on one thread."""
    with quiet_ray(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Overriding environment.*")
        algorithm = ppo_config(work, rows, form).build_algo()
    torch.set_num_threads(1)
    return algorithm


class RLlibPPO:
    """Trains one agent, an iteration a run."""

    def __init__(self, work: Work, rows: int, form: str) -> None:
        self.name = form
        self._algorithm = _build(work, rows, form)

    def run(self) -> int:
        """Train one iteration."""
        before = self._steps()
        self._algorithm.train()
        return self._steps() - before

    def _steps(self) -> int:
        steps = self._algorithm.metrics.peek(("env_runners", "num_env_steps_sampled_lifetime"), default=0)
        return int(steps)

    def close(self) -> None:
        """Stop the algorithm."""
        self._algorithm.stop()


class RLlibSampling:
    """Samples with RLlib's runner, without learning."""

    def __init__(self, work: Work, rows: int, form: str) -> None:
        self.name = form
        self._rows = rows
        self._algorithm = _build(work, rows, form)

    def run(self) -> int:
        """Sample one iteration's rows."""
        episodes = self._algorithm.env_runner.sample(num_timesteps=self._rows, random_actions=False)
        return sum(len(episode) for episode in episodes)

    def close(self) -> None:
        """Stop the algorithm."""
        self._algorithm.stop()
