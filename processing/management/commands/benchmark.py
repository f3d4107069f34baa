"""Run a benchmark of the repository."""

from __future__ import annotations

import subprocess
import sys
from argparse import REMAINDER, ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

FOLDER = Path("tests") / "benchmarks"


class Command(BaseCommand):
    help = """Run a benchmark of the repository.

`manage.py benchmark ccd` times one large CCD from raw pixels to alerts, step by step; `manage.py benchmark claims` how
many exposures the conductor hands out in a second; `manage.py benchmark site` how fast pages and the REST API are;
`manage.py benchmark flats` what a master flat of one large CCD costs; `manage.py benchmark raw` what calibration
frames and preprocessing leave of a raw CCD's faults; `manage.py benchmark calibration` holds sources, PSF, WCS and zero
point of simulated CCDs against the truth, `manage.py benchmark peers` beside source-extractor, psfex, scamp and swarp;
`manage.py benchmark astrometry` solves hundreds of fields whose headers are off; `manage.py benchmark references` tells
what warps and coadds cost, and how they compare with the truth; `manage.py benchmark subtraction` searches simulated
pairs by every method and compares with what truly changed, `manage.py benchmark subtraction_peers` beside properimage,
sfft and source-extractor."""
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help=f"A file of {FOLDER}, without its ending.")
        parser.add_argument("arguments", nargs=REMAINDER, help="Its own options; --help lists them.")

    def handle(self, *args: Any, **options: Any) -> None:
        base = Path(settings.BASE_DIR)
        known = sorted(path.stem for path in (base / FOLDER).glob("*.py") if not path.stem.startswith("_"))
        if options["name"] not in known:
            raise CommandError(f"no benchmark '{options['name']}'; there are: {', '.join(known) or 'none'}")
        module = ".".join([*FOLDER.parts, options["name"]])
        done = subprocess.run([sys.executable, "-m", module, *options["arguments"]], cwd=base, check=False)
        if done.returncode:
            raise CommandError(f"the benchmark ended with exit status {done.returncode}")
