"""A simulated CCD of a real camera: what its amplifiers, its silicon and the optics before it do to the light.

What is drawn here stays with the CCD; `simulation_readout` exposes it and reads it out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from processing.algorithms.overscan import Amplifier, Slices, trimmed_shape
from processing.algorithms.simulation_detector import dust_shadows
from processing.algorithms.simulation_response import fringe_pattern, glow, screen_error, vignetting
from processing.parameters import Parameters, param

LINEARITY = np.dtype([("amplifier", "U8"), ("adu", "f4"), ("linear_adu", "f4")])
CROSSTALK = np.dtype(
    [
        ("amplifier", "U8"),  # that receives the ghost
        ("source_section", "U20"),
        ("source_amplifier", "U8"),
        ("coefficient", "f8"),
        ("error", "f8"),
    ]
)
_TABLE_ROWS = 65  # of a linearity table, an amplifier


class CcdParameters(Parameters):
    """What the CCDs of a camera are like; scatters are drawn for each CCD and amplifier."""

    bias_level: float = param(1200.0, ge=100, unit="ADU", help="Level without light.")
    bias_scatter: float = param(60.0, ge=0, unit="ADU", help="Scatter of the level from amplifier to amplifier.")
    column_structure: float = param(1.5, ge=0, unit="ADU", help="Fixed scatter of the bias from column to column.")
    bias_gradient: float = param(6.0, ge=0, unit="ADU", help="Fixed rise of the bias towards the rows read first.")
    drift: float = param(2.0, ge=0, unit="ADU", help="Scatter of the level, of its slope and of its wave per frame.")
    jump: float = param(8.0, ge=0, unit="ADU", help="Size of the jump of the level at the jump rows of amplifiers.")
    gain_error: float = param(0.01, ge=0, lt=0.2, help="By what part the true gains differ from those in headers.")
    overfull: float = param(1.02, ge=1, le=1.2, help="Full well, as read, over the saturation of the header.")
    nonlinearity: float = param(0.025, ge=0, le=0.1, help="Largest deficit of an amplifier at full well.")
    crosstalk: float = param(6e-4, ge=0, lt=0.1, help="Largest coefficient between amplifiers of a CCD.")
    dark: float = param(0.004, ge=0, unit="electron/s", help="Dark current of every pixel.")
    glow: float = param(0.02, ge=0, unit="electron/s", help="Glow of the amplifiers in the corners.")
    hot_pixels: float = param(40.0, ge=0, unit="1/Mpx", help="Pixels with a large dark current.")
    hot_rate: float = param(15.0, ge=0, unit="electron/s", help="Typical dark current of a hot pixel.")
    dead_pixels: float = param(40.0, ge=0, unit="1/Mpx", help="Pixels that see almost no light.")
    bad_columns: float = param(1.5, ge=0, unit="1/1000 columns", help="Columns that lose their light from some row on.")
    pixel_scatter: float = param(0.008, ge=0, lt=0.2, help="Scatter of the response from pixel to pixel.")
    dust: float = param(4.0, ge=0, unit="1/Mpx", help="Out-of-focus dust rings.")
    vignetting: float = param(0.15, ge=0, lt=1, help="Loss of light at the edge of the field.")
    screen_error: float = param(0.03, ge=0, lt=0.5, help="How unevenly the flat screen is lit over the field.")
    fringes: float = param(0.0, ge=0, lt=0.5, help="Amplitude of the fringes, relative to the sky.")
    fringe_period: float = param(70.0, gt=4, unit="px", help="Typical distance of the fringes.")
    cosmic_rays: float = param(0.5, ge=0, unit="1/Mpx/s", help="Cosmic rays that hit a CCD.")


@dataclass(frozen=True)
class Layout:
    """Where the pixels of a CCD stand in the array that is read; amplifiers lie side by side."""

    shape: tuple[int, int]  # (rows, columns) of the raw array
    amplifiers: tuple[Amplifier, ...]  # gain, read noise and saturation as the headers say
    areas: tuple[Slices, ...]  # all that each amplifier reads: prescan, data, overscan

    @property
    def trimmed(self) -> tuple[int, int]:
        """(ny, nx) of the image."""
        return trimmed_shape(self.amplifiers)


@dataclass(frozen=True)
class Place:
    """Where a CCD is in the field: what is uneven over the field does not begin anew with each CCD."""

    origin: tuple[float, float]  # px, (x, y) of the first pixel of the trimmed image from the optical axis
    radius: float  # px, of the field


@dataclass(frozen=True)
class Electronics:
    """What one amplifier truly is."""

    gain: float  # electrons per ADU at low light
    level: float  # ADU without light
    linear: float  # a, b of: measured = x (1 − a x / full − b (x / full)²), ADU above the level
    quadratic: float
    full: float  # ADU above the level at full well, if it were linear
    jumps: tuple[float, ...]  # ADU, at the amplifier's jump rows

    def measured(self, adu: np.ndarray) -> np.ndarray:
        """What is measured of linear ADU above the level; beyond full well as at full well."""
        part = np.clip(adu / np.float32(self.full), -1, 1)
        return adu * (1 - np.float32(self.linear) * part - np.float32(self.quadratic) * part * part)


@dataclass(frozen=True)
class Ghost:
    """Crosstalk: what an amplifier receives of what another one reads at the same time."""

    victim: str
    source: str
    coefficient: float
    section: str = ""  # of the source; empty: this CCD


@dataclass(frozen=True)
class Ccd:
    """One CCD behind one filter. Planes are of the trimmed image (ny, nx)."""

    parameters: CcdParameters
    layout: Layout
    electronics: tuple[Electronics, ...]  # of the amplifiers, in their order
    bias: np.ndarray  # float32, ADU: by what the bias of the data differs from its overscan
    dark: np.ndarray  # float32, electrons per second
    response: np.ndarray  # float32, to light from the sky; its median is 1
    screen: np.ndarray  # float32, light of the flat screen over that of an even sky
    fringe: np.ndarray  # float32, relative to the sky; its mean is 0
    throughput: float  # median of the response before it was brought to 1
    hot: np.ndarray  # bool
    dead: np.ndarray  # bool
    bad_columns: np.ndarray  # bool
    ghosts: tuple[Ghost, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the trimmed image."""
        return self.response.shape

    @property
    def defects(self) -> np.ndarray:
        """(ny, nx) bool: hot, dead or in a bad column."""
        return self.hot | self.dead | self.bad_columns

    def plane(self, values: Sequence[float]) -> np.ndarray:
        """One value for each amplifier as a plane (ny, nx) float32."""
        found = np.zeros(self.shape, np.float32)
        for amplifier, value in zip(self.layout.amplifiers, values, strict=True):
            found[amplifier.target] = value
        return found

    @property
    def full_well(self) -> np.ndarray:
        """(nx,) float32, electrons that a pixel of each column holds."""
        return self.plane([found.full * found.gain for found in self.electronics])[0]

    def linearity_table(self) -> np.ndarray:
        """What was measured and what is linear, dtype LINEARITY, from 0 to full well for each amplifier."""
        tables = []
        for amplifier, found in zip(self.layout.amplifiers, self.electronics):
            table = np.zeros(_TABLE_ROWS, LINEARITY)
            table["amplifier"] = amplifier.name
            table["linear_adu"] = np.linspace(0, found.full, _TABLE_ROWS)
            table["adu"] = found.measured(table["linear_adu"])
            tables.append(table)
        return np.concatenate(tables)

    def crosstalk_table(self) -> np.ndarray:
        """The ghosts that reach this CCD, dtype CROSSTALK."""
        table = np.zeros(len(self.ghosts), CROSSTALK)
        for row, ghost in zip(table, self.ghosts):
            row["amplifier"], row["source_amplifier"] = ghost.victim, ghost.source
            row["source_section"], row["coefficient"] = ghost.section, ghost.coefficient
        return table


