"""Ridge regression in closed form on standardised features, many penalties at the price of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ridge:
    """A fitted regression: y = intercept + weights . (x - centre) / scale.

    Attributes:
        centre: Mean of each feature, [F].
        scale: Standard deviation of each feature, 1 for one that never changed, [F].
        weights: [F].
        intercept: Mean of what was fitted.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    intercept: float

    def predict(self, x: npt.ArrayLike) -> Floats:
        """Return the prediction [...] of features [..., F]."""
        return np.asarray(self.intercept + ((np.asarray(x) - self.centre) / self.scale) @ self.weights)


def fit_ridge(x: npt.ArrayLike, y: npt.ArrayLike, penalties: Sequence[float]) -> list[Ridge]:
    """Return, for each penalty, what minimises mean (y - y' - Z w)^2 + penalty |w|^2, Z = (x - centre) / scale.

    w = (Z^T Z / N + penalty I)^-1 Z^T (y - y') / N (Hoerl and Kennard, Technometrics 12(1), 1970); one eigenvalue
    decomposition serves all penalties.

    Args:
        x: Features, [N, F].
        y: What to predict, [N].
        penalties: Each above 0.
    """
    features, wanted = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9 * (1.0 + np.abs(centre)), scale, 1.0)
    standard = (features - centre) / scale
    intercept = float(wanted.mean())
    values, vectors = np.linalg.eigh(standard.T @ standard / len(wanted))
    projected = vectors.T @ (standard.T @ (wanted - intercept)) / len(wanted)
    return [Ridge(centre, scale, vectors @ (projected / (values + penalty)), intercept) for penalty in penalties]
