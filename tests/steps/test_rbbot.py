"""Networks of others: a tiny one that is made here, files that are none, and a machine without PyTorch."""

from __future__ import annotations

import hashlib
import pickle
import sys

import numpy as np
import pytest

from processing.algorithms.diagnostics import DIAGNOSTICS
from processing.algorithms.scoring.base import Candidates
from processing.algorithms.scoring.network_training import train
from processing.algorithms.scoring.rbbot import RBbot, braai, normalised
from processing.errors import BadModel, NotInstalled
from processing.parameters import ConfigurationError


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def candidates(n: int = 5, size: int = 51) -> Candidates:
    rng = np.random.default_rng(4)
    new, reference, difference = rng.normal(10, 3, (3, n, size, size)).astype(np.float32)
    return Candidates(new, reference, difference, rng.random((n, size, size)) < 0.05, np.zeros(n, DIAGNOSTICS))


def scorer_of(path, **changes) -> RBbot:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return RBbot(**{"path": str(path), "checksum": digest, "size": 41, **changes})


def script(torch, path, module) -> None:
    torch.jit.save(torch.jit.script(module.eval()), str(path))


@pytest.fixture
def tiny(torch, tmp_path):
    """A network in TorchScript that sums what it sees of the three stamps with the weights 1, 2 and 4."""

    class Tiny(torch.nn.Module):
        def forward(self, stamps: torch.Tensor) -> torch.Tensor:
            sums = stamps.sum(dim=[2, 3])
            return sums[:, 0] + 2 * sums[:, 1] + 4 * sums[:, 2]

    Tiny.forward.__annotations__ = {"stamps": torch.Tensor, "return": torch.Tensor}
    path = tmp_path / "tiny.pt"
    script(torch, path, Tiny())
    return path


@pytest.mark.parametrize("size", [41, 51, 63])
def test_each_stamp_is_cut_or_padded_and_has_a_norm_of_1(size):
    given = candidates()
    found = normalised(given, size, ("new", "reference", "difference"))
    assert found.shape == (5, 3, size, size) and found.dtype == np.float32
    np.testing.assert_allclose((found.astype(float) ** 2).sum(axis=(2, 3)), 1, rtol=1e-5)
    middle, half = size // 2, 10
    inner = slice(middle - half, middle + half + 1), slice(middle - half, middle + half + 1)
    mask = given.mask[:, 15:36, 15:36]
    assert (found[(slice(None), 0, *inner)][mask] == 0).all()
    ratio = found[(slice(None), 2, *inner)] / given.difference[:, 15:36, 15:36]
    for row in range(5):
        np.testing.assert_allclose(ratio[row][~mask[row]], ratio[row][~mask[row]][0], rtol=1e-4)


def test_a_network_in_torchscript_is_asked_in_the_order_of_its_channels(tiny):
    given = candidates()
    stamps = normalised(given, 41, ("new", "reference", "difference")).sum(axis=(2, 3), dtype=float)
    found = scorer_of(tiny, output="log_odds")(given)
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp(-(stamps @ [1, 2, 4]))), rtol=1e-4)
    turned = scorer_of(tiny, output="log_odds", channels=("difference", "new", "reference"))(given)
    np.testing.assert_allclose(turned.score, 1 / (1 + np.exp(-(stamps @ [2, 4, 1]))), rtol=1e-4)


def test_numbers_that_are_no_probabilities_are_refused(tiny):
    with pytest.raises(BadModel, match="output=log_odds"):
        scorer_of(tiny)(candidates())


@pytest.mark.parametrize("size", [41, 51, 63])
def test_tensors_of_a_network_like_braai_are_enough(torch, tmp_path, size):
    torch.manual_seed(3)
    net, path = braai(torch, size).eval(), tmp_path / "braai.pth"
    torch.save(net.state_dict(), path)
    given = candidates()
    found = scorer_of(path, size=size)(given)
    with torch.no_grad():
        stamps = torch.from_numpy(normalised(given, size, ("new", "reference", "difference")))
        np.testing.assert_allclose(found.score, net(stamps).numpy()[:, 0], rtol=1e-5)
    assert found.info[0] == {"model": hashlib.sha256(path.read_bytes()).hexdigest()[:12]}


def test_tensors_of_another_network_are_refused(torch, tmp_path):
    path = tmp_path / "other.pth"
    torch.save(braai(torch, 63).state_dict(), path)
    with pytest.raises(BadModel, match="not those of braai for 41 px"):
        scorer_of(path)(candidates())


def test_a_pickled_network_is_never_loaded(torch, tmp_path):
    path = tmp_path / "pickled.pth"
    torch.save(braai(torch, 41), path)
    with pytest.raises(BadModel, match="neither TorchScript nor plain tensors"):
        scorer_of(path)(candidates())
    path.write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(BadModel, match="neither TorchScript nor plain tensors"):
        scorer_of(path)(candidates())


def test_stamps_that_the_network_does_not_take_are_refused(torch, tmp_path):
    path = tmp_path / "braai.pt"
    script(torch, path, braai(torch, 63))
    with pytest.raises(BadModel, match="does not take 3 stamps of 41"):
        scorer_of(path)(candidates())


def test_the_file_must_be_the_one_that_is_meant(tiny):
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    with pytest.raises(BadModel, match=f"checksum={digest[:12]}"):
        RBbot(path=str(tiny), checksum="")(candidates())
    with pytest.raises(BadModel, match="is asked for"):
        RBbot(path=str(tiny), checksum="0" * 12)(candidates())


@pytest.mark.parametrize("path, said", [("", "no file is named"), ("/nowhere/net.pt", "cannot be read")])
def test_no_file_is_said_so(torch, path, said):
    with pytest.raises(BadModel, match=said):
        RBbot(path=path, checksum="0" * 12)(candidates())


def test_without_pytorch_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NotInstalled, match="pip install torch"):
        RBbot(path="net.pt", checksum="0" * 12)(candidates())
    with pytest.raises(NotInstalled, match="pip install torch"):
        train(None, np.zeros((2, 5)), np.ones(2, bool), seed=1, tick=print)


def test_nobody_gets_no_score_even_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = RBbot()(candidates(0))
    assert found.score.shape == (0,) and found.info == []


def test_what_it_may_be_told_is_checked():
    with pytest.raises(ConfigurationError, match="size"):
        RBbot.build({"size": 42})
    assert "path" not in RBbot().critical() and "checksum" in RBbot().critical()