def make_ccd(
    layout: Layout,
    parameters: CcdParameters | None = None,
    *,
    seed: int,
    number: int = 1,
    band: str = "r",
    place: Place | None = None,
) -> Ccd:
    """Make the CCD `number` of the camera `seed`, the same ever after; illumination and fringes depend on the band.

    Without a `place` the CCD fills the field.
    """
    p, shape = parameters or CcdParameters(), layout.trimmed
    ny, nx = shape
    place = place or Place((-nx / 2, -ny / 2), float(np.hypot(ny, nx) / 2))
    silicon = np.random.default_rng([seed, number, 1])
    color = zlib.crc32(band.encode())
    response = silicon.normal(1, p.pixel_scatter, shape).astype(np.float32)
    response *= dust_shadows(shape, round(p.dust * response.size / 1e6), silicon).astype(np.float32)
    response *= vignetting(shape, place.origin, place.radius, p.vignetting)
    hot, dead, bad_columns = _defects(layout, p, silicon)
    dark = glow(layout, p.dark, p.glow)
    dark[hot] += (p.hot_rate * silicon.lognormal(0, 0.8, int(hot.sum()))).astype(np.float32)
    throughput = float(np.median(response))
    response /= np.float32(throughput)
    response[dead] *= np.float32(0.02)
    response[bad_columns] *= np.float32(0.03)
    fringe_rng = np.random.default_rng([seed, number, 2, color])
    ccd = Ccd(
        parameters=p,
        layout=layout,
        electronics=_electronics(layout, p, np.random.default_rng([seed, number, 3])),
        bias=_bias(layout, p, np.random.default_rng([seed, number, 4])),
        dark=dark,
        response=response,
        screen=screen_error(
            shape, place.origin, place.radius, p.screen_error, np.random.default_rng([seed, 0, 5, color])
        ),
        fringe=fringe_pattern(shape, p.fringes, p.fringe_period, fringe_rng),
        throughput=throughput,
        hot=hot,
        dead=dead,
        bad_columns=bad_columns,
    )
    return replace(ccd, ghosts=_ghosts(layout, p, np.random.default_rng([seed, number, 6])))


