"""Master frames forget outliers; coadds reach the depth of their frames, drop artefacts and keep what varies."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.stacking import Frame, StackParameters, allowed_rejections, coadd
from processing.errors import BadInput
from processing.scratch import ScratchStore
from tests.algorithms.pairs import MoffatPSF, render

SIZE = 160
NOISE = 10.0


def frames(count: int = 10, seed: int = 1, seeing: tuple[float, float] = (3.2, 4.6), flux: float = 20_000.0):
    """Frames of nine stars with different seeing and depth; also the star positions."""
    rng = np.random.default_rng(seed)
    stars = np.array([(30 + 50 * i, 30 + 50 * j) for i in range(3) for j in range(3)], float)
    made = []
    for fwhm in np.linspace(*seeing, count):
        noise = NOISE * rng.uniform(0.8, 1.4)
        image = render(SIZE, MoffatPSF(fwhm), stars, np.full(len(stars), flux))
        variance = (noise**2 + image).astype(np.float32)
        data = rng.normal(image, np.sqrt(variance)).astype(np.float32)
        made.append(Frame(data, variance, np.zeros((SIZE, SIZE), bool)))
    return made, stars


def test_frames_that_do_not_fit_together_are_refused():
    made, _ = frames(3)
    with pytest.raises(BadInput, match="its shape is"):
        coadd([made[0], replace(made[1], data=made[1].data[1:], mask=made[1].mask[1:], variance=made[1].variance[1:])])
    nothing = np.ones((SIZE, SIZE), bool)
    with pytest.raises(BadInput, match="no frame has a usable pixel"):
        coadd([replace(frame, mask=nothing) for frame in made])
    assert coadd([replace(made[0], mask=nothing), *made[1:]]).left_out == {0: "none of its pixels is usable"}


def test_a_coadd_has_the_noise_that_it_states_and_the_depth_of_its_frames():
    made, stars = frames()
    found = coadd(made)
    y, x = np.indices(found.data.shape)
    sky = np.min([np.hypot(x - sx, y - sy) for sx, sy in stars], axis=0) > 14
    pull = found.data[sky] / np.sqrt(found.variance[sky])
    assert pull.std() == pytest.approx(1, abs=0.02)
    assert abs(pull.mean()) < 0.05
    # Best possible: inverse variances add up.
    ideal = 1 / np.sqrt(sum(1 / np.median(frame.variance[sky]) for frame in made))
    assert found.data[sky].std() <= ideal / 0.97
    assert (found.n_frames[sky] >= 9).all()


def test_stars_keep_their_flux_although_the_seeing_differs():
    made, stars = frames()
    found, plain = coadd(made), coadd(made, StackParameters(artefact=1e6))
    for x, y in stars.astype(int):
        box = np.s_[y - 8 : y + 9, x - 8 : x + 9]
        assert found.data[box].sum() == pytest.approx(plain.data[box].sum(), rel=1e-3)
        assert (found.n_frames[y - 2 : y + 3, x - 2 : x + 3] == 10).all()


def test_artefacts_in_one_frame_leave_nothing_behind():
    made, stars = frames()
    clean = coadd(made)
    rng = np.random.default_rng(5)
    dirty = []
    for number, frame in enumerate(made):
        data, variance = frame.data.copy(), frame.variance.copy()
        for x, y in rng.integers(5, SIZE - 5, (6, 2)):
            data[y, x : x + 3] += 3000
            variance[y, x : x + 3] += 3000
        if number == 4:
            data[100] += 300  # a satellite
        dirty.append(replace(frame, data=data, variance=variance))
    found = coadd(dirty)
    y, x = np.indices(found.data.shape)
    sky = np.min([np.hypot(x - sx, y - sy) for sx, sy in stars], axis=0) > 8
    left = np.abs(found.data - clean.data)
    assert (left / np.sqrt(clean.variance))[sky].max() < 3
    assert np.median(found.n_frames[100]) == 9


def test_what_varies_in_many_frames_stays():
    made, _ = frames()
    psf = MoffatPSF(3.8).stamp(0, 0)
    h = psf.shape[0] // 2
    varying = []
    for number, frame in enumerate(made):
        data = frame.data.copy()
        data[55 - h : 56 + h, 55 - h : 56 + h] += (number % 2) * 8000 * psf
        varying.append(replace(frame, data=data))
    found = coadd(varying)
    assert found.n_frames[55, 55] == 10
    assert (found.data - coadd(made).data)[55, 55] == pytest.approx(4000 * psf[h, h], rel=0.25)


def test_masked_pixels_do_not_enter_and_uncovered_ones_are_marked():
    made, _ = frames(5)
    masked = []
    for number, frame in enumerate(made):
        mask = frame.mask.copy()
        mask[:, :10] = True
        mask[:, 10 : 12 + 8 * number] = True
        masked.append(replace(frame, mask=mask, data=np.where(mask, 1e6, frame.data).astype(np.float32)))
    found = coadd(masked)
    assert found.mask[:, :10].all()
    assert not found.mask[:, 12:].any()
    assert (found.data[:, :10] == 0).all()
    assert (found.variance[:, :10] == 0).all()
    assert (found.n_frames[:, 12:20] == 1).all()
    assert found.data.max() < 1e4
    assert np.median(found.variance[:, 13]) == pytest.approx(np.median(made[0].variance[:, 13]), rel=0.05)


def test_the_number_of_frames_that_may_be_artefacts_grows_slowly():
    assert allowed_rejections(np.array([1, 2, 3, 4, 5, 10, 40, 100])).tolist() == [0, 0, 1, 1, 2, 2, 3, 5]


@pytest.mark.parametrize("method", ["mean", "proper"])
def test_the_memory_allowed_and_the_store_change_nothing(method):
    made, _ = with_psfs(4)
    whole = coadd(made, StackParameters(method=method, memory=1000))
    strips = coadd(iter(made), StackParameters(method=method, memory=0.001))
    assert np.array_equal(whole.data, strips.data) and np.array_equal(whole.n_frames, strips.n_frames)


def with_psfs(count: int):
    made, stars = frames(count)
    widths = np.linspace(3.2, 4.6, count)
    return [replace(frame, psf=MoffatPSF(fwhm)) for frame, fwhm in zip(made, widths)], stars


def test_a_proper_coadd_of_white_noise_is_white_and_has_the_noise_that_it_states():
    rng, shape = np.random.default_rng(9), (300, 620)
    made = []
    for fwhm in (3.0, 4.0, 5.5, 3.3):
        noise = rng.uniform(8, 14)
        data, variance = rng.normal(0, noise, shape).astype(np.float32), np.full(shape, noise**2, np.float32)
        made.append(Frame(data, variance, np.zeros(shape, bool), MoffatPSF(fwhm)))
    found = coadd(made, StackParameters(method="proper"))
    pull = (found.data / np.sqrt(found.variance))[40:-40, 40:-40]
    assert pull.std() == pytest.approx(1, abs=0.01)
    assert abs(np.mean(pull[:, 1:] * pull[:, :-1])) < 0.015 and abs(np.mean(pull[1:] * pull[:-1])) < 0.015


def test_a_proper_coadd_keeps_flux_and_is_sharper_than_the_mean():
    made, stars = with_psfs(6)
    proper, mean = coadd(made, StackParameters(method="proper")), coadd(made)
    for x, y in stars.astype(int):
        box = np.s_[y - 14 : y + 15, x - 14 : x + 15]
        assert proper.data[box].sum() == pytest.approx(mean.data[box].sum(), rel=0.03)
        assert proper.data[y, x] > mean.data[y, x]


def test_a_star_at_one_edge_does_not_show_at_the_other():
    y, x = np.indices((SIZE, SIZE))
    psfs = [MoffatPSF(fwhm) for fwhm in (3.2, 4.4)]
    made = [
        Frame(1e6 * psf.profile(x - 3, y - 2).astype(np.float32), np.ones((SIZE, SIZE), np.float32), y < 0, psf)
        for psf in psfs
    ]
    found = coadd(made, StackParameters(method="proper")).data
    assert found[2, 3] > 1e4
    assert np.abs(found[-15:]).max() < 1e-3 * found[2, 3] > np.abs(found[:, -15:]).max()


def test_a_proper_coadd_without_psfs_is_refused():
    made, _ = frames(3)
    with pytest.raises(BadInput, match="a frame has no PSF"):
        coadd(made, StackParameters(method="proper"))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: 1.6 * data, "of the flux"),
        (lambda data: np.roll(data, 9, axis=1), "of the flux"),
        (lambda data: data + 60 * np.sin(np.arange(SIZE) / 3), "times as much as its noise says"),
    ],
)
def test_a_frame_that_does_not_belong_is_left_out_and_said_why(spoil, why):
    made, _ = frames(5)
    made[2] = replace(made[2], data=spoil(made[2].data).astype(np.float32))
    found = coadd(made)
    assert list(found.left_out) == [2] and why in found.left_out[2]
    assert found.n_frames.max() == 4 and found.rejected[2] == 0
    clean = coadd([frame for index, frame in enumerate(made) if index != 2])
    assert np.array_equal(found.data, clean.data)


def test_where_most_frames_disagree_none_is_left_out():
    made, _ = frames(4)
    made[1:] = [
        replace(frame, data=(factor * frame.data).astype(np.float32)) for frame, factor in zip(made[1:], (3, 5, 9))
    ]
    assert len(coadd(made).left_out) <= 1


def test_no_frame_is_no_coadd():
    with pytest.raises(BadInput, match="there is no frame"):
        coadd([])


def test_many_frames_take_no_more_memory_than_few(settings, tmp_path):
    settings.SEECHANGE_DATA = tmp_path
    shape, rng = (1000, 400), np.random.default_rng(2)

    def made(count):
        for _ in range(count):
            data = rng.normal(0, 1, shape).astype(np.float32)
            yield Frame(data, np.ones(shape, np.float32), np.zeros(shape, bool))

    def peak(count: int) -> float:
        tracemalloc.start()
        coadd(made(count), StackParameters(memory=8.0), ScratchStore)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(3)  # compiles
    assert peak(60) < 1.3 * peak(6)
