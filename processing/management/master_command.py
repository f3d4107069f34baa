"""What making calibrators shares: which exposures, which CCDs, how many at once, and what came of each."""

from __future__ import annotations

import datetime
import os
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from processing.calibration_frames import PER_FILTER, Group, Wish, groups
from processing.calibrations import Found, Making, focal_plane_levels, is_made, make
from processing.calibrator_choice import Kind
from processing.management.step_command import EngineCommand, exposure_named, number_of_processes
from processing.progress import bars
from processing.side_by_side import work_off
from products.dates import EARLIEST, LATEST, mjd_of
from products.forms import DateField
from products.models import CalibratorFile, Exposure

_SHOWN = 5  # different errors that are repeated at the end


def moment(text: str) -> float:
    """A date or an MJD as MJD."""
    try:
        return DateField().clean(text)
    except ValidationError as error:
        raise ArgumentTypeError(f"'{text}': {error.messages[0]}") from None


def night(text: str) -> float:
    """The MJD of the noon (UT) at which the night of a date begins."""
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is no date like 2026-11-23") from None
    return mjd_of(datetime.datetime.combine(day, datetime.time(12), datetime.UTC))


class MasterCommand(EngineCommand):
    """Calibrators of one kind from raw exposures."""

    kind: str
    made: str  # what is made, in a sentence
    teaching: str  # what to know, and examples

    @property
    def help(self) -> str:
        return f"""{self.made}

{self.teaching}

Exposures are named (files, or names of ingested ones) or found in the archive: --night, or --from and --to, with
--instrument, --filter and --flat-type. Nights run from noon to noon UT. Frames that do not fit are left out; each is
listed with its reason, here and on the page of the calibrator. What these exposures made before is found, not made
again: run the command once more to go on where it stopped. Every CCD is made by itself; one that fails fails alone."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        group = parser.add_argument_group("exposures")
        group.add_argument(
            "exposures", nargs="*", metavar="FILE|NAME", help="Raw files, or exposures that were ingested."
        )
        group.add_argument("--instrument", default="", help="Instrument; not needed for names of exposures.")
        group.add_argument("--night", type=night, metavar="DATE", help="Those of the night that begins on that date.")
        group.add_argument("--from", dest="start", type=moment, metavar="DATE", help="From this date or MJD on.")
        group.add_argument("--to", dest="end", type=moment, metavar="DATE", help="Before this date or MJD.")
        if self.kind in (*PER_FILTER, Kind.LINEARITY, Kind.BAD_PIXELS):
            group.add_argument("--filter", default="", metavar="NAME", help="Only those behind this filter [each].")
        if self.kind == Kind.FLAT:
            group.add_argument(
                "--flat-type", default="", choices=CalibratorFile.FlatType.values,
                help="Light of the flats; 'sky' takes exposures of the sky [dome and twilight, each].",
            )  # fmt: skip
        group.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs [all].")
        group = parser.add_argument_group("what is registered")
        group.add_argument(
            "--calibrator-set", default="general", choices=CalibratorFile.Set.values,
            help="'nightly' holds from the begin of its night until there is a later one [general].",
        )  # fmt: skip
        group.add_argument("--valid-from", type=moment, metavar="DATE", help="First date or MJD at which they hold.")
        group.add_argument("--valid-to", type=moment, metavar="DATE", help="Last date or MJD at which they hold.")
        group.add_argument(
            "--supersede", action="store_true",
            help="Older ones of the same kind, CCD, set, filter and light whose dates lie within are no more chosen.",
        )  # fmt: skip
        parser.add_argument(
            "--numprocs", type=number_of_processes, default=os.cpu_count() or 1,
            help="CCDs made at once [number of cores]; 0: in this process, one after the other.",
        )  # fmt: skip
        parser.add_argument("--json", metavar="FILE", help="Write a summary: figures, rejects and error of each CCD.")

    def work(self, options: dict[str, Any]) -> None:
        making = Making(
            self.kind, self.configuration(options), options["calibrator_set"],
            (options["valid_from"], options["valid_to"]), options["supersede"],
        )  # fmt: skip
        exposures = self._exposures(options, making)
        wanted = [name for name in options["sections"].split(",") if name]
        found = groups(self.kind, exposures, wanted, options.get("filter", ""))
        if not found:
            raise CommandError(f"no CCD of these exposures stands behind the filter '{options['filter']}'")
        failed, rows = [], []
        with bars() as tell:
            levels = self._levels(making, found, options["numprocs"], tell)
            tick = tell(f"{self.kind} of {len(exposures)} exposures", len(found))
            jobs = list(zip([making] * len(found), found, levels))
            for index, outcome in work_off(make, jobs, options["numprocs"]):
                group = found[index]
                tick(group.section)
                rows.append(self._said(group, outcome, failed))
        self.write_json(options["json"], rows)
        if failed:
            raise CommandError(_conclusion(failed, len(found)))

    def _exposures(self, options: dict[str, Any], making: Making) -> list[Exposure]:
        """Those that are named, or those of the archive."""
        by_date = options["night"] is not None or options["start"] is not None or options["end"] is not None
        if options["exposures"] and by_date:
            raise CommandError("name exposures, or choose them by date (--night, --from, --to), not both")
        if options["exposures"]:
            rows = [exposure_named(text, options, making.configuration) for text in options["exposures"]]
            return list({row.pk: row for row in rows}.values())
        if not by_date:
            raise CommandError("name the exposures, or choose them by date: --night DATE, or --from DATE --to DATE")
        if not options["instrument"]:
            raise CommandError("say of which instrument: --instrument NAME")
        start, end = options["start"] or EARLIEST, options["end"] or LATEST
        if options["night"] is not None:
            start, end = options["night"], options["night"] + 1
        wish = Wish(
            self.kind, options["instrument"], (start, end), options.get("filter", ""), options.get("flat_type", "")
        )
        return wish.exposures()

    def _levels(self, making: Making, found: list[Group], numprocs: int, tell: Any) -> list[tuple[float, ...] | None]:
        """Levels of the focal plane for each group: measured once for each exposure, whatever the number of CCDs."""
        if self.kind not in (Kind.FLAT, Kind.ILLUMINATION):
            return [()] * len(found)
        missing = [group for group in found if group.exposures and not is_made(making, group)]
        pairs = {(row.pk, group.band): (row, group) for group in missing for row in group.exposures}
        jobs = [(making, replace(group, exposures=(row,))) for row, group in pairs.values()]
        tick = tell("levels of the focal plane", len(jobs)) if jobs else None
        known: dict[Any, tuple[float, ...] | None] = {}
        for index, outcome in work_off(focal_plane_levels, jobs, numprocs):
            group = jobs[index][1]
            known[group.exposures[0].pk, group.band] = None if isinstance(outcome, Exception) else outcome
            tick(group.exposures[0].name)
        return [_joined([known.get((row.pk, group.band)) for row in group.exposures]) for group in found]

    def _said(self, group: Group, outcome: Found | Exception, failed: list[str]) -> dict[str, Any]:
        """Say what came of a CCD; its entry of the summary."""
        name = " ".join(filter(None, [group.section, group.band, group.light]))
        entry = {"section": group.section, "filter": group.band, "flat_type": group.light}
        if isinstance(outcome, Exception):
            line = " ".join(str(outcome).split())
            failed.append(line)
            self.stderr.write(f"{name}: {line}")
            return {**entry, "error": {"type": type(outcome).__name__, "message": line}}
        row = outcome.row
        file = row.image or row.data_file
        known = "" if outcome.is_new else "; it was there already"
        used = row.quality.get("frames", "?")
        self.stdout.write(f"{row}: {file.filepath}; {used} frames, {len(row.rejected)} left out{known}")
        for exposure, reason in row.rejected.items():
            self.stdout.write(f"    left out {exposure}: {reason}")
        figures = {key: value for key, value in row.quality.items() if key != "points"}
        return {**entry, "id": row.pk, "is_new": outcome.is_new, "quality": figures, "rejected": row.rejected}


def _joined(levels: list[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    """The levels of several exposures; None where one is not known, so that whoever needs it finds the reason."""
    if any(one is None for one in levels):
        return None
    return tuple(value for one in levels for value in one)


def _conclusion(failed: list[str], total: int) -> str:
    different = list(dict.fromkeys(failed))
    more = f"; and {len(different) - _SHOWN} other reasons" if len(different) > _SHOWN else ""
    return f"{len(failed)} of {total} calibrators were not made: {'; '.join(different[:_SHOWN])}{more}"
