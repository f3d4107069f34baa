"""Subtraction: the new image minus the reference, with the statistic that detection works on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from processing.algorithms.background import object_mask, smooth_level
from processing.algorithms.inpainting import fill
from processing.algorithms.masks import bright_haloes, grow
from processing.algorithms.pairing import mutual_pairs
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.resampling import (
    MappedPSF,
    PixelMap,
    StampModel,
    pixel_map,
    warp,
    warp_flags,
    warp_valid,
    warp_variance,
)
from processing.algorithms.subtraction.base import Difference, Epoch, MatchedStars, SubtractionMethod
from processing.algorithms.variance import total_variance
from processing.errors import BadInput, NoOverlap, NotEnoughStars
from processing.gates import judge
from processing.parameters import Parameters, param
from processing.providers import ReferenceProducts, Untouched
from processing.step import Step
from processing.steps.flux_scale import FluxScale
from processing.steps.reference_mosaic import made_of_all, mosaic
from processing.subtraction_gates import SubtractionGates, excess, gates_of
from products.models import (
    PSF,
    Background,
    DifferenceImage,
    Reference,
    ScienceImage,
    SourceList,
    WarpedImage,
    WorldCoordinates,
    ZeroPoint,
)
from products.pixel_flags import PixelFlag

COMMON = (
    "exposure",
    "section",
    "instrument",
    "telescope",
    "project",
    "target",
    "filter",
    "mjd",
    "mjd_end",
    "exposure_time",
    "airmass",
)
BRIGHT = 5.0  # σ of a pixel of the reference: not sky
DECISIVE = ("score_std", "score_mean", "residual_ratio")  # figures that are kept of methods that were tried in vain
CHANGED = 1.0  # σ of a pixel, of smoothed light that is in one image only: not sky either
FIRST = Untouched()  # there was no subtraction before
GRID = ("width", "height", "pixel_scale", "radius", "corners", *ScienceImage.POSITION_FIELDS)


class SubtractionParameters(Parameters):
    method: SubtractionMethod = param("zogy", help="How the two PSFs are matched.")
    fallbacks: tuple[SubtractionMethod, ...] = param(
        ("alard_lupton", "sfft"), help="What is tried, in this order, where the gates refuse what `method` made."
    )
    gates: SubtractionGates = param(SubtractionGates(), help="Limits of a good difference.")
    min_overlap: float = param(0.5, ge=0, le=1, help="Smallest part of the new image with usable reference pixels.")
    saturation_growth: float = param(
        2.4, ge=0, unit="FWHM", help="Nothing is detected so close to saturated pixels, in FWHM of the broader image."
    )
    match_radius: float = param(2.0, gt=0, unit="px", help="Stars of both images are the same within this distance.")
    halo_threshold: float = param(
        0.6, gt=0, unit="sigma", help="Smoothed light, in pixel noise, down to which haloes and spikes are followed."
    )
    sky_box: int | None = param(
        256, ge=32, unit="px", help="Meshes in which the sky of the two images is made equal; None: it is left alone."
    )
    match_snr: float = param(30.0, gt=0, help="Stars with a smaller S/N do not tell flux ratio and registration.")


class Subtraction(Step):
    """Bring the reference to the grid of the new image, subtract it, and compute the detection statistic."""

    name = "subtraction"
    version = (1, 5, 0)
    parameters: SubtractionParameters

    def run(
        self,
        image: ScienceImage,
        sources: SourceList,
        psf: PSF,
        background: Background,
        world_coordinates: WorldCoordinates,
        zero_point: ZeroPoint,
        reference: Reference,
        made_of: ReferenceProducts,
        before: Untouched = FIRST,
    ) -> tuple[WarpedImage, DifferenceImage]:
        if made_of.image.filter != image.filter:
            reason = f"it is in {made_of.image.filter}, the new image in {image.filter}"
            raise BadInput(what="reference", reason=reason)
        for what, held in (("new image", psf), ("reference", made_of.psf)):
            if held.planes is None or not np.all(np.isfinite(held.planes)) or not np.any(held.planes):
                raise BadInput(what=f"PSF of the {what}", reason="it is missing or no numbers; extract the image again")
        parts = (made_of, *made_of.others)
        if made_of.others:
            made_of = mosaic(parts, image, world_coordinates, zero_point)
        mapping = pixel_map(world_coordinates.wcs, image.shape, made_of.world_coordinates.wcs, made_of.image.shape)
        scale = FluxScale(zero_point, made_of.zero_point, mapping)
        held = before.warped
        warped = (held.data, held.weight, held.flags) if held else self._warp(made_of, mapping, image.shape, scale)
        usable = float(np.mean(warped[1] > 0))
        if usable < self.parameters.min_overlap:
            raise NoOverlap(fraction=usable, needed=self.parameters.min_overlap)
        model = PSFModel.from_planes(psf.planes, psf.model_header)
        new, fitted = (
            one and _epoch(one.data - background.level, one, background, model, zero_point.zp)
            for one in (image, before.image)
        )
        new = replace(new, fitted=fitted)
        ref = self._reference_epoch(warped, made_of, mapping, scale)
        new, sky = self._same_sky(new, ref)
        stars = self._matched(sources, made_of.sources, world_coordinates, made_of, scale)
        found, figures, tried = self._best(new, ref, stars)
        common = {name: getattr(image, name) for name in (*COMMON, *GRID)}
        parents = {"zero_point": zero_point, "reference": reference, "wcs": world_coordinates.header}
        data, weight, flags = warped
        warped_image = WarpedImage(
            data=data, weight=weight, flags=flags, tiles=found.tiles.table[["y0", "y1", "x0", "x1"]],
            psf_stamps=_psf_by_tile(ref.psf, found.tiles.table), **common, **parents,
        )  # fmt: skip
        flags, mask = self._flags(image, flags, found, new, ref, background)
        difference = DifferenceImage(
            data=found.data,
            weight=np.divide(1, np.maximum(found.variance, 1e-12), out=np.zeros_like(found.variance), where=~mask),
            flags=flags,
            score=found.score,
            alpha=found.alpha,
            tiles=found.tiles.table,
            psf_stamps=found.tiles.psf,
            hit_stamps=found.tiles.hit,
            score_mean=found.quality["score_mean"],
            score_std=found.quality["score_std"],
            quality=figures | {"sky_offset": sky},
            fwhm=psf.fwhm_pixels * (image.pixel_scale or 0),
            background_noise=background.noise,
            **common,
            **parents,
        )
        self._warnings = tried + judge(difference, gates_of(found.quality, self.parameters.gates))
        return (made_of_all(warped_image, parts) if len(parts) > 1 else warped_image), difference

    def warnings(self) -> list[str]:
        return self._warnings

    def _best(
        self, new: Epoch, ref: Epoch, stars: MatchedStars | None
    ) -> tuple[Difference, dict[str, float | str], list[str]]:
        """The first difference that passes the gates, or the best of all; its figures, and what was wrong before.

        The figures of what was tried in vain are kept with the name of the method before theirs. Raises what the last
        method raised where none gave a difference.
        """
        best, merit, tried, figures, failure = None, np.inf, [], {}, None
        methods = self.parameters.method, *self.parameters.fallbacks
        for place, method in enumerate(methods):
            if method in methods[:place]:
                continue
            try:
                found = method(new, ref, stars)
            except NotEnoughStars as error:
                failure = error
                tried.append(f"{method.name}: {error}")
                continue
            gates = gates_of(found.quality, self.parameters.gates)
            if excess(gates) < merit:
                best, merit, name = found, excess(gates), method.name
            if merit <= 1:
                break
            tried += [f"{method.name}: {gate.reason}" for gate in gates if gate.reason]
            figures |= {f"{method.name}_{key}": round(float(found.quality[key]), 4) for key in DECISIVE}
        if best is None:
            raise failure
        if tried:
            tried.append(f"{name} was used")
        return best, {key: float(value) for key, value in best.quality.items()} | figures | {"method": name}, tried

    def _same_sky(self, new: Epoch, ref: Epoch) -> tuple[Epoch, float]:
        """The new image with the sky of the reference, and the median of what was taken away, electrons.

        Stars too faint to be told from the sky count to it, and more of them do in the shallower, less sharp image.
        """
        if self.parameters.sky_box is None:
            return new, 0.0
        broader = max(new.fwhm, ref.fwhm)
        noise, seen = float(np.mean(np.hypot(new.noise, ref.noise))), new.fitted or new
        difference = seen.data - ref.data
        unused = seen.mask | ref.mask
        changed = object_mask(difference, noise, unused, CHANGED, grow=0)
        changed |= object_mask(-difference, noise, unused, CHANGED, grow=0)
        unused |= grow(ref.data > BRIGHT * ref.noise, 2 * broader) | grow(changed, broader)
        level = smooth_level(difference, unused, self.parameters.sky_box, noise)
        fitted = new.fitted and replace(new.fitted, data=new.fitted.data - level)
        return replace(new, data=new.data - level, fitted=fitted), float(np.median(level[::8, ::8]))

    @staticmethod
    def _warp(
        made_of: ReferenceProducts, mapping: PixelMap, shape: tuple[int, int], scale: FluxScale
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = made_of.image
        flags = _with(image.flags, PixelFlag.ZERO_WEIGHT, image.weight <= 0)
        bad = (flags & int(PixelFlag.UNUSABLE)) != 0
        signal = fill(image.data - made_of.background.level, bad)
        variance = total_variance(image.weight, made_of.background.rms)
        moved = _with(warp_flags(flags, mapping, shape), PixelFlag.OUT_OF_BOUNDS, ~warp_valid(mapping, shape))
        data, spread = warp(signal, mapping, shape), warp_variance(variance, mapping, shape)
        factor = scale.plane(shape)
        data *= factor
        spread *= factor**2
        usable = ((moved & int(PixelFlag.UNUSABLE)) == 0) & (spread > 0)
        weight = np.divide(1, spread, out=np.zeros_like(spread), where=usable)
        return data, weight, moved

    @staticmethod
    def _reference_epoch(
        warped: tuple[np.ndarray, np.ndarray, np.ndarray],
        made_of: ReferenceProducts,
        mapping: PixelMap,
        scale: FluxScale,
    ) -> Epoch:
        data, weight, _ = warped
        mask = weight <= 0
        variance = np.divide(1, weight, out=np.zeros_like(weight), where=~mask)
        ny, nx = data.shape
        stretch = float(np.sqrt(np.abs(mapping.area((nx - 1) / 2, (ny - 1) / 2))))
        return Epoch(
            data=data,
            variance=variance,
            mask=mask,
            psf=MappedPSF(made_of.psf_model(), mapping),
            noise=made_of.noise * scale.at((nx - 1) / 2, (ny - 1) / 2),
            zero_point=scale.here.zp,
            fwhm=made_of.psf.fwhm_pixels / stretch,
        )

    def _matched(
        self,
        new: SourceList,
        ref: SourceList,
        world_coordinates: WorldCoordinates,
        made_of: ReferenceProducts,
        scale: FluxScale,
    ) -> MatchedStars | None:
        a, b = _bright(new.table, self.parameters.match_snr), _bright(ref.table, self.parameters.match_snr)
        if len(a) == 0 or len(b) == 0:
            return None
        ra, dec = made_of.world_coordinates.wcs.all_pix2world(b["x"], b["y"], 0)
        x, y = world_coordinates.wcs.all_world2pix(ra, dec, 0, quiet=True)
        good = np.isfinite(x) & np.isfinite(y)
        b, x, y = b[good], x[good], y[good]
        rows, chosen = mutual_pairs(np.c_[a["x"], a["y"]], np.c_[x, y], self.parameters.match_radius)
        a = a[rows]
        factor = scale.at(a["x"], a["y"])
        return MatchedStars(
            x=a["x"],
            y=a["y"],
            new_flux=a["flux_psf"],
            new_flux_err=a["flux_psf_err"],
            ref_flux=b["flux_psf"][chosen] * factor,
            ref_flux_err=b["flux_psf_err"][chosen] * factor,
            dx=a["x"] - x[chosen],
            dy=a["y"] - y[chosen],
        )

    def _flags(
        self,
        image: ScienceImage,
        warped_flags: np.ndarray,
        found: Difference,
        new: Epoch,
        ref: Epoch,
        background: Background,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flags of both images with the haloes of saturated stars, and where nothing may be detected."""
        flags = image.flags | warped_flags
        full = int(PixelFlag.SATURATED | PixelFlag.BLEED)
        saturated = (flags & full) != 0
        mask = found.mask | grow(saturated, self.parameters.saturation_growth * max(new.fwhm, ref.fwhm))
        halo = self._haloes(new, background.rms, (image.flags & full) != 0)
        halo |= self._haloes(ref, ref.noise, (warped_flags & full) != 0)
        if found.unsupported is not None:
            flags = _with(flags, PixelFlag.UNSUPPORTED, found.unsupported)
        return _with(_with(flags, PixelFlag.BRIGHT_HALO, halo), PixelFlag.ZERO_WEIGHT, mask), mask

    def _haloes(self, epoch: Epoch, noise: np.ndarray | float, saturated: np.ndarray) -> np.ndarray:
        if not saturated.any():
            return saturated
        light = object_mask(epoch.data, noise, epoch.mask, self.parameters.halo_threshold, grow=0)
        return bright_haloes(light, saturated)


