"""What sets of fakes, and what became of them, can be searched by."""

from __future__ import annotations

from products.filters.images import OfImageFilter
from products.models import FakeAnalysis, FakeSet
from products.selectors.fakes import IMAGE


class FakeSetFilter(OfImageFilter):
    """By what the image is that the fakes were put into."""

    to_image = IMAGE.removeprefix("fake_set__")
    LOOKUPS = OfImageFilter.LOOKUPS | {"exposure": "__exposure__name__icontains"}

    class Meta:
        model = FakeSet
        fields: list[str] = []


class FakeAnalysisFilter(FakeSetFilter):
    """By what the image is that the fakes were put into."""

    to_image = IMAGE

    class Meta:
        model = FakeAnalysis
        fields: list[str] = []
