"""The whole chain on a raw simulated pair: sky, sources, PSF, WCS-free matching, subtraction, peaks and cuts together.

The images share their grid, so that what is held here are the errors of the measured sky, PSFs, noise and flux ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial import cKDTree

from processing.algorithms.background import BackgroundParameters, estimate_background, smooth_level
from processing.algorithms.cuts import CutParameters, apply_cuts
from processing.algorithms.diagnostics import measure_diagnostics
from processing.algorithms.extraction import DetectionParameters, Sources, extract_sources, select_stars
from processing.algorithms.masks import grow
from processing.algorithms.peaks import PeakParameters, find_peaks, flux_at
from processing.algorithms.psf_fit import fit_psf
from processing.algorithms.psf_model import PSFParameters
from processing.algorithms.psf_photometry import fit_stars
from processing.algorithms.subtraction.base import Difference, Epoch, MatchedStars, SubtractionMethod
from tests.algorithms.starfields import Field, Sky, simulate
from tests.algorithms.test_cuts import planes_of

SIZE, FRAMES = 1024, 8
METHODS = sorted(SubtractionMethod.members())


@dataclass(frozen=True)
class Seen:
    """One image after extraction."""

    epoch: Epoch
    sources: Sources
    fluxes: np.ndarray  # FITTED, of every source


@dataclass(frozen=True)
class Night:
    """Two epochs of one sky, and what was put into the new one."""

    new: Seen
    reference: Seen
    fields: tuple[Field, Field]
    transients: np.ndarray  # (n, 2) px
    flux: np.ndarray  # electrons
    sky: np.ndarray  # bool, far from anything


def look(data: np.ndarray, gain: float, zero_point: float) -> Seen:
    """Sky, sources and PSF; `gain` is the source variance per electron."""
    blank = np.zeros(data.shape, bool)
    background = estimate_background(data, blank, BackgroundParameters())
    signal = data - background.level
    variance = np.maximum(gain * signal + background.rms**2, 0.25 * background.rms**2).astype(np.float32)
    sources = extract_sources(data, background, blank, blank, DetectionParameters())
    stars = select_stars(sources, data.shape, blank, DetectionParameters())
    psf = fit_psf(signal, variance, blank, sources, stars, PSFParameters(), segmentation=sources.segmentation)
    fluxes = fit_stars(signal, variance, blank, psf, sources.table["x"], sources.table["y"])
    epoch = Epoch(signal, variance, blank, psf, background.noise, zero_point, psf.fwhm)
    return Seen(epoch, sources, fluxes)


def matched(new: Seen, reference: Seen) -> MatchedStars:
    rows = [np.flatnonzero(seen.sources.table["is_star"]) for seen in (new, reference)]
    at = [np.c_[seen.sources.table["x"], seen.sources.table["y"]][row] for seen, row in zip((new, reference), rows)]
    distance, nearest = cKDTree(at[1]).query(at[0], distance_upper_bound=2)
    here, there = rows[0][np.isfinite(distance)], rows[1][nearest[np.isfinite(distance)]]
    x, y = (new.sources.table[name][here] for name in ("x", "y"))
    return MatchedStars(
        x=x, y=y, new_flux=new.fluxes["flux"][here], new_flux_err=new.fluxes["flux_err"][here],
        ref_flux=reference.fluxes["flux"][there], ref_flux_err=reference.fluxes["flux_err"][there],
        dx=x - reference.sources.table["x"][there], dy=y - reference.sources.table["y"][there],
    )  # fmt: skip


def empty(field: Field, transients: np.ndarray) -> np.ndarray:
    busy = np.zeros(field.data.shape, bool)
    for x, y in [*np.c_[field.x, field.y], *field.galaxies, *transients]:
        busy[int(np.clip(round(y), 0, SIZE - 1)), int(np.clip(round(x), 0, SIZE - 1))] = True
    return ~grow(busy, 16)


@pytest.fixture(scope="module", params=[2.4, 4.2], ids="FWHM {} px".format)
def night(request) -> Night:
    """A reference of eight exposures at better seeing; a new one with 36 transients."""
    common = {"stars": 350, "faintest": 400.0, "brightest": 1e5, "galaxies": 0, "wings": 7.0, "seed": 21}
    common["shape"] = (SIZE, SIZE)
    first = simulate(Sky(fwhm=request.param, ellipticity=0.02, **common))
    deep = simulate(Sky(fwhm=0.88 * request.param, variation=0.03, sky=150.0, gradient=-0.02, **common))
    rng = np.random.default_rng(5)
    # A stack: the mean of eight exposures.
    reference = (rng.poisson(FRAMES * deep.expected) / FRAMES).astype(np.float32)
    places = lattice(rng)
    free = cKDTree(np.c_[first.x, first.y]).query(places)[0] > 14
    places = places[free][:36]
    flux = 10 ** rng.uniform(np.log10(400 * request.param), np.log10(12000 * request.param), len(places))
    data = first.data.copy()
    for (x, y), one in zip(places, flux):
        i, j = round(x), round(y)
        star = one * first.psf(x, y, 20, dx=x - i, dy=y - j)
        data[j - 20 : j + 21, i - 20 : i + 21] += rng.poisson(star)
    return Night(
        look(data, 1.0, 28.0), look(reference, 1 / FRAMES, 28.0), (first, deep), places, flux, empty(first, places)
    )


def lattice(rng: np.random.Generator) -> np.ndarray:
    step = 80
    at = np.array([(x, y) for y in range(step, SIZE - 60, step) for x in range(step, SIZE - 60, step)], float)
    return rng.permutation(at + rng.uniform(-10, 10, at.shape))


@pytest.fixture(scope="module", params=METHODS)
def difference(night, request) -> Difference:
    new, reference = night.new.epoch, night.reference.epoch
    bright = grow(reference.data > 5 * reference.noise, 2 * new.fwhm)
    noise = float(np.hypot(new.noise, reference.noise))
    level = smooth_level(new.data - reference.data, bright, 256, noise)
    new = Epoch(**{**vars(new), "data": new.data - level})
    return SubtractionMethod.member(request.param)()(new, reference, matched(night.new, night.reference))


def test_the_score_of_empty_sky_is_normal(night, difference):
    values = difference.score[night.sky & ~difference.mask]
    assert values.size > 150_000
    assert abs(values.mean()) <= 0.06
    assert 0.97 <= values.std() <= 1.03


def test_the_difference_says_so_itself(difference):
    assert abs(difference.quality["score_mean"]) <= 0.06
    assert 0.97 <= difference.quality["score_std"] <= 1.03
    assert difference.flux_ratio == pytest.approx(1, abs=0.01)


def test_injected_fluxes_come_back_to_a_percent(night, difference):
    found, error = flux_at(planes_of(difference), *night.transients.T)
    bright = found / error > 30
    assert bright.sum() >= 12
    assert np.median(found[bright] / night.flux[bright]) == pytest.approx(1, abs=0.01)
    pull = (found - night.flux) / error
    assert abs(np.median(pull[~bright])) < 4 * 1.25 / np.sqrt((~bright).sum())


def test_transients_are_found_where_they_are_and_pass_the_cuts(night, difference):
    planes = planes_of(difference)
    peaks = find_peaks(planes, night.new.epoch.fwhm, PeakParameters())
    table = measure_diagnostics(planes, peaks, night.new.epoch.fwhm)
    bad = apply_cuts(table, CutParameters())[0].any(axis=1)
    distance, which = cKDTree(np.c_[peaks["x"], peaks["y"]]).query(night.transients)
    column, row = np.rint(night.transients).astype(int).T
    _, sigma = flux_at(planes, *night.transients.T)
    expected = (night.flux / sigma > 8) & ~difference.mask[row, column]
    assert expected.sum() > 20
    assert np.mean(distance[expected] < 1.5) >= 0.97
    bright = (night.flux / sigma > 30) & (distance < 1.5)
    # A centroid on the sky is good to 0.6 FWHM over S/N along each axis; the median distance is 1.18 times that.
    off = distance[bright] * night.flux[bright] / sigma[bright] / night.new.epoch.fwhm
    assert np.median(off) < 1.4 * 1.18 * 0.6
    assert bad[which[expected & (distance < 1.5)]].mean() <= 0.05


def test_hardly_anything_else_is_found(night, difference):
    planes = planes_of(difference)
    peaks = find_peaks(planes, night.new.epoch.fwhm, PeakParameters())
    table = measure_diagnostics(planes, peaks, night.new.epoch.fwhm)
    bad = apply_cuts(table, CutParameters())[0].any(axis=1)
    distance, _ = cKDTree(night.transients).query(np.c_[peaks["x"], peaks["y"]])
    false = distance > night.new.epoch.fwhm
    assert false.sum() <= 4
    assert (false & ~bad).sum() <= 3
