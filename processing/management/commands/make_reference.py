"""References from calibrated images."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from processing import config
from processing.management.reference_options import add_refset, area_from, replace_older
from processing.management.step_command import EngineCommand
from processing.progress import bar
from processing.reference_choice import Choice, Chosen
from processing.references import make_reference
from products.services.tagging import refuse_unknown


class Command(EngineCommand):
    help = """Coadd calibrated images into references, one for each CCD and field.

example: manage.py make_reference --instrument demo --filter g --mjd-max 61300 --refset default
         manage.py make_reference --instrument ls4 --filter g --position "10:12:30 -05:10:00" --radius 0.5 --explain"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--instrument", required=True, metavar="A[,B]", help="Of the images; several are stacked.")
        parser.add_argument("--filter", required=True, help="Short name of the filter.")
        parser.add_argument(
            "--also-under", default="", metavar="TAG[,TAG]", help="Images under these tags too: of further instruments."
        )
        add_refset(parser)
        parser.add_argument(
            "--explain", action="store_true", help="Say of each image whether it is used; make nothing."
        )
        parser.add_argument("--json", metavar="FILE", help="Write what was used, left out and made.")
        place = parser.add_argument_group("where")
        place.add_argument("--position", metavar="RA DEC", help="Only images that show part of a disc around it.")
        place.add_argument("--radius", type=float, default=0.0, metavar="DEG", help="Of the disc, degrees [0].")
        place.add_argument("--target", default="", help="Only images of this place on the sky: as exposures name it.")
        place.add_argument("--covering", metavar="EXPOSURE[:CCD]", help="Only images that show part of this one.")
        place.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs.")
        which = parser.add_argument_group("which images")
        which.add_argument("--project", default="", metavar="A,B", help="Only of these projects.")
        which.add_argument("--mjd-min", type=float, default=0.0, help="Only exposures from this date on.")
        which.add_argument("--mjd-max", type=float, default=1e9, help="Only exposures up to this date.")
        which.add_argument("--max-seeing", type=float, metavar="ARCSEC", help="Only images this sharp.")
        which.add_argument(
            "--min-depth", type=float, metavar="MAG", help="Only images whose 5 sigma limit is this deep."
        )
        which.add_argument("--max-airmass", type=float, help="Only images up to this airmass.")
        which.add_argument("--max-background", type=float, metavar="ELECTRONS", help="Only images with a darker sky.")
        which.add_argument("--min-number", type=int, default=1, help="Fewer images make no reference [1].")
        which.add_argument("--max-number", type=int, default=30, help="The sharpest so many are used [30].")

    def work(self, options: dict[str, Any]) -> None:
        configuration = self.configuration(options)
        choice = self._choice(options, config.tag_of(configuration))
        chosen = choice.choose()
        if options["explain"]:
            self._explain(chosen)
            self.write_json(options["json"], _as_json(chosen, []))
            return
        groups, made = choice.groups_of(chosen), []
        with bar(f"references {choice.filter}", len(groups)) as tick:
            for name, rows in groups.items():
                row = make_reference(
                    rows, options["refset"], configuration, description=options["description"], chosen=chosen
                )
                made.append(row)
                tick(name)
                depth, out = row.zero_point.limiting_magnitude, len(chosen.left_out(near=rows[0].image))
                self.stdout.write(
                    f"{name}: {len(rows)} images, limit {depth:.2f} mag, {row.image.filepath}"
                    + (f"; {out} left out (--explain)" if out else "")
                )
        for why, number in chosen.reasons().items():
            self.stdout.write(f"left out: {number} images: {why}")
        replace_older(self, made, options)
        self.write_json(options["json"], _as_json(chosen, made))

    def _choice(self, options: dict[str, Any], tag: str) -> Choice:
        for name in ("min_number", "max_number"):
            if options[name] < 1:
                raise CommandError(f"--{name.replace('_', '-')} {options[name]}: at least one image makes a reference")
        for other in _names(options["also_under"]):
            refuse_unknown(other)
        if options["mjd_min"] > options["mjd_max"]:
            raise CommandError(f"--mjd-min {options['mjd_min']:g} is after --mjd-max {options['mjd_max']:g}")
        return Choice(
            instruments=_names(options["instrument"]),
            filter=options["filter"],
            tag=tag,
            more_tags=_names(options["also_under"]),
            area=area_from(options),
            sections=_names(options["sections"]),
            projects=_names(options["project"]),
            target=options["target"],
            mjd_range=(options["mjd_min"], options["mjd_max"]),
            **{name: options[name] for name in ("max_seeing", "min_depth", "max_airmass", "max_background")},
            **{name: options[name] for name in ("min_number", "max_number")},
        )

    def _explain(self, chosen: Chosen) -> None:
        """One line for each candidate."""
        for row in chosen.judged:
            seeing = f"{row.seeing:.2f} arcsec" if row.seeing else "-"
            depth = row.zero_point and row.zero_point.limiting_magnitude
            limit = f"{depth:.2f} mag" if depth else "-"
            verdict = f"left out: {row.reason}" if row.reason else f"used for {row.group}"
            self.stdout.write(f"{row.name}  {row.image.mjd:.3f}  {seeing}  {limit}  {verdict}")
        used = sum(not row.reason for row in chosen.judged)
        self.stdout.write(f"{used} of {len(chosen.judged)} images would be used, for {len(chosen.groups)} references")
        for band, number in sorted(chosen.other_filters.items()):
            self.stdout.write(f"not looked at: {number} images of filter {band}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _as_json(chosen: Chosen, made: list[Any]) -> dict[str, Any]:
    return {
        "references": [{"id": row.pk, "section": row.section, "file": row.image.filepath} for row in made],
        "images": [
            {
                "exposure": row.image.exposure.name,
                "section": row.image.section,
                "mjd": row.image.mjd,
                "seeing_arcsec": row.seeing,
                "limiting_magnitude": row.zero_point and row.zero_point.limiting_magnitude,
                "reference": row.group if not row.reason else None,
                "left_out_because": row.reason or None,
            }
            for row in chosen.judged
        ],
        "images_of_other_filters": chosen.other_filters,
    }
