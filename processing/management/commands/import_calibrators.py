"""Calibration frames and tables that others made."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from functools import partial
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError

from processing.imported_calibrators import CLASSES, Terms, import_calibrators
from processing.instruments.supplied import TABLES
from processing.management.step_command import EngineCommand, instrument_from
from products.forms import DateField
from products.models import CalibratorFile


class Command(EngineCommand):
    help = """Keep calibration frames, masks and tables from outside, one a CCD, for the dates at which they hold.

Images are FITS: one file with an extension a CCD, or one file a CCD, trimmed or as raw files have them. Flats are the
response relative to the focal plane, fringe patterns have mean 0 and are relative to the sky, illumination corrections
have median 1, bias is in ADU and dark in ADU/s. The same files again make nothing twice. Preprocessing takes them with
--set preprocessing.calibrator_set=supplied.

examples:
  manage.py import_calibrators DECam_flats_g_*.fits --instrument decam --kind flat --flat-type dome --filter g
  manage.py import_calibrators linearity_table_v0.4.fits --instrument decam --kind linearity
  manage.py import_calibrators DECam_xtalk_20130606.txt --instrument decam --kind crosstalk --valid-from 2013-06-06
  manage.py import_calibrators DECam_Master_20140209v2_cd_*.fits --instrument decam --kind bad_pixels"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="FITS files; a text of crosstalk.")
        parser.add_argument("--instrument", required=True, help="Instrument that they calibrate.")
        parser.add_argument("--kind", required=True, choices=[*CLASSES, *TABLES], help="What they correct.")
        parser.add_argument(
            "--calibrator-set", default="supplied", choices=CalibratorFile.Set.values, help="[supplied]"
        )
        parser.add_argument("--flat-type", default="", choices=CalibratorFile.FlatType.values, help="Light of flats.")
        parser.add_argument("--filter", default="", help="Short name of the filter, where the files do not say it.")
        parser.add_argument("--valid-from", type=_first, metavar="DATE", help="First date or MJD (UTC) [any].")
        parser.add_argument("--valid-to", type=_last, metavar="DATE", help="Last date or MJD (UTC) [any].")
        parser.add_argument(
            "--supersede", action="store_true", help="Take the place of older ones whose dates lie within these."
        )
        parser.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs.")
        parser.add_argument(
            "--normalise",
            action="store_true",
            help="Divide flats and illumination corrections by their median over the CCDs that are given.",
        )

    def work(self, options: dict[str, Any]) -> None:
        terms = Terms(
            kind=options["kind"],
            calibrator_set=options["calibrator_set"],
            valid=(options["valid_from"], options["valid_to"]),
            filter=options["filter"],
            flat_type=options["flat_type"],
            normalise=options["normalise"],
            supersedes=options["supersede"],
            sections=tuple(name for name in options["sections"].split(",") if name),
        )
        instrument = instrument_from(options, self.configuration(options))
        rows = import_calibrators(options["files"], instrument, terms)
        for row in rows:
            self.stdout.write(f"{row}: {(row.image or row.data_file).filepath}")
        self.stdout.write(f"{len(rows)} CCDs have {rows[0].get_kind_display()} in the set {terms.calibrator_set}")


def _moment(text: str, *, ends: bool) -> float:
    """MJD (UTC) of a date, a time or an MJD."""
    try:
        return DateField(ends=ends).clean(text)
    except ValidationError as error:
        raise ArgumentTypeError(f"'{text}': {error.messages[0]}") from None


_first, _last = partial(_moment, ends=False), partial(_moment, ends=True)
