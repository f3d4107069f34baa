"""A small convolutional network on the three stamps and a few diagnostics, evaluated by NumPy alone.

Three convolutions of 3 × 3 px, two of them followed by maxima of 2 × 2 px, then two full layers: about 30,000 numbers.
It is trained by `manage.py train_scorer` with PyTorch, which nothing else needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from processing.algorithms.scoring.base import Candidates
from processing.algorithms.scoring.inputs import NoiseStamps, noise_stamps
from processing.algorithms.scoring.models import NAMES, LearnedScorer, Lessons, Model, Tick
from processing.errors import BadModel
from processing.parameters import param

SIZE = 29  # px, side of the stamps
CHANNELS = ("difference", "shape of the difference", "new", "reference", "mask")
SCALARS = (
    "log2 of the FWHM in px",
    "log10 of the S/N",
    "1 for a source that faded",
    "S without systematic noise over the S/N",
    "C/S of a point source",
)
_TOGETHER = 32  # candidates at a time: what is between the layers stays in the cache of the processor


class Network(LearnedScorer):
    """A convolutional network on new, reference and difference; `log_odds` and `probability` as of the trees."""

    name = "network"

    model: str = param(
        "network", pattern=NAMES, help="Name of the model in this package: a file of arrays and its card."
    )

    def raw(self, model: Model, candidates: Candidates) -> np.ndarray:
        """Log-odds of the network (n,), not calibrated. BadModel where it was trained on other channels."""
        self.refuse_other(model)
        return self.raw_of_stamps(model, noise_stamps(candidates, SIZE), candidates.table)

    def refuse_other(self, model: Model) -> None:
        """BadModel for one that was trained on other channels."""
        if tuple(model["channels"]) != CHANNELS or tuple(model["scalars"]) != SCALARS or int(model["size"]) != SIZE:
            raise BadModel(name=self.model, reason="it was trained on other stamps")

    @classmethod
    def learn(
        cls, lessons: Lessons, *, seed: int, tick: Tick, known: Mapping[str, Model] | None = None
    ) -> dict[str, np.ndarray]:
        from processing.algorithms.scoring.network_training import train

        return train(lessons.stamps, scalars(lessons.table), lessons.is_real, seed=seed, tick=tick)

    @classmethod
    def raw_of(cls, model: Model, lessons: Lessons) -> np.ndarray:
        return cls.raw_of_stamps(model, lessons.stamps.cropped(SIZE), lessons.table)

    @staticmethod
    def raw_of_stamps(model: Model, stamps: NoiseStamps, table: np.ndarray) -> np.ndarray:
        """Log-odds (n,) float32 for stamps of SIZE and their diagnostics."""
        found, beside = np.zeros(len(stamps), np.float32), scalars(table)
        for first in range(0, len(stamps), _TOGETHER):
            rows = slice(first, first + _TOGETHER)
            part = NoiseStamps(stamps.stamps[rows], stamps.mask[rows])
            found[rows] = predict(model, planes(part), beside[rows])
        return found


def planes(stamps: NoiseStamps) -> np.ndarray:
    """What the first layer sees: (len(CHANNELS), size, size, n) float32, most of it within ±5.

    The logarithm (asinh) of everything in noise, so that both faint and bright sources show; the difference once more
    in units of its brightest pixel near the middle, in which the shape does not depend on the brightness.
    """
    n, _, size, _ = stamps.stamps.shape
    found = np.empty((len(CHANNELS), size, size, n), np.float32)
    difference, new, reference = stamps.stamps.transpose(1, 2, 3, 0)
    core = slice(size // 2 - 2, size // 2 + 3)
    peak = np.maximum(np.abs(difference[core, core]).max(axis=(0, 1)), 1)
    found[0], found[2], found[3] = (np.arcsinh(values) for values in (difference, new, reference))
    found[1] = np.clip(2 * difference / peak, -3, 3)
    found[4] = stamps.mask.transpose(1, 2, 0)
    return found


def scalars(table: np.ndarray) -> np.ndarray:
    """What the full layers see beside the stamps: (n, len(SCALARS)) float32, always finite."""
    snr = np.clip(np.nan_to_num(table["snr"].astype(float), nan=5.0), 0.1, 1e4)
    columns = (
        np.log2(np.clip(table["fwhm"], 0.5, 50)),
        np.log10(snr),
        table["is_negative"],
        np.clip(table["score_unsystematic"] / snr, 0, 5),
        table["psf_cosmic_ratio"],
    )
    return np.nan_to_num(np.stack(columns, axis=1), nan=0, posinf=5, neginf=-5).astype(np.float32)


def predict(model: Model, inputs: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Log-odds (n,) float32 for planes (channels, size, size, n) and scalars (n, k), before calibration."""
    layer = _largest(_convolved(inputs, model["weight_1"], model["bias_1"]))
    layer = _largest(_convolved(layer, model["weight_2"], model["bias_2"]))
    layer = _convolved(layer, model["weight_3"], model["bias_3"])
    flat = layer.transpose(3, 1, 2, 0).reshape(len(beside), int(np.prod(layer.shape[:3])))
    hidden = np.maximum(np.concatenate([flat, beside], axis=1) @ model["weight_4"] + model["bias_4"], 0)
    return hidden @ model["weight_5"] + model["bias_5"]


def _convolved(inputs: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """ReLU of a 3 × 3 convolution without border: (in, y, x, n) → (out, y − 2, x − 2, n), a product of matrices.

    With the candidates last, what is copied lies together in memory.
    """
    channels, ny, nx, n = inputs.shape
    columns = np.empty((9, channels, ny - 2, nx - 2, n), np.float32)
    for place in range(9):
        row, column = divmod(place, 3)
        columns[place] = inputs[:, row : row + ny - 2, column : column + nx - 2]
    found = weight.T @ columns.reshape(9 * channels, (ny - 2) * (nx - 2) * n)
    found += bias[:, None]
    return np.maximum(found, 0, out=found).reshape(len(found), ny - 2, nx - 2, n)


def _largest(layer: np.ndarray) -> np.ndarray:
    """Maxima of 2 × 2 px; an odd last row or column is left out."""
    ny, nx = (size // 2 * 2 for size in layer.shape[1:3])
    rows = np.maximum(layer[:, 0:ny:2], layer[:, 1:ny:2])
    return np.maximum(rows[:, :, 0:nx:2], rows[:, :, 1:nx:2])
