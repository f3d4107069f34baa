"""The cuts: each fires on its own artefact, and hardly ever on a point source; every value is what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from processing.algorithms.cuts import CUTS, NO_CUTS, CutParameters, apply_cuts, explain
from processing.algorithms.diagnostics import DIAGNOSTICS, NOT_ALWAYS, measure_diagnostics, weighted_moments
from processing.algorithms.peaks import PEAKS, PeakParameters, ScorePlanes, find_peaks
from processing.algorithms.subtraction.base import Difference, SubtractionMethod
from tests.algorithms.pairs import MoffatPSF, Pair, PairSky, near, render, simulate_pair
from tests.factories.tiles import one_tile

PARAMETERS = CutParameters()
SAMPLINGS = {"coarse": (2.2, 2.0), "middling": (3.0, 2.6), "broad": (4.2, 3.4)}


def planes_of(found: Difference, halo: np.ndarray | None = None) -> ScorePlanes:
    return ScorePlanes(
        score=found.score, alpha=found.alpha, data=found.data, variance=found.variance, mask=found.mask,
        halo=np.zeros(found.mask.shape, bool) if halo is None else halo, tiles=found.tiles,
        unsupported=found.unsupported,
    )  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """The candidates of a subtracted pair with their numbers."""

    pair: Pair
    peaks: np.ndarray
    table: np.ndarray

    def at(self, places: np.ndarray, radius: float = 2.0) -> np.ndarray:
        """Rows of the candidates at some of the places."""
        return np.flatnonzero(near(np.c_[self.peaks["x"], self.peaks["y"]], places, radius))

    def failed(self, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Of each cut, which rows fail."""
        failed, names = apply_cuts(self.table if rows is None else self.table[rows], PARAMETERS)
        return dict(zip(names, failed.T))


def judge(pair: Pair, spoil: np.ndarray | None = None, halo: np.ndarray | None = None) -> Judged:
    """Subtract the pair (with something added to the new image), find and measure."""
    if spoil is not None:
        pair.new.data[:] += spoil.astype(np.float32)
        pair.new.variance[:] += np.maximum(spoil, 0).astype(np.float32)
    found = SubtractionMethod.member("zogy")()(pair.new, pair.reference, pair.stars)
    planes, fwhm = planes_of(found, halo), pair.new.fwhm
    peaks = find_peaks(planes, fwhm, PeakParameters())
    return Judged(pair, peaks, measure_diagnostics(planes, peaks, fwhm))


def sky(new_fwhm: float, ref_fwhm: float, **changes) -> PairSky:
    defaults = {"size": 512, "stars": 60, "brightest": 3e4, "new_fwhm": new_fwhm, "ref_fwhm": ref_fwhm, "frames": 6}
    return PairSky(**{**defaults, **changes})


@pytest.fixture(scope="module", params=SAMPLINGS, ids=lambda name: name)
def sampling(request) -> tuple[float, float]:
    return SAMPLINGS[request.param]


def flux_of(snr: float, fwhm: float) -> float:
    """Electrons of a source of about this S/N for the noise of the pairs."""
    sigma = 21.6 / np.sqrt((MoffatPSF(fwhm).stamp(0, 0) ** 2).sum())
    return snr * sigma + snr**2 / 2  # and the noise of its own photons


@pytest.fixture(scope="module")
def sources(sampling) -> list[Judged]:
    """New point sources of S/N from 8 to 80 on empty sky and near stars."""
    return [
        judge(
            simulate_pair(sky(*sampling, stars=20, transients=55, transient_flux=flux_of(snr, sampling[0]), seed=seed))
        )
        for seed, snr in enumerate((9, 12, 20, 40, 80), start=30)
    ]


def real_rows(sources: list[Judged]) -> np.ndarray:
    return np.concatenate([judged.table[judged.at(judged.pair.transients)] for judged in sources])


def test_at_most_one_point_source_in_forty_above_8_sigma_is_lost(sources):
    table = real_rows(sources)
    table = table[table["snr"] > 8]
    assert len(table) > 230
    failed, names = apply_cuts(table, PARAMETERS)
    assert failed.any(axis=1).mean() <= 0.025, dict(zip(names, failed.sum(axis=0)))


def test_no_single_cut_takes_more_than_a_hundredth_of_the_point_sources(sources):
    table = real_rows(sources)
    table = table[table["snr"] > 8]
    failed, names = apply_cuts(table, PARAMETERS)
    assert failed.mean(axis=0).max() <= 0.015, dict(zip(names, failed.sum(axis=0)))


