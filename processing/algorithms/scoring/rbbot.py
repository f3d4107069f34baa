"""Scorers from outside: convolutional networks in PyTorch, as RBbot and braai are (Duev et al. 2019, MNRAS 489, 3582).

They take three stamps, each divided by its L2 norm. Whoever uses one installs PyTorch; nothing else here needs it. Of
a file only TorchScript or plain tensors are read, never pickled objects.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from io import BytesIO
from typing import Any, Literal

import numpy as np

from processing.algorithms.scoring.base import Candidates, Scorer, Scores
from processing.algorithms.scoring.models import sigmoid
from processing.algorithms.scoring.network_training import torch_or_error
from processing.errors import BadModel
from processing.parameters import param

Channel = Literal["new", "reference", "difference"]
_BATCH = 64
_DIGITS = 12
_WIDTHS, _FULL = (16, 32), 256  # channels of the two pairs of convolutions, and the full layer, of braai


class RBbot(Scorer):
    """A network of others, from a file: TorchScript, or the tensors (state dict) of a network built as braai is."""

    name = "rbbot"

    path: str = param("", critical=False, help="The file of the network, on every machine that scores.")
    checksum: str = param(
        "", pattern="^[0-9a-f]*$", help="First 12 or more digits of the SHA-256 of the file: it enters the provenance."
    )
    size: Literal[41, 51, 63] = param(41, unit="px", help="Side of the stamps that the network takes.")
    channels: tuple[Channel, Channel, Channel] = param(
        ("new", "reference", "difference"), help="The order of the stamps."
    )
    output: Literal["probability", "log_odds"] = param("probability", help="What the network gives.")

    def __call__(self, candidates: Candidates) -> Scores:
        if not len(candidates):
            return Scores(np.zeros(0, np.float32), [])
        torch = torch_or_error("external networks")
        net = _loaded(self.path, self.checksum, self.size)
        inputs = normalised(candidates, self.size, self.channels)
        found = []
        with torch.no_grad():
            for first in range(0, len(inputs), _BATCH):
                found.append(self._given(net, torch.from_numpy(inputs[first : first + _BATCH])))
        given = np.concatenate(found).astype(float)
        score = sigmoid(given) if self.output == "log_odds" else given
        if not np.all((score >= 0) & (score <= 1)):
            reason = "it gives numbers that are no probabilities; try --set scoring.scorer.output=log_odds"
            raise BadModel(name=self.path, reason=reason)
        return Scores(score.astype(np.float32), [{"model": self.checksum[:_DIGITS]} for _ in range(len(score))])

    def _given(self, net: Any, inputs: Any) -> np.ndarray:
        try:
            given = net(inputs)
            # RBbot also says from which survey it thinks the stamps are.
            given = (given[0] if isinstance(given, tuple | list) else given).numpy().reshape(-1)
        except (RuntimeError, AttributeError, TypeError) as error:
            reason = f"it does not take 3 stamps of {self.size} × {self.size} px: {str(error).splitlines()[-1][:200]}"
            raise BadModel(name=self.path, reason=reason) from error
        if len(given) != len(inputs):
            raise BadModel(name=self.path, reason=f"it gives {len(given)} numbers for {len(inputs)} candidates")
        return given


def normalised(candidates: Candidates, size: int, channels: tuple[Channel, ...]) -> np.ndarray:
    """Stamps (n, channels, size, size) float32, each of L2 norm 1; masked pixels and what is beyond a stamp are 0."""
    whole = candidates.mask.shape[1]
    half = min(size, whole) // 2
    inside = slice(whole // 2 - half, whole // 2 + half + 1)
    target = slice(size // 2 - half, size // 2 + half + 1)
    usable = ~candidates.mask[:, inside, inside]
    found = np.zeros((len(candidates), len(channels), size, size), np.float32)
    for place, name in enumerate(channels):
        stamps = getattr(candidates, name)[:, inside, inside]
        found[:, place, target, target] = np.where(usable & np.isfinite(stamps), stamps, 0)
    norm = np.sqrt((found.astype(float) ** 2).sum(axis=(2, 3), keepdims=True))
    return (found / np.where(norm > 0, norm, 1)).astype(np.float32)


@lru_cache(maxsize=4)
def _loaded(path: str, checksum: str, size: int) -> Any:
    """The network in a file. BadModel where the file is not the one that is meant, or holds no network."""
    if not path:
        raise BadModel(name="rbbot", reason="no file is named; give --set scoring.scorer.path=FILE")
    try:
        content = np.fromfile(path, np.uint8).tobytes()
    except OSError as error:
        raise BadModel(name=path, reason=f"it cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if len(checksum) < _DIGITS or not digest.startswith(checksum):
        asked = f"'{checksum}' is asked for" if checksum else "none is asked for"
        reason = f"its SHA-256 begins with {digest[:_DIGITS]}, {asked}; if it is the right file, give "
        raise BadModel(name=path, reason=f"{reason}--set scoring.scorer.checksum={digest[:_DIGITS]}")
    torch = torch_or_error("external networks")
    try:
        return torch.jit.load(BytesIO(content), map_location="cpu").eval()
    except (RuntimeError, ValueError):
        return _from_tensors(torch, content, path, size)


def _from_tensors(torch: Any, content: bytes, path: str, size: int) -> Any:
    """Braai's network with the tensors of a file."""
    try:
        tensors = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle's errors, its own, and those of zip files
        raise BadModel(name=path, reason="it is neither TorchScript nor plain tensors") from error
    net = braai(torch, size)
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()} if isinstance(tensors, dict) else {}
    if wanted != given:
        wrong = sorted(set(wanted.items()) ^ set(given.items()))[:4]
        reason = f"its tensors are not those of braai for {size} px ({wrong} …); save the network as TorchScript"
        raise BadModel(name=path, reason=reason)
    net.load_state_dict(tensors)
    return net.eval()


def braai(torch: Any, size: int) -> Any:
    """The network VGG6 of Duev et al. (2019), fig. 6: (n, 3, size, size) → (n, 1) probabilities."""
    nn, (one, two) = torch.nn, _WIDTHS
    side = ((size - 4) // 2 - 4) // 4
    return nn.Sequential(
        nn.Conv2d(3, one, 3), nn.ReLU(), nn.Conv2d(one, one, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(one, two, 3), nn.ReLU(), nn.Conv2d(two, two, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(two * side**2, _FULL), nn.ReLU(), nn.Dropout(0.5), nn.Linear(_FULL, 1), nn.Sigmoid(),
    )  # fmt: skip
