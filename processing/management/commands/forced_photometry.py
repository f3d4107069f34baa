"""The flux at a position or of an object in every difference image that covers it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from processing import config
from processing.forced import Found, Wanted, measure, step_of
from processing.management.reference_options import position_of
from processing.management.step_command import EngineCommand
from processing.progress import bars
from products import exporting
from products.forms import DateField
from products.models import ForcedFlux, Object
from products.selectors.forced import as_table

HEAD = f"{'MJD':>12}  {'filter':6}  {'AB mag':>14}  {'flux (μJy)':>21}  {'S/N':>6}  exposure and CCD"


class Command(EngineCommand):
    help = """Measure the PSF flux at a position, or of an object, in every difference image that covers it.

examples:
  manage.py forced_photometry --object 2026abc
  manage.py forced_photometry --ra 10:12:30 --dec=-05:10:00 --tag deep --from 2026-11-01 --output fluxes.ecsv

What was measured before is shown and not measured again. `>` is an upper limit of 5σ; `!` marks fluxes with unusable
pixels under the core of the PSF. An image that cannot be read gets a line, the others go on; the exit status is 0 only
where every image could be read."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--object", metavar="NAME", help="Where this object is.")
        parser.add_argument("--ra", help="Right ascension: degrees, or hours as 10:12:30.")
        parser.add_argument("--dec", help="Declination: degrees, or as -05:10:00.")
        parser.add_argument(
            "--tag", metavar="TAG", dest="provenance_tag", help="The same as --provenance-tag: images of this tag."
        )
        parser.add_argument("--from", metavar="DATE", dest="start", default="", help="Images from this date or MJD on.")
        parser.add_argument("--to", metavar="DATE", dest="end", default="", help="Images up to this date or MJD.")
        parser.add_argument(
            "--output", metavar="FILE", help=f"Write a table: {', '.join('x' + one for one in exporting.FORMATS)}."
        )

    def work(self, options: dict[str, Any]) -> None:
        place, dates = _place(options), {name: _date(options[name], name == "end") for name in ("start", "end")}
        if options["output"]:
            _refuse_output(Path(options["output"]))
        configuration = self.configuration(options)
        step = step_of(configuration)
        wanted = Wanted.of(place, config.tag_of(configuration), step, **dates)
        with bars() as tell:
            found = measure(wanted, step, tell)
        self._show(found)
        if options["output"]:
            table = as_table(found.rows)
            table.meta = {"ra": wanted.ra, "dec": wanted.dec, "tag": wanted.tag.name}
            exporting.write(table, Path(options["output"]))
            self.stdout.write(f"{len(table)} fluxes written to {options['output']}")
        if found.failures:
            raise CommandError(f"{len(found.failures)} of {len(found.keys)} images could not be used")

    def _show(self, found: Found) -> None:
        """A line for each flux and each image that failed."""
        if found.rows:
            self.stdout.write(HEAD)
        for row in found.rows:
            self.stdout.write(line_of(row))
        for one in found.failures:
            self.stdout.write(f"{one['exposure']} {one['section']}: {one['message']}")
        self.stdout.write(f"{len(found.rows)} fluxes of {len(found.keys)} images, {found.new} of them new")


def line_of(row: ForcedFlux) -> str:
    """One line of the table."""
    if row.flux_error <= 0:
        magnitude = "-"
    elif row.is_limit:
        magnitude = f"> {row.limiting_magnitude:.2f}"
    else:
        magnitude = f"{row.magnitude:.2f} ± {row.magnitude_error:.2f}"
    flux = f"{row.flux_ujy:.2f} ± {row.flux_error_ujy:.2f}"
    where = f"{row.exposure_name} {row.image.section}"
    bad = f"  ! {row.pixel_flags.label}" if row.is_bad else ""
    return f"{row.mjd:12.5f}  {row.filter:6}  {magnitude:>14}  {flux:>21}  {row.snr:6.1f}  {where}{bad}"


def _place(options: dict[str, Any]) -> Object | tuple[float, float]:
    name, ra, dec = (options[key] for key in ("object", "ra", "dec"))
    if bool(name) == bool(ra or dec) or bool(ra) != bool(dec):
        raise CommandError("say where: --object NAME, or both --ra and --dec")
    if not name:
        return position_of(f"{ra} {dec}")
    if thing := Object.objects.filter(name=name).first():
        return thing
    raise CommandError(f"there is no object called {name}; the page /objects/ lists them")


def _date(text: str, ends: bool) -> float | None:
    try:
        return DateField(ends=ends).clean(text)
    except ValidationError as error:
        raise CommandError(f"--{'to' if ends else 'from'} {text}: {error.messages[0]}") from error


def _refuse_output(path: Path) -> None:
    try:
        exporting.format_of(path)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not path.parent.is_dir():
        raise CommandError(f"{path} cannot be written: name a file in a folder that exists")
