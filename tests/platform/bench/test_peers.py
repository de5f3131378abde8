"""Peers train, on the rows they say, and learn what our population learns: speed is compared at equal work."""

import numpy as np
import pytest

from roamrl.platform.bench.peers.single_file import SingleFilePPO
from roamrl.platform.bench.peers.stable_baselines import StableBaselinesPPO
from roamrl.platform.bench.population import FAST, Population, PopulationSampling, learner
from roamrl.platform.bench.works import family_work, toy_work

pytestmark = pytest.mark.filterwarnings("ignore:.*Overriding environment rllib-single-agent-env-v0.*")


def test_the_single_file_loop_learns_the_toy():
    loop = SingleFilePPO(toy_work(), 16, 64)
    assert loop.run() == 1024
    early = loop.mean_reward
    for _ in range(40):
        loop.run()
    loop.close()
    assert loop.mean_reward > early + 0.1


def test_stable_baselines_trains_on_a_native_batch():
    pytest.importorskip("stable_baselines3")
    agent = StableBaselinesPPO(toy_work(), 4, 32)
    assert agent.run() == agent.run() == 128
    assert agent._agent.num_timesteps == 256
    assert all(0 < episode["l"] <= 100 for episode in agent._agent.ep_info_buffer)
    agent.close()


@pytest.mark.ray
@pytest.mark.timeout(240)
@pytest.mark.parametrize("form", ["rllib-1", "rllib-64", "rllib-native-256"])
def test_rllibs_ppo_trains_the_rows_it_is_asked_for(form, local_ray):
    from roamrl.platform.bench.peers.rllib import RLlibPPO, RLlibSampling

    trains = RLlibPPO(toy_work(), 512, form)
    assert [trains.run(), trains.run()] == [512, 512]
    trains.close()
    samples = RLlibSampling(toy_work(), 512, form)
    assert samples.run() >= 512
    samples.close()


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_a_population_learns_the_toy_as_well_as_the_single_file_loop(local_ray):
    iterations = 40
    spec = learner(toy_work(), 4, 16, 64)
    population = Population("population", spec, iterations)
    assert population.run() == iterations * 4 * 1024
    returns = population.returns()
    assert sum(population.shares().values()) == pytest.approx(1.0)
    population.close()
    loop = SingleFilePPO(toy_work(), 16, 64)
    rewards = []
    for _ in range(iterations):
        loop.run()
        rewards.append(loop.mean_reward)
    loop.close()
    ours = np.nanmean(returns[-10:], axis=0) / 100.0
    assert ours.min() > np.nanmean(returns[:4]) / 100.0 + 0.1
    assert ours.mean() == pytest.approx(np.mean(rewards[-10:]), abs=0.1)


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_a_population_samples_slicing_and_the_fast_model_is_smaller(local_ray):
    work = family_work("slicing-v1")
    sampling = PopulationSampling("sampling", learner(work, 2, 2, 4, model=FAST))
    assert sampling.run() == 16
    sampling.close()
    plain, fast = learner(work, 1, 2, 4), learner(work, 1, 2, 4, model=FAST)
    assert plain.module.model["shared_trunk"] is False and fast.module.model["shared_trunk"] is True
