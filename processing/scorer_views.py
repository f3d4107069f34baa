"""The pages of the models that score: the card of each, with its curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from processing.algorithms.scoring import models
from processing.errors import BadModel
from products.views.plotting import Frame, frame, padded

WIDTH, HEIGHT = 470, 300
_MOST_MISSED = 0.2


@dataclass(frozen=True)
class Mark:
    """One point of a curve."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Curve:
    """A curve with its points, and a dashed line that it is held against."""

    frame: Frame
    x_title: str
    y_title: str
    line: str
    marks: Sequence[Mark]
    beside: str
    says: str


@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    """What is known of a model: where it comes from and what it did on nights that it had not seen."""
    if name not in (known := models.names()):
        raise Http404(f"There is no model '{name}'; there are: {', '.join(known) or 'none'}.")
    try:
        card = models.card_of(name)
    except BadModel as error:
        return render(request, "processing/model.html", {"name": name, "names": known, "error": error}, status=503)
    found = {
        "name": name,
        "names": known,
        "card": card,
        "nights": {what: len(part["nights"]) for what, part in card["data"].items()},
        "curves": [reliability_curve(card["reliability"]), missed_curve(card["missed_by_snr"])],
    }
    return render(request, "processing/model.html", found)


def reliability_curve(rows: Sequence[dict[str, Any]]) -> Curve:
    """The part that is real against the score; the diagonal is perfect."""
    drawn = frame((0, 1), (0, 1), width=WIDTH, height=HEIGHT)
    marks = [
        Mark(drawn.x.at(row["score"]), drawn.y.at(row["real"]), f"{row['real']:.3f} of {row['candidates']}")
        for row in rows
    ]
    diagonal = f"M{drawn.x.at(0)} {drawn.y.at(0)}L{drawn.x.at(1)} {drawn.y.at(1)}"
    says = "part that is real against the score, which should be on the diagonal"
    return Curve(drawn, "score", "part that is real", _line(marks), marks, diagonal, says)


def missed_curve(rows: Sequence[dict[str, Any]]) -> Curve:
    """The missed part in bins of S/N; dashed: 1 %."""
    most = max([_MOST_MISSED, *(row["missed"] for row in rows)])
    middles = [math.log10(math.sqrt(row["from"] * min(row["to"], 2 * row["from"]))) for row in rows]
    drawn = frame(padded(middles or [0.0]), (0, most), width=WIDTH, height=HEIGHT)
    marks = [
        Mark(drawn.x.at(middle), drawn.y.at(row["missed"]), f"{row['missed']:.2%} of {row['real']}, {_range(row)}")
        for middle, row in zip(middles, rows)
    ]
    limit = f"M{drawn.left} {drawn.y.at(0.01)}H{drawn.right}"
    return Curve(
        drawn, "log₁₀ S/N", "missed", _line(marks), marks, limit, "missed part of the real ones, faint to bright"
    )


def _line(marks: Sequence[Mark]) -> str:
    return "M" + "L".join(f"{mark.x} {mark.y}" for mark in marks) if marks else ""


def _range(row: dict[str, Any]) -> str:
    return f"S/N {row['from']:g}–{row['to']:g}" if row["to"] < 1e6 else f"S/N above {row['from']:g}"
