"""Master frames: images that calibrate others."""

from __future__ import annotations

from products.models.images import Image, KindManager


class MasterFrame(Image):
    """A frame that calibrates others."""

    class Meta:
        proxy = True

    def file_stem(self) -> str:
        return f"calibrators/{self.instrument}/{self.kind}_{self.section}_{self.filter or 'any'}_{int(self.mjd)}"


class MasterBias(MasterFrame):
    """What the electronics add, ADU."""

    KIND = Image.Kind.BIAS
    objects = KindManager()

    class Meta:
        proxy = True


class MasterDark(MasterFrame):
    """Dark current, ADU per second."""

    KIND = Image.Kind.DARK
    objects = KindManager()

    class Meta:
        proxy = True


class MasterFlat(MasterFrame):
    """Relative response of the pixels; the median of the focal plane is 1."""

    KIND = Image.Kind.FLAT
    objects = KindManager()

    class Meta:
        proxy = True


class FringePattern(MasterFrame):
    """Interference of night-sky lines in the detector: mean 0, relative to the sky."""

    KIND = Image.Kind.FRINGE
    objects = KindManager()

    class Meta:
        proxy = True


class IlluminationCorrection(MasterFrame):
    """What a flat misses of the response to the sky, smooth; median 1."""

    KIND = Image.Kind.ILLUMINATION
    objects = KindManager()

    class Meta:
        proxy = True


class BadPixelMask(MasterFrame):
    """Defects of the detector, in the flags plane."""

    KIND = Image.Kind.BAD_PIXELS
    objects = KindManager()

    class Meta:
        proxy = True
