"""Logarithm and power of two, inlined and without a call: inner loops spend much of their time in them.

Both look up the leading bits and finish with a short series (after Tang, ACM TOMS 15(2), 1989, and 16(4), 1990).
Errors stay below 1e-13 (``log`` absolute, ``exp2`` relative). No call to the system's ``libm``, so a result has the
same bits on every machine.
"""

from __future__ import annotations

import math

import numpy as np

from roamrl.envs.compiled import inlined

_LN2 = math.log(2.0)

_LOG_CELLS = 128
_LOG_CENTRES = 1.0 + (np.arange(_LOG_CELLS) + 0.5) / _LOG_CELLS
_LOG_INVERSE = 1.0 / _LOG_CENTRES
_LOG_OF_CENTRE = -np.log(_LOG_INVERSE)

_EXP_CELLS = 64
_EXP_OF_CELL = 2.0 ** (np.arange(_EXP_CELLS) / _EXP_CELLS)

_MANTISSA = 0x000F_FFFF_FFFF_FFFF
_ONE = 0x3FF0_0000_0000_0000


@inlined
def log(x):  # type: ignore[no-untyped-def]
    """Return the natural logarithm of a positive normal number; of anything else the result has no meaning."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits >> 52) - 1023
    cell = (bits >> 45) & (_LOG_CELLS - 1)
    mantissa = np.int64((bits & _MANTISSA) | _ONE).view(np.float64)
    r = mantissa * _LOG_INVERSE[cell] - 1.0  # at most 1/256
    series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
    return exponent * _LN2 + (_LOG_OF_CENTRE[cell] + series)


@inlined
def exp2(x):  # type: ignore[no-untyped-def]
    """Return 2 to the power x, for |x| < 1000."""
    cells = math.floor(x * _EXP_CELLS + 0.5)
    r = (x - cells / _EXP_CELLS) * _LN2  # at most ln(2)/128
    whole = int(cells)
    scale = np.int64(((whole >> 6) + 1023) << 52).view(np.float64)
    series = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24))))
    return scale * (_EXP_OF_CELL[whole & (_EXP_CELLS - 1)] * series)