def side_by_side(
    shape: tuple[int, int],
    *,
    prescan: int = 8,
    overscan: int = 32,
    jumps: tuple[int, ...] = (),
    gains: tuple[float, ...] = (1.9, 2.1),
) -> Layout:
    """A layout of amplifiers side by side that read towards the outer edges, for a trimmed image (ny, nx).

    Raw columns of the left half: prescan, data, overscan; of the right half: overscan, data, prescan.
    """
    ny, nx = shape
    width = nx // len(gains)
    each = prescan + width + overscan
    amplifiers, areas = [], []
    for number, gain in enumerate(gains):
        start, is_mirrored = number * each, number >= len(gains) / 2
        data = start + (overscan if is_mirrored else prescan)
        bias = start if is_mirrored else start + prescan + width
        rows = slice(0, ny)
        amplifiers.append(
            Amplifier(
                name="ABCDEFGH"[number],
                data=(rows, slice(data, data + width)),
                bias=(rows, slice(bias, bias + overscan)),
                target=(rows, slice(number * width, (number + 1) * width)),
                gain=gain,
                read_noise=6.0 + 0.8 * number,
                saturation=52_000.0,
                backwards=(False, is_mirrored),
                jumps=jumps,
            )
        )
        areas.append((rows, slice(start, start + each)))
    return Layout((ny, each * len(gains)), tuple(amplifiers), tuple(areas))


def _defects(layout: Layout, p: CcdParameters, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ny, nx = layout.trimmed
    masks = []
    for density in (p.hot_pixels, p.dead_pixels):
        mask = np.zeros((ny, nx), bool)
        number = round(density * ny * nx / 1e6)
        mask[rng.integers(0, ny, number), rng.integers(0, nx, number)] = True
        masks.append(mask)
    columns = np.zeros((ny, nx), bool)
    for column in rng.integers(4, nx - 4, round(p.bad_columns * nx / 1000)):
        start = int(rng.uniform(0.1, 0.7) * ny)
        # Charge is stopped at a trap, so what is read later than the trap is lost.
        is_backwards = next(a.backwards[0] for a in layout.amplifiers if a.target[1].start <= column < a.target[1].stop)
        columns[slice(0, ny - start) if is_backwards else slice(start, ny), column] = True
    return masks[0], masks[1], columns


def _electronics(layout: Layout, p: CcdParameters, rng: np.random.Generator) -> tuple[Electronics, ...]:
    found = []
    for number, amplifier in enumerate(layout.amplifiers):
        level = p.bias_level + rng.normal(0, p.bias_scatter)
        deficit, share = p.nonlinearity * rng.uniform(0.5, 1.0), rng.uniform(0.3, 0.7)
        gain = amplifier.gain * (1 + p.gain_error * rng.uniform(0.6, 1.0) * (-1) ** number)
        full = (p.overfull * amplifier.saturation - level) / (1 - deficit)
        jumps = tuple(float(p.jump * rng.uniform(0.6, 1.4) * rng.choice([-1, 1])) for _ in amplifier.jumps)
        found.append(Electronics(gain, level, deficit * share, deficit * (1 - share), full, jumps))
    return tuple(found)


def _bias(layout: Layout, p: CcdParameters, rng: np.random.Generator) -> np.ndarray:
    ny, nx = layout.trimmed
    bias = np.zeros((ny, nx), np.float32)
    columns = rng.normal(0, p.column_structure, nx)
    for amplifier in layout.amplifiers:
        rows = np.arange(ny) / ny
        rise = p.bias_gradient * rng.uniform(0.5, 1.5) * np.exp(-4 * (rows[::-1] if amplifier.backwards[0] else rows))
        bias[amplifier.target] = columns[amplifier.target[1]] + rise[amplifier.target[0], None]
    return bias


def _ghosts(layout: Layout, p: CcdParameters, rng: np.random.Generator) -> tuple[Ghost, ...]:
    names = [amplifier.name for amplifier in layout.amplifiers]
    pairs = [(victim, source) for victim in names for source in names if victim != source]
    return tuple(Ghost(*pair, float(p.crosstalk * rng.uniform(0.4, 1.0))) for pair in pairs if p.crosstalk)
