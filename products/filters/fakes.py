"""What sets of fakes, and what became of them, can be searched by."""

from __future__ import annotations

import django_filters

from products.filters.base import ChoiceFilter
from products.filters.images import OfImageFilter
from products.models import FakeAnalysis, FakeKind, FakeLoss, FakeSet
from products.selectors.fakes import GROUPS, IMAGE


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


class EfficiencyFilter(FakeAnalysisFilter):
    """Which fakes are counted together."""

    kind = ChoiceFilter(choices=FakeKind.choices, method="leave", label="kind of fakes")
    by = ChoiceFilter(
        choices=[(name, name) for name in GROUPS],
        method="leave",
        label="one efficiency for each",
        empty_label="all together",
    )
    from_limit = django_filters.BooleanFilter(method="leave", label="magnitudes from the limit of each image")


class LostFilter(FakeAnalysisFilter):
    """Fakes that did not come through, by what they are and why."""

    kind = ChoiceFilter(choices=FakeKind.choices, method="leave", label="kind of fakes")
    reason = ChoiceFilter(choices=FakeLoss.choices, method="leave", label="why they were lost")