def _epoch(signal: np.ndarray, image: ScienceImage, background: Background, model: PSFModel, zp: float) -> Epoch:
    mask = (image.weight <= 0) | ((image.flags & int(PixelFlag.UNUSABLE)) != 0)
    return Epoch(
        data=signal,
        variance=total_variance(image.weight, background.rms),
        mask=mask,
        psf=model,
        noise=float(background.noise),
        zero_point=zp,
        fwhm=float(model.fwhm),
    )


def _psf_by_tile(psf: StampModel, tiles: np.ndarray) -> np.ndarray:
    """The PSF in the middle of each tile, (n, k, k) float32."""
    stamps = [psf.stamp((t["x0"] + t["x1"] - 1) / 2, (t["y0"] + t["y1"] - 1) / 2) for t in tiles]
    half = min(len(stamp) // 2 for stamp in stamps)
    return np.stack([_middle(stamp, half) for stamp in stamps]).astype(np.float32)


def _middle(stamp: np.ndarray, half: int) -> np.ndarray:
    """The inner (2 half + 1)² pixels of a stamp, sum 1."""
    trim = len(stamp) // 2 - half
    inner = stamp[trim : len(stamp) - trim, trim : len(stamp) - trim]
    return inner / inner.sum()


def _with(flags: np.ndarray, flag: PixelFlag, where: np.ndarray) -> np.ndarray:
    """A copy of `flags` (ny, nx) uint16 with `flag` set as well `where` that is True."""
    return np.bitwise_or(flags, np.uint16(flag), out=flags.copy(), where=where)


def _bright(table: np.ndarray, snr: float) -> np.ndarray:
    good = table["is_star"] & ~table["is_masked"] & ~table["is_saturated"] & (table["flux_psf_err"] > 0)
    good &= table["flux_psf"] > snr * np.maximum(table["flux_psf_err"], 1e-9)
    return table[good]