def test_point_sources_look_like_point_sources(sources, sampling):
    table = real_rows(sources)
    bright = table[table["snr"] > 15]
    assert np.median(bright["psf_chi2"]) == pytest.approx(1, abs=0.15)
    assert np.median(bright["width_ratio"]) == pytest.approx(1, abs=0.05)
    assert np.median(bright["cosmic_ratio"]) == pytest.approx(1, abs=0.08)  # less between pixels
    assert np.median(bright["elongation"]) < 1.25
    assert np.median(bright["centroid_distance"]) < 0.1
    assert np.median(bright["negative_flux_fraction"]) < 0.1
    assert np.median(bright["fwhm"]) == pytest.approx(sampling[0])
    assert not bright["is_negative"].any()


def test_fitted_positions_and_fluxes_are_those_of_the_sources(sources, sampling):
    for judged in sources[2:]:
        rows = judged.at(judged.pair.transients)
        table = judged.table[rows]
        which = np.argmin(
            np.hypot(
                table["psf_x"][:, None] - judged.pair.transients[:, 0],
                table["psf_y"][:, None] - judged.pair.transients[:, 1],
            ),
            axis=1,
        )
        off = table["psf_x"] - judged.pair.transients[which, 0]
        # A centroid is good to 0.6 FWHM over S/N.
        assert off.std() < 1.3 * 0.7 * sampling[0] / np.median(table["snr"]) + 0.01
        assert np.median(table["psf_flux"]) == pytest.approx(judged.pair.sky.transient_flux, rel=0.02)


