"""Logarithm and power of two against NumPy's."""

import numpy as np

from roamrl.envs.compiled import compiled
from roamrl.envs.elementary import exp2, log


@compiled
def _logs(x, out):
    for i in range(len(x)):
        out[i] = log(x[i])


@compiled
def _powers(x, out):
    for i in range(len(x)):
        out[i] = exp2(x[i])


def test_log_is_the_natural_logarithm_to_1e_13():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random(10_000) + 2.0**-53, 2.0 ** rng.uniform(-300, 300, 10_000), [1.0, 2.0**-53]])
    out = np.empty_like(x)
    _logs(x, out)
    expected = np.log(x)
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)


def test_exp2_is_the_power_of_two_to_1e_13():
    x = np.concatenate([np.random.default_rng(1).uniform(-900, 900, 20_000), np.arange(-64, 64) / 64.0])
    out = np.empty_like(x)
    _powers(x, out)
    np.testing.assert_allclose(out, 2.0**x, rtol=1e-13)
