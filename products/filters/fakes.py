"""What analyses of fakes can be searched by."""

from __future__ import annotations

from products.filters.base import ArchiveFilter, DateFilter, TextFilter
from products.models import FakeAnalysis, FakeSet
from products.selectors.fakes import EXPOSURE, IMAGE


class FakeAnalysisFilter(ArchiveFilter):
    """By what the image is that the fakes were put into."""

    exposure = TextFilter(f"{EXPOSURE}__name", lookup_expr="icontains", label="exposure")
    section = TextFilter(f"{IMAGE}__section", label="CCD")
    filter = TextFilter(f"{IMAGE}__filter", label="filter")
    instrument = TextFilter(f"{IMAGE}__instrument", label="instrument")
    start = DateFilter(f"{IMAGE}__mjd", lookup_expr="gte", label="from (date or MJD)")
    end = DateFilter(f"{IMAGE}__mjd", lookup_expr="lt", label="to", ends=True)

    class Meta:
        model = FakeAnalysis
        fields: list[str] = []


OF_SET = IMAGE.removeprefix("fake_set__")


class FakeSetFilter(ArchiveFilter):
    """By what the image is that the fakes were put into."""

    exposure = TextFilter(f"{OF_SET}__exposure__name", lookup_expr="icontains", label="exposure")
    section = TextFilter(f"{OF_SET}__section", label="CCD")
    filter = TextFilter(f"{OF_SET}__filter", label="filter")
    instrument = TextFilter(f"{OF_SET}__instrument", label="instrument")

    class Meta:
        model = FakeSet
        fields: list[str] = []
