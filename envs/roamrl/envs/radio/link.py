"""Link adaptation: from SNR to CQI, spectral efficiency and bits a resource block carries.

CQI is the largest index of 3GPP TS 38.214 table 5.2.2.1-3 (256QAM, block error 10 %) whose efficiency does not exceed
log2(1 + 10^((SNR_dB - 2) / 10)): capacity with 2 dB of implementation loss.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.compiled import inlined

SLOT_MS = 0.5
"""Slot of 30 kHz subcarrier spacing (TS 38.211 table 4.3.2-1)."""

CQI_EFFICIENCY: NDArray[np.float64] = np.array(
    [
        0.0,
        0.1523,
        0.3770,
        0.8770,
        1.4766,
        1.9141,
        2.4063,
        2.7305,
        3.3223,
        3.9023,
        4.5234,
        5.1152,
        5.5547,
        6.2266,
        6.9141,
        7.4063,
    ]
)
"""Bits a resource element carries at CQI 0..15 (TS 38.214 table 5.2.2.1-3; 0 is out of range)."""

IMPLEMENTATION_LOSS_DB = 2.0
BITS_PER_PRB_SLOT = 12 * 14 * 0.86
"""Bits a resource block carries in a slot at efficiency 1: 12 subcarriers, 14 symbols, 14 % overhead
(TS 38.306 section 4.1.2, downlink, FR1)."""

CQI_THRESHOLD_DB: NDArray[np.float64] = IMPLEMENTATION_LOSS_DB + 10 * np.log10(2 ** CQI_EFFICIENCY[1:] - 1)
"""Lowest SNR of CQI 1..15, dB."""

_FLOOR_DB = math.floor(CQI_THRESHOLD_DB[0])
_CELLS = math.ceil(CQI_THRESHOLD_DB[-1]) - _FLOOR_DB + 1
_BELOW: NDArray[np.int64] = np.searchsorted(CQI_THRESHOLD_DB, _FLOOR_DB + np.arange(_CELLS), side="right")
_LOW: NDArray[np.float64] = CQI_EFFICIENCY[_BELOW]
_HIGH: NDArray[np.float64] = CQI_EFFICIENCY[np.minimum(_BELOW + 1, 15)]
_STEP: NDArray[np.float64] = np.append(CQI_THRESHOLD_DB, np.inf)[_BELOW]


@inlined
def spectral_efficiency(snr_db):  # type: ignore[no-untyped-def]
    """Return the CQI table's efficiency at an SNR (dB), bits a resource element; 0 below CQI 1.

    The thresholds lie more than 1 dB apart, so cells of 1 dB hold at most one of them.
    """
    cell = int(min(max(snr_db - _FLOOR_DB, 0.0), _CELLS - 1.0))
    return _HIGH[cell] if snr_db >= _STEP[cell] else _LOW[cell]


@inlined
def bits_per_ms(efficiency, prb):  # type: ignore[no-untyped-def]
    """Return what ``prb`` resource blocks carry at an efficiency, bits a ms."""
    return efficiency * prb * (BITS_PER_PRB_SLOT / SLOT_MS)
