"""How far a calibrated CCD is from what is true of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from processing.algorithms.defects import relative_to_smooth
from processing.algorithms.masks import grow
from processing.algorithms.readout import linearity_lut
from processing.providers import Calibrators
from products.models import ScienceImage
from products.pixel_flags import PixelFlag

STRIP = 150  # px to either side of the border between amplifiers


def compare(image: ScienceImage, calibrators: Calibrators, planes: Path) -> dict[str, Any]:
    """Numbers by name; `planes` is the file with the true planes of the CCD."""
    section = image.section
    with fits.open(planes) as file:
        truth = {hdu.name: np.asarray(hdu.data).astype(np.float32) for hdu in file[1:]}
        bits = {card.keyword.removeprefix("BIT ").lower(): card.value for card in file["MASKS"].header.cards["BIT *"]}
    masks = {name: (truth["MASKS"].astype(int) & bit) != 0 for name, bit in bits.items()}
    with fits.open(planes.with_name(planes.name.replace(f".truth.{section}", ".truth"))) as file:
        tables = {name: Table(file[name].data) for name in ("SOURCES", "EFFECTS", "LINEARITY", "CROSSTALK")}
    tables = {
        name: table[np.char.strip(np.asarray(table["section"], str)) == section] for name, table in tables.items()
    }
    found = _Comparison(image, calibrators, truth, masks, tables)
    return {
        "sky, electrons": found.sky,
        "amplifier step, % of sky": 100 * found.step(),
        "pixel response left, % rms": 100 * found.response(),
        "linearity left, %": 100 * found.linearity(),
        "ghosts left, sky noise": found.ghosts(),
        "fringes left, % of them": 100 * found.fringes(),
        "pull on sky: std - 1": found.pull(found.empty) - 1,
        "pull on galaxies: std - 1": found.pull(found.of_galaxies()) - 1,
        **found.flags(),
    }


class _Comparison:
    def __init__(self, image, calibrators, truth, masks, tables) -> None:
        self.image, self.frames, self.truth, self.masks, self.tables = image, calibrators.frames, truth, masks, tables
        self.expected, self.sky = truth["EXPECTED"], float(np.median(truth["EXPECTED"]))
        self.noise = float(np.sqrt(np.median(truth["VARIANCE"])))
        defects = masks["hot"] | masks["dead"] | masks["bad_columns"]
        hits = (truth["TRAIL"] > 0.1 * self.noise) | (truth["RAYS"] > 0.5 * np.sqrt(truth["VARIANCE"]))
        self.touched = defects | hits | grow(masks["saturated"] | masks["bleed"], 3)
        self.clean = ~self.touched & ((image.flags & int(PixelFlag.UNUSABLE)) == 0)
        self.empty = self.clean & (self.expected < 1.02 * self.sky)
        # Gains of the header are not quite the true ones: one factor for the whole image, taken up by the zero point.
        self.factor = float(np.median(image.data[self.empty] / self.expected[self.empty]))
        self.left = image.data / self.factor - self.expected
        self.halves = slice(0, image.width // 2), slice(image.width // 2, image.width)

    def step(self) -> float:
        middle = self.image.width // 2
        sides = slice(middle - STRIP, middle), slice(middle, middle + STRIP)
        means = [self.left[:, side][self.empty[:, side]].mean(dtype=float) for side in sides]
        return (means[0] - means[1]) / self.sky

    def response(self) -> float:
        """Of single pixels: what of the true response is not in the frames that were divided by."""
        made = self.frames.flat if self.frames.illumination is None else self.frames.flat * self.frames.illumination
        ratio = np.where(self.clean, made / self.truth["RESPONSE"], np.nan)
        for columns in self.halves:  # the flat also takes up what the gains of the header are off
            ratio[:, columns] /= np.nanmedian(ratio[:, columns])
        ratio[~self.clean] = 1
        return float(relative_to_smooth(ratio.astype(np.float32))[self.clean].std())

    def linearity(self) -> float:
        """The largest error of the curves to 90 % of full well, low light being right."""
        worst = 0.0
        for row in self.tables["EFFECTS"]:
            name = str(row["amplifier"]).strip()
            true = self.tables["LINEARITY"]
            true = true[np.char.strip(np.asarray(true["amplifier"], str)) == name]
            top = 0.9 * (row["saturation"] - row["level"])
            adu = np.linspace(0.02 * top, top, 200)
            ratio = np.interp(adu, np.arange(65537), linearity_lut(self.frames.linearity, name))
            ratio /= np.interp(adu, true["adu"], true["linear_adu"])
            worst = max(worst, float(np.abs(ratio / ratio[:10].mean() - 1).max()))
        return worst

    def ghosts(self) -> float:
        """What is left of the ghost of the brightest source whose charge is known."""
        made = {
            (str(row["amplifier"]), str(row["source_amplifier"])): row["coefficient"] for row in self.frames.crosstalk
        }
        worst = 0.0
        for row in self.tables["CROSSTALK"]:
            pair = str(row["amplifier"]).strip(), str(row["source_amplifier"]).strip()
            source = next(one for one in self.tables["EFFECTS"] if str(one["amplifier"]).strip() == pair[1])
            if str(row["source_section"]).strip() not in ("", self.image.section):
                continue
            off = abs(made.get(pair, 0.0) - row["coefficient"]) * 0.95 * (source["saturation"] - source["level"])
            worst = max(worst, float(off * source["gain_header"]))
        return worst / self.noise

    def fringes(self) -> float:
        pattern = self.truth["FRINGE"]
        if not pattern.any():
            return 0.0
        f = relative_to_smooth(1 + pattern)
        left = relative_to_smooth(self.sky + np.where(self.empty, self.left, 0).astype(np.float32)) * self.sky
        return (
            float(abs(np.sum(f[self.empty] * left[self.empty], dtype=float) / np.sum(f[self.empty] ** 2, dtype=float)))
            / self.sky
        )

    def pull(self, where: np.ndarray) -> float:
        weight = self.image.weight[where] * self.factor**2
        return float((self.left[where] * np.sqrt(weight)).std(dtype=float))

    def of_galaxies(self) -> np.ndarray:
        """Clean pixels on galaxies that are well above the sky."""
        table = self.tables["SOURCES"]
        galaxies = table[np.char.strip(np.asarray(table["kind"], str)) == "galaxy"]
        near = np.zeros(self.expected.shape, bool)
        near[np.rint(galaxies["y"]).astype(int), np.rint(galaxies["x"]).astype(int)] = True
        return grow(near, 6) & self.clean & (self.expected > 1.1 * self.sky)

    @property
    def bright(self) -> np.ndarray:
        """Good pixels in which sources are well above the sky."""
        return (self.expected > 1.3 * self.sky) & ~self.touched

    def flags(self) -> dict[str, float]:
        flags = self.image.flags
        unusable = (flags & int(PixelFlag.UNUSABLE)) != 0
        lost = self.masks["saturated"] | self.masks["bleed"]
        full = (flags & int(PixelFlag.SATURATED | PixelFlag.BLEED)) != 0
        trail = self.masks["trail"]
        return {
            "saturated and bleed, px": int(lost.sum()),
            "saturated and bleed not flagged, %": 100 * float(np.mean(~full[lost])) if lost.any() else 0.0,
            "trail, px": int(trail.sum()),
            "trail not flagged, %": 100 * float(np.mean(~unusable[trail])) if trail.any() else 0.0,
            "good pixels flagged, %": 100 * float(np.mean(unusable & ~self.touched)),
            "good pixels of sources flagged, %": 100 * float(np.mean(unusable[self.bright])),
        }
