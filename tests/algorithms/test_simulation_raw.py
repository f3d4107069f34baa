"""The simulated CCD of a real camera: each effect is in the raw frame as the truth says, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.overscan import subtract_overscan
from processing.algorithms.simulation_ccd import CROSSTALK, Ghost, make_ccd, side_by_side
from processing.algorithms.simulation_readout import (
    Light,
    Trail,
    bias_frame,
    crosstalk_sources,
    dark_frame,
    dome_flat,
    expose,
    in_read_order,
    measured,
    read_out,
    sky_frame,
    trail_light,
    twilight_flat,
)
from tests.algorithms.raw_ccds import EVEN, JUMP, SHAPE, small_ccd, small_exposure, small_night_flat


@pytest.fixture(scope="module")
def ccd():
    return small_ccd(3)


@pytest.fixture(scope="module")
def frame(ccd):
    return small_exposure(ccd, 3)


def mean_of(frames):
    return np.mean([frame.raw.astype(float) for frame in frames], axis=0)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_ccd(ccd, frame):
    assert np.array_equal(small_exposure(small_ccd(3), 3).raw, frame.raw)
    assert not np.array_equal(small_exposure(ccd, 4).raw, frame.raw)
    other = small_ccd(4)
    assert other.electronics[0].gain != ccd.electronics[0].gain
    assert np.corrcoef(other.response.ravel(), ccd.response.ravel())[0, 1] < 0.8


def test_a_raw_frame_has_every_pixel_that_the_amplifiers_read(ccd, frame):
    assert frame.raw.dtype == np.uint16
    assert frame.raw.shape == ccd.layout.shape == (512, 2 * (8 + 256 + 32))
    read = np.zeros(frame.raw.shape, int)
    for area in ccd.layout.areas:
        read[area] += 1
    assert (read == 1).all()
    assert (frame.raw > 0).all()


def test_the_bias_has_its_level_structure_gradient_and_jump(ccd):
    frames = [bias_frame(ccd, seed=n) for n in range(40)]
    for number, (amplifier, found) in enumerate(zip(ccd.layout.amplifiers, ccd.electronics)):
        overscan = np.mean([f.raw[amplifier.bias].mean(axis=1) for f in frames], axis=0)
        levels = np.mean([f.truth.levels[number] for f in frames], axis=0)
        # 40 frames of 32 columns, read noise of about 3 ADU: 0.1 ADU a row
        assert np.abs(overscan - levels).max() < 0.5
        step = overscan[JUMP : JUMP + 40].mean() - overscan[JUMP - 40 : JUMP].mean()
        assert step == pytest.approx(found.jumps[0], abs=0.8)
        assert abs(found.jumps[0]) > 4
    structure = np.mean([subtract_overscan(f.raw, ccd.layout.amplifiers, 1) for f in frames], axis=0)
    columns = structure.mean(axis=0) - ccd.bias.mean(axis=0)
    assert np.std(columns) < 0.1 < np.std(ccd.bias.mean(axis=0))
    assert structure[:20].mean() - structure[-20:].mean() > 2


def test_the_read_noise_is_that_of_the_amplifier(ccd):
    first, second = (bias_frame(ccd, seed=n).raw.astype(float) for n in (1, 2))
    for amplifier, found in zip(ccd.layout.amplifiers, ccd.electronics):
        part = (first - second)[amplifier.bias]
        part -= part.mean(axis=1, keepdims=True)
        noise = part.std() / np.sqrt(2) * found.gain
        assert noise == pytest.approx(np.hypot(amplifier.read_noise, found.gain / np.sqrt(12)), rel=0.04)


def test_a_dark_frame_has_hot_pixels_and_glow_that_grow_with_time(ccd):
    short, long = (
        np.mean([subtract_overscan(dark_frame(ccd, time, seed=n).raw, ccd.layout.amplifiers, 1) for n in (1, 2, 3)], 0)
        for time in (10.0, 100.0)
    )
    gain = ccd.plane([found.gain for found in ccd.electronics])
    rate = (long - short) / 90 * gain
    assert np.median(rate[ccd.hot] / ccd.dark[ccd.hot]) == pytest.approx(1, abs=0.06)
    corner = rate[:60, :60][~ccd.defects[:60, :60]]
    assert np.median(corner) == pytest.approx(np.median(ccd.dark[:60, :60]), abs=0.01)
    assert np.median(ccd.dark[:60, :60]) > 2 * np.median(ccd.dark[200:300, 100:150])


@pytest.mark.parametrize("level", [3_000.0, 20_000.0])
def test_photon_transfer_gives_the_true_gain_not_that_of_the_header(level):
    ccd = small_ccd(5, **(EVEN | {"gain_error": 0.05}))
    flats = [dome_flat(ccd, level, seed=n).raw.astype(float) for n in range(4)]
    for amplifier, found in zip(ccd.layout.amplifiers, ccd.electronics):
        parts = [flat[amplifier.data] for flat in flats]
        signal = np.mean(parts) - found.level
        variance = np.mean([np.var(parts[i] - parts[j]) / 2 for i, j in ((0, 1), (2, 3))])
        variance -= (amplifier.read_noise / found.gain) ** 2
        assert signal / variance == pytest.approx(found.gain, rel=0.015)  # 131,072 pixels in two pairs: 0.4 %
        assert abs(found.gain / amplifier.gain - 1) > 0.02


def test_the_amplifiers_are_not_linear_and_the_table_says_how(ccd):
    table = ccd.linearity_table()
    for amplifier, found in zip(ccd.layout.amplifiers, ccd.electronics):
        rows = table[table["amplifier"] == amplifier.name]
        assert rows["adu"][0] == rows["linear_adu"][0] == 0
        assert (np.diff(rows["adu"]) > 0).all()
        deficit = 1 - rows["adu"][-1] / rows["linear_adu"][-1]
        assert 0.012 <= deficit <= 0.025
        light = np.linspace(0, found.full, 500, dtype=np.float32)
        undone = np.interp(found.measured(light), rows["adu"], rows["linear_adu"])
        assert np.abs(undone - light).max() < 2e-5 * found.full
        # At full well pixels read a little more than the header's saturation.
        assert found.measured(np.float32(found.full)) + found.level > amplifier.saturation


def test_crosstalk_copies_what_is_read_at_the_same_time():
    ccd = small_ccd(6, **(EVEN | {"crosstalk": 0.01}))
    light = np.full(ccd.shape, 200.0, np.float32)
    light[100:110, 30:40] += 60_000  # in A, 30 columns from its outer edge where it is read from
    frames = [sky_frame(ccd, Light(sky=light), seed=n, exposure_time=0.0) for n in range(6)]
    image = np.mean([subtract_overscan(f.raw, ccd.layout.amplifiers, 1) for f in frames], axis=0)
    nx = ccd.shape[1]
    ghost = image[100:110, nx - 40 : nx - 30] - np.median(image[:, nx // 2 :])
    coefficient = next(g.coefficient for g in ccd.ghosts if g.victim == "B")
    assert ghost.mean() == pytest.approx(coefficient * 60_000 / ccd.electronics[0].gain, rel=0.03)
    not_mirrored = image[100:110, nx // 2 + 30 : nx // 2 + 40]
    assert abs(not_mirrored.mean() - np.median(image[:, nx // 2 :])) < 2
    assert frames[0].truth.ghosts[105, nx - 35] == pytest.approx(ghost.mean(), abs=3)


def test_crosstalk_comes_from_other_ccds_too():
    victim, source = (small_ccd(6, number=n, **EVEN) for n in (1, 2))
    victim = replace(victim, ghosts=(Ghost("A", "B", 0.02, "S2"),))
    light = np.zeros(SHAPE, np.float32)
    light[50:60, 500:506] = 50_000
    signal = measured(expose(source, Light(sources=light), exposure_time=0, seed=1).electrons, source)
    charge = expose(victim, Light(), exposure_time=0, seed=2)
    frame = read_out(charge, victim, seed=2, others=crosstalk_sources(victim, signal, "S2"))
    assert np.argwhere(frame.truth.ghosts > 100).min(axis=0).tolist() == [50, 6]
    assert frame.truth.ghosts.max() == pytest.approx(0.02 * signal.max(), rel=1e-5)
    table = victim.crosstalk_table()
    assert table.dtype == CROSSTALK
    assert table.tolist() == [("A", "S2", "B", 0.02, 0.0)]


def test_an_amplifier_is_read_from_its_far_end():
    amplifier = side_by_side((4, 8)).amplifiers[1]
    plane = np.arange(32.0).reshape(4, 8)
    assert in_read_order(plane, amplifier)[0].tolist() == [7, 6, 5, 4]
    assert in_read_order(plane, replace(amplifier, backwards=(True, False)))[0].tolist() == [28, 29, 30, 31]


def test_flats_show_the_response_and_the_uneven_screen(ccd):
    good = ~ccd.defects
    level = 20_000.0
    flats = [dome_flat(ccd, level, seed=n) for n in range(6)]
    gain = ccd.plane([found.gain for found in ccd.electronics])
    flat = np.mean([subtract_overscan(f.raw, ccd.layout.amplifiers, 1) - ccd.bias for f in flats], axis=0) * gain
    for number, found in enumerate(ccd.electronics):
        target = ccd.layout.amplifiers[number].target
        table = ccd.linearity_table()[65 * number : 65 * number + 65]
        flat[target] = np.interp(flat[target] / found.gain, table["adu"], table["linear_adu"]) * found.gain
    ratio = flat / level / (ccd.response * ccd.screen)
    assert np.median(ratio[good]) == pytest.approx(1, abs=0.003)  # crosstalk adds a little
    assert ratio[good].std() == pytest.approx(1 / np.sqrt(6 * level), rel=0.15)  # photons alone
    assert np.ptp(ccd.screen) > 0.01
    assert np.median(ccd.response) == pytest.approx(1, abs=1e-3)
    assert ccd.response[ccd.dead].max() < 0.05
    assert ccd.response[ccd.bad_columns].max() < 0.05


def test_a_twilight_flat_has_a_gradient_and_stars_but_no_fringes(ccd):
    flat = twilight_flat(ccd, 15_000.0, seed=2, gradient=(0.1, 0.0), stars=40)
    expected = flat.truth.expected
    assert np.median(expected[:, -9:]) / np.median(expected[:, :9]) == pytest.approx(1.1 / 1, abs=0.01)
    assert expected.max() > 15_500
    without = twilight_flat(
        replace(ccd, fringe=np.zeros_like(ccd.fringe)), 15_000.0, seed=2, gradient=(0.1, 0.0), stars=40
    )
    assert np.array_equal(flat.raw, without.raw)


def test_fringes_follow_the_brightness_of_the_night_sky():
    ccd = small_ccd(7, **(EVEN | {"fringes": 0.04}))
    gain = ccd.plane([found.gain for found in ccd.electronics])
    assert ccd.fringe.mean(dtype=float) == pytest.approx(0, abs=1e-6)
    assert ccd.fringe.std() == pytest.approx(0.04 / np.sqrt(2), rel=1e-3)
    for sky in (500.0, 4000.0):
        light = Light(sky=sky, is_night=True)
        frames = [sky_frame(ccd, light, seed=[n, 1], exposure_time=0) for n in range(4)]
        image = np.mean([subtract_overscan(f.raw, ccd.layout.amplifiers, 1) for f in frames], axis=0) * gain
        slope = np.mean((image - image.mean()) * ccd.fringe) / np.mean(ccd.fringe**2)
        assert slope == pytest.approx(sky, rel=0.03)
    assert small_ccd(7, band="g").fringe.std() > 0
    assert not np.array_equal(small_ccd(7, band="g").fringe, small_ccd(7, band="z").fringe)


def test_bright_stars_saturate_and_bleed_along_columns(ccd, frame):
    truth = frame.truth
    assert truth.saturated.sum() > 20
    assert truth.bleed.sum() > 10
    image = frame.raw.astype(float)
    for amplifier in ccd.layout.amplifiers:
        full = truth.saturated[amplifier.target]
        read = image[amplifier.data]
        assert (read[full] > amplifier.saturation).mean() > 0.99
        assert (read[~full & ~truth.bleed[amplifier.target]] > amplifier.saturation).sum() < 10
    # Spilt charge lies above and below pixels that are full.
    columns = np.flatnonzero(truth.bleed.any(axis=0))
    assert (truth.saturated[:, columns].any(axis=0)).mean() > 0.9


def test_the_converter_ends_before_a_deeper_well():
    layout = side_by_side((64, 64))
    amplifiers = tuple(replace(a, saturation=65_535.0) for a in layout.amplifiers)
    ccd = make_ccd(replace(layout, amplifiers=amplifiers), seed=1)
    frame = sky_frame(ccd, Light(sky=200_000.0), seed=1, exposure_time=0)
    assert frame.raw.max() == 65_535
    assert frame.truth.saturated[~ccd.defects].mean() > 0.99


def test_a_trail_is_a_straight_blurred_band():
    light = trail_light((200, 300), [Trail(150.0, 100.0, 30.0, 100.0, width=4.0, fwhm=3.0)])
    assert light[100, 150] == pytest.approx(88, abs=3)  # of a band that is blurred by a PSF of its own width
    across = np.hypot(1, np.tan(np.radians(30)))
    assert light[:, 150].sum() == pytest.approx(100 * 4 * across, rel=1e-3)
    assert light[100 + round(80 * np.tan(np.radians(30))), 230] > 60
    assert light[190, 20] == 0


def test_the_masks_of_trail_and_cosmic_rays_say_where_they_are(ccd, frame):
    truth = frame.truth
    noise = np.sqrt(truth.sky)
    assert truth.trail_light[~truth.trail].max() < 0.55 * noise
    assert truth.trail.sum() > 1000
    assert 5 < (truth.cosmic_rays > 100).sum() < 500
    without = small_exposure(ccd, 3, trail=0.0)
    assert not without.truth.trail.any()


def test_the_calibrated_image_scatters_about_the_truth_as_the_variance_says(ccd, frame):
    truth = frame.truth
    signal = np.zeros(ccd.shape)
    for number, (amplifier, found) in enumerate(zip(ccd.layout.amplifiers, ccd.electronics)):
        adu = frame.raw[amplifier.data] - truth.levels[number][amplifier.data[0], None]
        adu -= (ccd.bias + truth.ghosts)[amplifier.target]
        table = ccd.linearity_table()[65 * number : 65 * number + 65]
        signal[amplifier.target] = np.interp(adu, table["adu"], table["linear_adu"], left=-1) * found.gain
    image = (signal - 60.0 * ccd.dark) / ccd.response - ccd.fringe * truth.sky
    spoilt = ccd.defects | truth.saturated | truth.bleed | truth.trail | (truth.cosmic_rays > 0)
    pull = ((image - truth.expected) / np.sqrt(truth.variance))[~spoilt]
    assert pull.mean() == pytest.approx(0, abs=0.02)
    assert pull.std() == pytest.approx(1, abs=0.01)


def test_night_flats_show_other_stars_each_time(ccd):
    first, second = small_night_flat(ccd, 1).truth.expected, small_night_flat(ccd, 2).truth.expected
    bright = [np.flatnonzero(image > 2 * np.median(image)) for image in (first, second)]
    assert len(np.intersect1d(*bright)) < 0.5 * min(map(len, bright))
