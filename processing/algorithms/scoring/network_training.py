"""Training of the network, in PyTorch, which is imported here only and only when a network is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from processing.algorithms.scoring.inputs import NoiseStamps
from processing.algorithms.scoring.network import CHANNELS, SCALARS, SIZE, planes
from processing.errors import NotInstalled

WIDTHS = (16, 24, 32, 48)  # channels of the convolutions, and the first full layer
_EPOCHS, _BATCH = 20, 256
_RATE, _DECAY, _DROPOUT = 2e-3, 1e-4, 0.25

Tick = Callable[[str], None]


def train(
    stamps: NoiseStamps, beside: np.ndarray, is_real: np.ndarray, *, seed: int, epochs: int = _EPOCHS, tick: Tick
) -> dict[str, np.ndarray]:
    """Fit the network: arrays for `network.predict`. Both classes weigh the same.

    `stamps` are at least SIZE + 2 px wide, so that they can be moved by a pixel; they are turned and mirrored too.
    `beside` are the scalars (n, k), `is_real` (n,) bool. The same seed gives the same network on the same machine.
    Raises NotInstalled without PyTorch.
    """
    torch = torch_or_error()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    middle, scale = beside.mean(axis=0), np.maximum(beside.std(axis=0), 1e-3)
    inputs = planes(stamps).transpose(3, 1, 2, 0).astype(np.float16)
    beside = ((beside - middle) / scale).astype(np.float32)
    net = _net(torch, beside.shape[1])
    steps = epochs * -(-len(is_real) // _BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps, pct_start=0.15)
    share = float(is_real.mean())
    weight = np.where(is_real, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
    for epoch in range(epochs):
        order, total = rng.permutation(len(is_real)), 0.0
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            given = torch.from_numpy(_augmented(inputs[rows], rng)).permute(0, 3, 1, 2)
            wanted, weights = (torch.from_numpy(values[rows].astype(np.float32)) for values in (is_real, weight))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                net(given, torch.from_numpy(beside[rows])), wanted, weights
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        tick(f"epoch {epoch + 1}, loss {total / len(order):.4f}")
    return _exported(net.eval(), middle, scale)


def torch_or_error(purpose: str = "the training of networks") -> Any:
    """The module torch. NotInstalled says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise NotInstalled(package="PyTorch", purpose=purpose, command="pip install torch") from error
    return torch


def _net(torch: Any, n_scalars: int) -> Any:
    """The network as a module of torch; its layers are those of `network.predict`."""
    nn, (one, two, three, full) = torch.nn, WIDTHS

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = nn.ModuleList(
                [nn.Conv2d(len(CHANNELS), one, 3), nn.Conv2d(one, two, 3), nn.Conv2d(two, three, 3)]
            )
            side = ((SIZE - 2) // 2 - 2) // 2 - 2
            self.full = nn.Linear(three * side**2 + n_scalars, full)
            self.last = nn.Linear(full, 1)

        def forward(self, planes: Any, scalars: Any) -> Any:
            functional = nn.functional
            layer = functional.max_pool2d(functional.relu(self.convolutions[0](planes)), 2)
            layer = functional.max_pool2d(functional.relu(self.convolutions[1](layer)), 2)
            layer = functional.relu(self.convolutions[2](layer))
            flat = torch.cat([layer.permute(0, 2, 3, 1).flatten(1), scalars], dim=1)
            flat = functional.dropout(flat, _DROPOUT, self.training)
            hidden = functional.dropout(functional.relu(self.full(flat)), _DROPOUT, self.training)
            return self.last(hidden)[:, 0]

    return Net()


def _augmented(inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stamps cut to SIZE with a shift of up to a pixel, turned by quarters and mirrored: (n, SIZE, SIZE, channels)."""
    found = np.empty((len(inputs), SIZE, SIZE, inputs.shape[-1]), np.float32)
    margin = (inputs.shape[1] - SIZE) // 2
    shifts = margin + rng.integers(-1, 2, (len(inputs), 2)) if margin else np.zeros((len(inputs), 2), int)
    turns, mirrored = rng.integers(0, 4, len(inputs)), rng.random(len(inputs)) < 0.5
    for row, (stamp, (y, x), turn) in enumerate(zip(inputs, shifts, turns)):
        cut = np.rot90(stamp[y : y + SIZE, x : x + SIZE], turn)
        found[row] = cut[::-1] if mirrored[row] else cut
    return found


def _exported(net: Any, middle: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of the network; the scalars are taken as they are, so that their scaling goes into the weights."""
    found: dict[str, np.ndarray] = {
        "scorer": np.array("network"),
        "channels": np.array(CHANNELS),
        "scalars": np.array(SCALARS),
        "size": np.array(SIZE, np.int32),
    }
    for number, layer in enumerate(net.convolutions, 1):
        weight = layer.weight.detach().numpy()  # (out, in, 3, 3)
        found[f"weight_{number}"] = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))
        found[f"bias_{number}"] = layer.bias.detach().numpy()
    weight = net.full.weight.detach().numpy().T.astype(float)
    first = len(weight) - len(middle)
    bias = net.full.bias.detach().numpy() - (middle / scale) @ weight[first:]
    weight[first:] /= scale[:, None]
    found["weight_4"], found["bias_4"] = weight.astype(np.float32), bias.astype(np.float32)
    found["weight_5"] = np.ascontiguousarray(net.last.weight.detach().numpy()[0])
    found["bias_5"] = net.last.bias.detach().numpy()[0]
    return {name: np.array(value) for name, value in found.items()}
