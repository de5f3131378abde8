"""Stable-Baselines3's PPO (the extra ``bench``), on a native batch: it is spared stepping environments one by one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from roamrl.envs.errors import InputError
from roamrl.platform.bench.settings import SHARED
from roamrl.platform.bench.works import Work

INSTALL = "pip install 'roamrl[bench]'"


def installed() -> bool:
    """Return whether Stable-Baselines3 is there."""
    return find_spec("stable_baselines3") is not None


class StableBaselinesPPO:
    """Trains one agent, an iteration a run.

    Raises:
        InputError: If Stable-Baselines3 is not installed.
    """

    name = "sb3"

    def __init__(self, work: Work, envs: int, length: int) -> None:
        if not installed():
            raise InputError(f"the peer sb3 needs Stable-Baselines3: {INSTALL}")
        from stable_baselines3 import PPO

        from roamrl.platform.bench.peers.native_vec_env import NativeVecEnv

        self._rows = envs * length
        layers = list(SHARED.hidden)
        self._agent: Any = PPO(
            "MlpPolicy",
            NativeVecEnv(work.cells(envs)),
            learning_rate=SHARED.learning_rate,
            n_steps=length,
            batch_size=self._rows // SHARED.minibatches,
            n_epochs=SHARED.epochs,
            gamma=SHARED.gamma,
            gae_lambda=SHARED.gae_lambda,
            clip_range=SHARED.clip,
            ent_coef=SHARED.entropy,
            vf_coef=SHARED.value,
            max_grad_norm=SHARED.max_norm,
            policy_kwargs={"net_arch": {"pi": layers, "vf": layers}, "activation_fn": torch.nn.Tanh},
            device="cpu",
            seed=0,
        )
        torch.set_num_threads(1)

    def run(self) -> int:
        """Train one iteration."""
        self._agent.learn(self._rows, reset_num_timesteps=False)
        return self._rows

    def close(self) -> None:
        """Close the batch."""
        self._agent.get_env().close()
