"""How many candidates there would be: counts of every choice under the other filters in force, and histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db.models import Count, Q

from products.filters.measurements import SAID, MeasurementFilter
from products.selectors.candidates import labelled, with_alert, with_score
from products.selectors.moving import is_known

# Filters of a range: the field, and where its histogram begins and ends (S/N: logarithm to the base of ten).
RANGES = {"score": (0.0, 1.0), "snr": (0.5, 2.3), "magnitude": (14.0, 25.0)}
N_BINS = 24
MOST_IN_HISTOGRAM = 30_000  # rows; beyond it a page would wait for its histograms
Cell = dict[str, Any]


@dataclass(frozen=True)
class Histogram:
    """How a number is distributed among what passes the other filters."""

    name: str
    bars: list[tuple[float, float, float, bool]]  # x, y, height in a box of 100 × 26, and whether it passes
    start: float
    end: float
    is_log: bool  # start and end are logarithms to the base of ten
    low: float | None
    high: float | None
    alone: int  # rows of the choice above that pass this range, whatever the other ranges say


@dataclass
class Facets:
    """Counts for the page of candidates."""

    passing: int = 0
    without_ranges: int = 0
    shows: dict[str, int] = field(default_factory=dict)
    filters: list[tuple[str, int]] = field(default_factory=list)
    failed: list[tuple[str, int]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    alerts: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    histograms: list[Histogram] = field(default_factory=list)


def facets(chosen: MeasurementFilter) -> Facets:
    """The counts; one query for what the rows say, one each for labels, alerts, known bodies and histograms."""
    cells, wanted = _cells(chosen), chosen.wanted
    show, band, cut = wanted.get("show", "all"), wanted.get("filter"), wanted.get("failed")
    tests: dict[str, Callable[[Cell], bool]] = {
        "show": lambda cell: show == "all" or cell["is_bad"] == (show == "cut"),
        "filter": lambda cell: not band or cell["filter"] == band,
        "failed": lambda cell: not cut or cut in cell["failed_cuts"],
    }

    def under(*left_out: str) -> list[Cell]:
        return [cell for cell in cells if all(test(cell) for name, test in tests.items() if name not in left_out)]

    def number(some: list[Cell]) -> int:
        return sum(cell["n"] for cell in some)

    found = Facets(passing=number(under()))
    split = under("show", "failed")
    found.shows = {
        "kept": number([cell for cell in split if not cell["is_bad"]]),
        "cut": number([cell for cell in split if cell["is_bad"]]),
        "all": number(split),
    }
    bands, cuts = Counter(), Counter()
    for cell in under("filter"):
        bands[cell["filter"]] += cell["n"]
    for cell in under("failed", "show"):
        cuts.update(dict.fromkeys(cell["failed_cuts"], cell["n"]))
    found.filters, found.failed = sorted(bands.items()), cuts.most_common()
    found.labels, found.alerts = _labels(chosen, found.passing), _alerts(chosen, found.passing)
    found.known = _known(chosen, found.passing)
    used = [name for name in RANGES if wanted.keys() & _ends(name)]
    found.without_ranges = chosen.without(*_ends(*used)).count() if used else found.passing
    alone = {
        name: chosen.without(*_ends(*(other for other in used if other != name))).count() if len(used) > 1
        else found.passing if name in used else found.without_ranges
        for name in RANGES
    }  # fmt: skip
    if found.without_ranges <= MOST_IN_HISTOGRAM:
        found.histograms = _histograms(chosen, alone)
    return found


def _ends(*names: str) -> set[str]:
    """The filters of ranges."""
    return {f"{end}_{name}" for name in names for end in ("min", "max")}


def _cells(chosen: MeasurementFilter) -> list[Cell]:
    """Number of rows for every combination of being cut, filter, and failed cuts."""
    rows = chosen.without("show", "failed", "filter").order_by()
    # By set first: in this order the rows stand in the index, so nothing has to be sorted.
    columns = ("measurement_set", "is_bad", "filter", *(("failed_cuts",) if _cuts_matter(chosen) else ()))
    cells: Counter[tuple[Any, ...]] = Counter()
    for *key, n in rows.values(*columns).annotate(n=Count("pk")).values_list(*columns[1:], "n"):
        cells[tuple(tuple(part) if isinstance(part, list) else part for part in key)] += n
    return [{"failed_cuts": ()} | dict(zip(columns[1:], key)) | {"n": n} for key, n in cells.items()]


def _cuts_matter(chosen: MeasurementFilter) -> bool:
    """Whether anybody asks which cut failed: not where only kept ones are shown."""
    return chosen.wanted.get("show", "all") != "kept" or "failed" in chosen.wanted


def _labels(chosen: MeasurementFilter, passing: int) -> dict[str, int]:
    """What was said → number of rows, in the order of the choices."""
    rows, by, person = chosen.without("label"), chosen.wanted.get("by", ""), chosen.request.user
    words = [word for word, _ in SAID if word not in ("none", "any")]
    counts = {word: Count("pk", filter=Q(pk__in=labelled(word, by, person))) for word in words}
    found = rows.filter(pk__in=labelled("any", by, person)).aggregate(any=Count("pk"), **counts)
    total = rows.count() if "label" in chosen.wanted else passing
    return {word: {**found, "none": total - found["any"]}[word] for word, _ in SAID}


def _alerts(chosen: MeasurementFilter, passing: int) -> dict[str, int]:
    rows = chosen.without("alert")
    told = rows.filter(pk__in=with_alert(chosen.tag)).count()
    return {"yes": told, "no": (rows.count() if "alert" in chosen.wanted else passing) - told}


def _known(chosen: MeasurementFilter, passing: int) -> dict[str, int]:
    """Of known bodies of the Solar System, and others; nothing where none is known."""
    rows = chosen.without("known")
    known = rows.filter(is_known(chosen.tag)).count()
    total = rows.count() if "known" in chosen.wanted else passing
    return {"yes": known, "no": total - known} if known or "known" in chosen.wanted else {}


def _histograms(chosen: MeasurementFilter, alone: dict[str, int]) -> list[Histogram]:
    """Of every number, among what passes the other two ranges; the part that is cut away is marked."""
    rows = with_score(chosen.without(*_ends(*RANGES)), chosen.tag).order_by().values_list(*RANGES)
    values = np.array(list(rows), float).reshape(-1, len(RANGES))
    ends = {name: (chosen.wanted.get(f"min_{name}"), chosen.wanted.get(f"max_{name}")) for name in RANGES}
    inside = np.ones(values.shape, bool)
    for column, (low, high) in enumerate(ends.values()):
        inside[:, column] &= True if low is None else values[:, column] >= low
        inside[:, column] &= True if high is None else values[:, column] <= high
    found = []
    for column, (name, (start, end)) in enumerate(RANGES.items()):
        of_others = np.delete(inside, column, axis=1).all(axis=1)
        shown = values[of_others, column]
        shown = shown[np.isfinite(shown)]
        shown = np.log10(np.maximum(shown, 1e-3)) if name == "snr" else shown
        counts, edges = np.histogram(np.clip(shown, start, end), N_BINS, (start, end))
        heights = np.round(24 * np.sqrt(counts / max(counts.max(), 1)), 1)  # square root: a few are seen beside many
        middles = (edges[1:] + edges[:-1]) / 2
        middles = 10**middles if name == "snr" else middles
        low, high = ends[name]
        passes = (middles >= (-np.inf if low is None else low)) & (middles <= (np.inf if high is None else high))
        width = 100 / N_BINS
        bars = [
            (round(index * width, 2), round(26 - height, 1), round(height, 1), bool(passed))
            for index, (height, passed) in enumerate(zip(heights.tolist(), passes.tolist()))
        ]
        found.append(Histogram(name, bars, start, end, name == "snr", low, high, alone[name]))
    return found
