"""Lines as in MPCORB.DAT."""

from __future__ import annotations

import numpy as np

from processing.ephemerides.packed import DIGITS

HEAD = """MINOR PLANET CENTER ORBIT DATABASE (MPCORB)

Des'n     H     G   Epoch     M        Peri.      Node       Incl.       e            n           a        Reference
----------------------------------------------------------------------------------------------------------------------
"""
CERES = (
    "00001    3.33  0.15 K239D  60.07881   73.42179   80.25496   10.58688  0.0789126  0.21410680   2.7672543  0 "
    "E2023-F87  7283 123 1801-2023 0.65 M-v 30k MPCLINUX   0000      (1) Ceres              20230321"
)
ELEMENTS = ("mean_anomaly", "perihelion", "node", "inclination")


def line(number: int, orbit: np.void, epoch: str, *, name: str = "", observed: str = "20260901", u: str = "0") -> str:
    """The line of a numbered body, with the columns where the Minor Planet Center has them."""
    packed = f"{DIGITS[number // 10000]}{number % 10000:04d}"
    angles = "  ".join(f"{orbit[name]:9.5f}" for name in ELEMENTS)
    motion = 0.9856076686 / orbit["semi_major_axis"] ** 1.5
    found = f"{packed:<7} {orbit['h']:5.2f} {orbit['g']:5.2f} {epoch} {angles}  {orbit['eccentricity']:9.7f} "
    found += f"{motion:11.8f} {orbit['semi_major_axis']:11.7f}  {u} "
    found += f"{'MPO000000':<9}  1000  10 2000-2026 0.50 M-v 30k MPCLINUX   0000 "
    return f"{found:<166}{name or f'({number})':<28}{observed}"


assert len(CERES) == 202
