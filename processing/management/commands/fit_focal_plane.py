"""Fit where the CCDs of an instrument lie, from exposures with astrometric solutions."""

from __future__ import annotations

import datetime
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from processing import config
from processing.errors import BadInput
from processing.instruments.base import Instrument
from processing.instruments.distortion_tables import LearntDistortion, write_distortions
from processing.instruments.focal_plane import Place, focal_plane, places_in, sources_in, write_places
from processing.instruments.focal_plane_fit import FocalPlaneFit, fit_focal_plane
from processing.instruments.section_tables import own_path
from processing.management.step_command import EngineCommand, ingested_exposure
from processing.solved_ccds import learnt_distortions, solved_ccds
from products.selectors.tags import DEFAULT

SHOWN_ERRORS = 20  # exposures


class Command(EngineCommand):
    help = """Fit offset, rotation and scale of every CCD around the boresight, from exposures whose CCDs were solved.

  manage.py process_exposure night/*.fits.fz --instrument ls4 --through-step astrocal
  manage.py fit_focal_plane --instrument ls4                 look at the fit
  manage.py fit_focal_plane --instrument ls4 --write         use it from now on, for exposures that are read then
  manage.py fit_focal_plane --instrument ls4 --write-distortion    learn the distortion of each CCD too

The pointing error of each exposure is fitted with them; their median is taken for the truth. Solutions far from the
others have no say. Exposures are names or ids; without one, all that have solutions under the tag are taken. What is
written goes before the table that comes with the code, CCD by CCD; CCDs without a solution keep the place they had."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("exposures", nargs="*", help="Names or ids of ingested exposures; all if not given.")
        parser.add_argument("--instrument", required=True, help="Whose focal plane it is, e.g. ls4.")
        parser.add_argument(
            "--write",
            nargs="?",
            const="",
            metavar="FILE",
            help="Write the table; without a name, where the instrument reads it: instruments/ in the data folder.",
        )

        parser.add_argument(
            "--write-distortion",
            nargs="?",
            const="",
            metavar="FILE",
            help="Learn the distortion of each CCD too and write it; without a name, where it is read (see --write).",
        )

    def work(self, options: dict[str, Any]) -> None:
        instrument = Instrument.member(options["instrument"]).name
        tag = config.tag_of(self.configuration(options)) or DEFAULT
        exposures = [ingested_exposure(text) for text in options["exposures"]]
        before = focal_plane(instrument)
        fit = fit_focal_plane(solved_ccds(instrument, exposures, tag))
        console = Console(file=self.stdout, width=None if self.stdout.isatty() else 110)
        console.print(_places(fit, before))
        console.print(_pointing(fit))
        if unsolved := sorted(set(before) - set(fit.places)):
            self.stdout.write(f"without a solution: {', '.join(unsolved)}")
        learnt = {}
        if options["write_distortion"] is not None and not (learnt := learnt_distortions(instrument, exposures, tag)):
            raise BadInput(what="distortion", reason=f"no solution of many stars under the tag {tag} has one")
        if options["write"] is not None:
            path = Path(options["write"]) if options["write"] else own_path(instrument, "focal_plane")
            source = f"fitted to {len(fit.pointing)} exposures under the tag {tag}, {datetime.date.today()}"
            _write(path, instrument, fit, source)
            self.stdout.write(f"{len(fit.places)} places written to {path}")
        if options["write_distortion"] is not None:
            console.print(_distortions(learnt))
            text = options["write_distortion"]
            path = Path(text) if text else own_path(instrument, "distortion")
            source = f"learnt from {len(fit.pointing)} exposures under the tag {tag}, {datetime.date.today()}"
            write_distortions(path, instrument, learnt, source)
            self.stdout.write(f"distortion of {len(learnt)} CCDs written to {path}")


def _write(path: Path, instrument: str, fit: FocalPlaneFit, source: str) -> None:
    """Write the fitted places; rows of other CCDs that the file has already stay."""
    places = {**places_in(path), **{name: found.place for name, found in fit.places.items()}}
    write_places(path, instrument, places, {**dict.fromkeys(places, source), **_kept(path, fit)})


def _kept(path: Path, fit: FocalPlaneFit) -> dict[str, str]:
    return {name: source for name, source in sources_in(path).items() if name not in fit.places}


def _places(fit: FocalPlaneFit, before: dict[str, Place]) -> Table:
    """The fitted places, how well they are known, and how far they are from those in use."""
    table = Table(title=f"Places of {len(fit.places)} CCDs from {len(fit.pointing)} exposures")
    table.add_column("CCD")
    for title in (
        "solutions", "left out", "ξ (°)", "η (°)", "rotation (°)", "scale (″/px)", "rms (″)", "moved (″)",
    ):  # fmt: skip
        table.add_column(title, justify="right")
    for name, found in fit.places.items():
        at, old = found.place, before.get(name)
        moved = "new" if old is None else f"{3600 * np.hypot(at.xi - old.xi, at.eta - old.eta):.1f}"
        numbers = (f"{at.xi:.5f}", f"{at.eta:.5f}", f"{at.rotation:.4f}", f"{at.scale:.5f}")
        rms = f"{found.rms:.2f}" if found.count - found.rejected > 1 else "–"
        table.add_row(name, str(found.count), str(found.rejected), *numbers, rms, moved)
    return table


def _distortions(learnt: dict[str, LearntDistortion]) -> Table:
    """What was learnt of the distortion of each CCD."""
    table = Table(title=f"Distortion of {len(learnt)} CCDs")
    table.add_column("CCD")
    for title in ("solutions", "left out", "largest (px)", "scatter (px)"):
        table.add_column(title, justify="right")
    for name, one in sorted(learnt.items()):
        scatter = "–" if np.isnan(one.scatter) else f"{one.scatter:.3f}"
        table.add_row(name, str(one.count), str(one.rejected), f"{one.largest:.2f}", scatter)
    return table


def _pointing(fit: FocalPlaneFit) -> Table:
    """The largest pointing errors."""
    table = Table(title="Where the telescope looked, from where headers say: the largest errors")
    table.add_column("exposure")
    for title in ("east (″)", "north (″)", "turned (°)"):
        table.add_column(title, justify="right")
    rows = sorted(fit.pointing.items(), key=lambda row: -np.hypot(row[1].east, row[1].north))
    for name, error in rows[:SHOWN_ERRORS]:
        table.add_row(name, f"{error.east:.1f}", f"{error.north:.1f}", f"{error.rotation:.4f}")
    return table