def scattered(count: int, seed: int, size: int = 512, edge: int = 40) -> np.ndarray:
    """Whole pixels at least 45 px from each other."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        place = rng.integers(edge, size - edge, 2)
        if all(np.hypot(*(place - other)) > 45 for other in found):
            found.append(place)
    return np.array(found)


def spoiled(sampling: tuple[float, float], places: np.ndarray, spoil: np.ndarray) -> tuple[Judged, np.ndarray]:
    judged = judge(simulate_pair(sky(*sampling, stars=0, seed=3)), spoil)
    return judged, judged.at(places, radius=max(3.0, sampling[0]))


def test_hits_of_single_pixels_are_cosmic_rays(sampling):
    places, spoil = scattered(40, 1), np.zeros((512, 512))
    spoil[places[:, 1], places[:, 0]] = np.geomspace(15, 200, 40) * 21.6
    judged, rows = spoiled(sampling, places, spoil)
    assert len(rows) >= 36
    clear = rows[judged.table["snr"][rows] > PARAMETERS.cosmic_ray_snr]
    assert len(clear) >= 30
    assert judged.failed(clear)["cosmic_ray"].mean() >= 0.98


def test_hot_pixels_that_became_cold_are_recognised_too(sampling):
    places, spoil = scattered(30, 2), np.zeros((512, 512))
    spoil[places[:, 1], places[:, 0]] = -20 * 21.6
    judged, rows = spoiled(sampling, places, spoil)
    assert judged.table["is_negative"][rows].all()
    clear = rows[judged.table["snr"][rows] > PARAMETERS.cosmic_ray_snr]
    assert len(clear) >= 15
    assert judged.failed(clear)["cosmic_ray"].mean() >= 0.95


def test_trails_are_elongated(sampling):
    places, spoil = scattered(25, 3), np.zeros((512, 512))
    rng = np.random.default_rng(5)
    for x, y in places:
        turn, length = rng.uniform(0, np.pi), 4 * sampling[0]
        for along in np.arange(-length, length, 0.5):
            dx, dy = along * np.cos(turn), along * np.sin(turn)
            i, j = round(x + dx), round(y + dy)
            half = 8
            box = (slice(j - half, j + half + 1), slice(i - half, i + half + 1))
            spoil[box] += 900 * MoffatPSF(sampling[0], half).profile(
                np.arange(i - half, i + half + 1)[None] - x - dx, np.arange(j - half, j + half + 1)[:, None] - y - dy
            )
    judged, _ = spoiled(sampling, places, spoil)
    rows = judged.at(places, radius=4 * sampling[0])
    failed = judged.failed(rows)
    shape = failed["elongation"] | failed["psf_chi2"] | failed["broad"]
    assert len(rows) >= 25
    assert shape[judged.table["snr"][rows] > 8].mean() > 0.9
    assert failed["elongation"].mean() > 0.3
    moved = judged.table["trail_length"][rows]
    assert np.isfinite(moved).mean() > 0.3 and np.nanmedian(moved) > 3 * sampling[0]


def test_moved_stars_are_dipoles(sampling):
    """A star moved by half a FWHM between the images: both halves are candidates, and both fail."""
    places = scattered(40, 4).astype(float)
    pair = simulate_pair(sky(*sampling, stars=0, seed=5))
    flux = np.full(len(places), 60 * 21.6 * sampling[0])
    moved = places + np.array([0.5 * sampling[0], 0])
    spoil = render(512, MoffatPSF(sampling[0]), moved, flux)
    light = render(512, MoffatPSF(sampling[1]), places, flux) * pair.sky.flux_ratio
    pair.reference.data[:] += light.astype(np.float32)
    pair.reference.variance[:] += (light * pair.sky.flux_ratio / pair.sky.frames).astype(np.float32)
    judged = judge(pair, spoil)
    rows = judged.at(np.vstack([places, moved]), radius=1.2 * sampling[0])
    assert len(rows) >= 60
    failed = judged.failed(rows)
    assert failed["dipole"].mean() > 0.9
    assert failed["translient"].mean() > 0.6
    assert np.any(list(failed.values()), axis=0).mean() > 0.97


def test_light_broader_than_the_psf_is_broad(sampling):
    places, spoil = scattered(30, 6).astype(float), np.zeros((512, 512))
    wide = MoffatPSF(2.2 * sampling[0], half=20)
    spoil += render(512, wide, places, np.full(len(places), 120 * 21.6 * 2.2 * sampling[0]))
    judged, rows = spoiled(sampling, places, spoil)
    bright = rows[judged.table["snr"][rows] > 12]
    failed = judged.failed(bright)
    assert len(bright) > 20
    assert (failed["broad"] | failed["psf_chi2"]).mean() > 0.9


def test_haloes_and_masked_centres_fail_by_themselves(sampling):
    pair = simulate_pair(sky(*sampling, stars=0, transients=20, transient_flux=flux_of(25, sampling[0]), seed=9))
    halo = np.zeros((512, 512), bool)
    x, y = np.rint(pair.transients[:10]).astype(int).T
    halo[y, x] = True
    judged = judge(pair, halo=halo)
    inside = judged.at(pair.transients[:10])
    assert judged.failed(inside)["halo"].all()
    assert not judged.failed(judged.at(pair.transients[10:]))["halo"].any()


def rows(**values) -> np.ndarray:
    """Diagnostics of a perfect candidate of S/N 20, but for the given values."""
    perfect = {"snr": 20, "fwhm": 3, "score_unsystematic": 20, "psf_chi2": 1, "elongation": 1, "width_ratio": 1}
    perfect |= {"cosmic_ratio": 1, "psf_cosmic_ratio": 0.5, "translient_excess": -100, "consistency": 0}
    table = np.zeros(1, DIAGNOSTICS)
    for name, value in {**perfect, **values}.items():
        table[name] = value
    return table


BEYOND = {
    "bad_pixels": {"bad_pixel_count": 1},
    "halo": {"in_halo": True},
    "psf_chi2": {"psf_chi2": 2.1},
    "centroid": {"centroid_distance": 0.6},
    "elongation": {"elongation": 2.1},
    "narrow": {"width_ratio": 0.5},
    "broad": {"width_ratio": 1.7},
    "negative_flux": {"negative_flux_fraction": 0.5},
    "dipole": {"opposite_score": 9.0},
    "translient": {"translient_excess": 0.1},
    "cosmic_ray": {"cosmic_ratio": 1.8},
    "streak": {"streak": 5.1},
    "consistency": {"consistency": 4.1},
}


def test_every_cut_has_an_example():
    assert set(BEYOND) == {cut.name for cut in CUTS}


@pytest.mark.parametrize("name", BEYOND)
def test_a_value_beyond_its_threshold_fails_this_cut_and_no_other(name):
    failed, names = apply_cuts(rows(**BEYOND[name]), PARAMETERS)
    assert [one for one, fails in zip(names, failed[0]) if fails] == [name]
    assert not apply_cuts(rows(**BEYOND[name]), NO_CUTS)[0].any()
    verdict = next(one for one in explain(rows(**BEYOND[name]), PARAMETERS)[0] if one.name == name)
    assert not verdict.passed
    assert verdict.threshold is not None


def test_a_perfect_candidate_passes_and_nan_counts_as_not_measured():
    for table in (rows(), rows(consistency=np.nan, psf_chi2=np.nan, elongation=np.nan)):
        assert not apply_cuts(table, PARAMETERS)[0].any()
        assert all(verdict.passed for verdict in explain(table, PARAMETERS)[0])


@pytest.mark.parametrize(
    "name", ["centroid", "elongation", "narrow", "broad", "negative_flux", "translient", "cosmic_ray"]
)
def test_faint_candidates_are_not_judged_by_what_noise_can_do(name):
    table = rows(snr=5.5, **BEYOND[name])
    assert not apply_cuts(table, PARAMETERS)[0].any()
    assert next(one for one in explain(table, PARAMETERS)[0] if one.name == name).threshold is None


def test_thresholds_grow_for_bright_candidates():
    assert not apply_cuts(rows(snr=200, score_unsystematic=200, psf_chi2=30), PARAMETERS)[0].any()
    assert apply_cuts(rows(snr=200, score_unsystematic=200, psf_chi2=33), PARAMETERS)[0].any()
    assert not apply_cuts(rows(score_unsystematic=5.5, opposite_score=3.4), PARAMETERS)[0].any()


def test_nobody_is_judged_where_there_is_nobody():
    failed, names = apply_cuts(np.zeros(0, DIAGNOSTICS), PARAMETERS)
    assert failed.shape == (0, len(names))
    assert explain(np.zeros(0, DIAGNOSTICS), PARAMETERS) == []


def test_nothing_is_measured_where_there_is_nothing():
    plane = np.zeros((40, 40), np.float32)
    blank = np.zeros((40, 40), bool)
    planes = ScorePlanes(plane, plane, plane, plane + 1, blank, blank, one_tile(plane.shape))
    assert len(measure_diagnostics(planes, np.zeros(0, PEAKS), 3.0)) == 0


def test_numbers_next_to_the_edge_and_in_masks_are_finite():
    rng = np.random.default_rng(1)
    plane = rng.normal(0, 1, (60, 60)).astype(np.float32)
    mask = rng.random((60, 60)) < 0.3
    planes = ScorePlanes(plane, plane, plane, np.where(mask, np.inf, 1), mask, mask, one_tile(plane.shape))
    peaks = np.zeros(5, PEAKS)
    peaks["x_peak"] = peaks["x"] = [1, 58, 30, 1, 58]
    peaks["y_peak"] = peaks["y"] = [1, 58, 30, 58, 1]
    peaks["snr"] = 6
    found = measure_diagnostics(planes, peaks, 3.0)
    for name in DIAGNOSTICS.names:
        if name not in NOT_ALWAYS:
            assert np.isfinite(found[name].astype(float)).all(), name
    assert np.isnan(found["consistency"]).all() and np.isnan(found["bright_distance"]).all()


def test_a_forced_flux_that_differs_is_inconsistent():
    pair = simulate_pair(sky(3.0, 2.6, stars=0, transients=10, transient_flux=flux_of(25, 3.0), seed=4))
    found = SubtractionMethod.member("zogy")()(pair.new, pair.reference, pair.stars)
    planes = planes_of(found)
    peaks = find_peaks(planes, 3.0, PeakParameters())
    error = peaks["flux_err"] + 1.0
    for forced, limit in ((peaks["flux"] + error, 1.0), (0 * peaks["flux"], 4.0)):
        table = measure_diagnostics(planes, peaks, 3.0, forced=(forced, error))
        assert np.all(table["consistency"] <= limit) if limit == 1.0 else np.all(table["consistency"] > limit)


@pytest.mark.parametrize("angle", [0, 30, 80, -45])
def test_moments_of_a_gaussian_are_its_widths_and_its_angle(angle):
    v, u = np.indices((41, 41)) - 20
    x, y = u - 0.3, v + 0.2
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, across = cos * x + sin * y, cos * y - sin * x
    stamp = np.exp(-0.5 * (along**2 / 2.0**2 + across**2 / 1.5**2))[None]
    mean, widths, found = weighted_moments(stamp, np.zeros(1), np.zeros(1), fwhm=4.2)
    factor = np.sqrt(8 * np.log(2))
    np.testing.assert_allclose(widths[0], [2.0 * factor, 1.5 * factor], rtol=0.01)
    np.testing.assert_allclose(mean[0], [0.3, -0.2], atol=0.06)
    np.testing.assert_allclose(found[0], angle, atol=2)
