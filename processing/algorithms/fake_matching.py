"""Which detection is which fake."""

from __future__ import annotations

import numpy as np


def distances(fakes: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance of detections (m,) from fakes (n,): (n, m) px; from a streak that of its nearest point."""
    turn, half = np.radians(fakes["angle"].astype(float))[:, None], fakes["length"].astype(float)[:, None] / 2
    dx, dy = np.asarray(x) - fakes["x"][:, None], np.asarray(y) - fakes["y"][:, None]
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return np.hypot(along - np.clip(along, -half, half), across)


def match_fakes(
    fakes: np.ndarray, x: np.ndarray, y: np.ndarray, is_negative: np.ndarray, *, radius: float
) -> np.ndarray:
    """Index of the detection at (x, y), px, that each fake is, (n,) int; −1 for a fake that was not found.

    One detection is one fake, and brightens or fades as it does: the closest pairs within `radius` px first.
    """
    found = np.full(len(fakes), -1)
    if not len(fakes) or not len(x):
        return found
    away = distances(fakes, x, y)
    away[(fakes["flux"] < 0)[:, None] != np.asarray(is_negative, bool)] = np.inf
    taken = np.zeros(len(x), bool)
    rows, columns = np.nonzero(away <= radius)
    for pair in np.argsort(away[rows, columns], kind="stable"):
        row, column = rows[pair], columns[pair]
        if found[row] < 0 and not taken[column]:
            found[row], taken[column] = column, True
    return found
