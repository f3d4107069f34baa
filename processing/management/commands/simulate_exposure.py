"""Raw exposures of real cameras that nobody took."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import CommandError

from processing import config
from processing.algorithms.simulation_tiles import Tiles
from processing.catalogs.tables import read_catalog
from processing.errors import BadInput
from processing.management.step_command import EngineCommand, number_of_processes, require_migrated
from processing.progress import bar
from processing.simulated_exposures import Scene, write_exposure
from processing.simulated_survey import (
    EPOCH,
    CalibrationSet,
    Field,
    calibration_shots,
    refuse_format,
    single_shots,
    sky_parameters,
    sky_shots,
    stars_of,
    write_star_catalog,
)
from processing.simulators.base import KINDS, Shot, Simulator
from products.models import CatalogExcerpt

_NIGHT = 61382.0  # MJD: 2026-12-08, close to new moon
_DATES = 50000.0, 80000.0
_FIELD = 52.1, -27.8


class Command(EngineCommand):
    help = """Simulate raw exposures of a camera as its own files look, with the truth beside them.

The sky has moving and variable stars, galaxies, and transients whose light changes from night to night; the camera has
everything that must be corrected for. The same seed is the same sky and the same CCDs, whatever is exposed and when;
the same command writes the same bytes. NAME.truth.fits tells what is in NAME.

  manage.py simulate_exposure raw --instrument ls4 --calibration-set
                                       biases, darks, flats and a ramp of flats of one afternoon
  manage.py simulate_exposure raw --instrument ls4 --nights 5 --exposures-per-night 2 --star-catalog raw/stars.fits
                                       ten exposures of one field; then: import_catalog raw/stars.fits --name sim
  manage.py simulate_exposure raw --instrument ls4 --sections SW_A,NW_B --set simulator.amplifiers=single
                                       two CCDs, each read through one amplifier
  manage.py simulate_exposure raw --instrument decam --filters g,z --set simulator.ccd.fringes=0.02"""
    needs_tables = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="Where the files go; those that are there are left alone.")
        parser.add_argument("--instrument", required=True, help="Camera: ls4, decam …")
        parser.add_argument("--kind", choices=KINDS, default="science", help="What is exposed [science].")
        parser.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs, separated by commas.")
        parser.add_argument("--filters", default="", metavar="g,r", help="Filters, where the camera has a wheel.")
        parser.add_argument("--seed", type=int, default=1, help="Another seed is another sky and another camera [1].")
        parser.add_argument(
            "--numprocs",
            type=number_of_processes,
            default=os.cpu_count() or 1,
            help="CCDs simulated at once, about 1 GB of memory each [number of cores].",
        )
        parser.add_argument("--overwrite", action="store_true", help="Write files again that are there.")
        parser.add_argument(
            "--truth-planes", action="store_true", help="Also the noiseless image, masks and frames of each CCD."
        )
        parser.add_argument(
            "--set", metavar="NAME=VALUE", action="append", default=[], dest="assignments",
            help="Change what is simulated: simulator.… (the camera; simulator.ccd.… its CCDs) or sky.…, e.g. "
            "sky.stars=8000; a wrong name lists the right ones.",
        )  # fmt: skip
        self._of_the_field(parser)
        self._of_calibration(parser)

    def _of_the_field(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("exposures of the sky")
        group.add_argument("--ra", type=float, default=_FIELD[0], help=f"Degrees [{_FIELD[0]}].")
        group.add_argument("--dec", type=float, default=_FIELD[1], help=f"Degrees, -78 to 78 [{_FIELD[1]}].")
        group.add_argument(
            "--night", type=float, default=_NIGHT, metavar="MJD",
            help=f"Day in whose evening the first night begins [{_NIGHT:g}, close to new moon].",
        )  # fmt: skip
        group.add_argument("--mjd", type=float, help="Start of the first exposure (UTC) [when the field is highest].")
        group.add_argument("--nights", type=int, default=1, help="How many nights [1].")
        group.add_argument("--cadence", type=float, default=1.0, help="Days from night to night [1].")
        group.add_argument("--exposures-per-night", type=int, default=1, metavar="N", help="In each filter [1].")
        group.add_argument("--exposure-time", type=float, metavar="S", help="Seconds [that of the survey].")
        group.add_argument(
            "--dither", type=float, default=15.0, metavar="ARCSEC", help="Scatter of the pointings [15]."
        )
        group.add_argument("--target", default="", help="Name of the field, for the headers.")
        group.add_argument("--transients", type=float, default=150.0, help="Per square degree and year [150].")
        group.add_argument("--trails", type=int, default=1, help="Satellites that cross the camera [1].")
        group.add_argument("--catalog", metavar="FILE|NAME", help="Stars of a table or an imported catalogue.")
        group.add_argument(
            "--epoch", type=float, default=EPOCH, help=f"Of the positions in the table, Julian year [{EPOCH:g}]."
        )
        group.add_argument("--star-catalog", type=Path, metavar="FILE", help="Write the stars of the field.")
        group.add_argument("--faintest", type=float, default=20.5, help="Faintest star of --star-catalog, r [20.5].")

    def _of_calibration(self, parser: ArgumentParser) -> None:
        default, group = CalibrationSet(), parser.add_argument_group("calibration frames")
        group.add_argument("--calibration-set", action="store_true", help="All kinds of one afternoon, at once.")
        said = {"biases": "Biases", "darks": "Darks", "flats": "Flats of the screen, in each filter"}
        said |= {"twilights": "Flats of the twilight, in each filter", "ramp": "Levels of a ramp; two flats of each"}
        for name, text in said.items():
            number = getattr(default, name)
            group.add_argument(f"--{name}", type=int, default=number, metavar="N", help=f"{text} [{number}].")
        group.add_argument(
            "--dark-time", type=float, default=default.dark_time, metavar="S", help=f"Seconds [{default.dark_time:g}]."
        )
        group.add_argument("--count", type=int, default=1, help="Frames of a --kind that is not science [1].")
        group.add_argument("--level", type=float, help="Electrons of flats [0.3 of full well].")

    def work(self, options: dict[str, Any]) -> None:
        simulator, sky = self._parts(options)
        self._refuse(options, simulator)
        seed = options["seed"]
        own, epoch = self._stars(options)
        parameters = sky_parameters(simulator, seed, {**sky, **({"epoch": epoch} if own is not None else {})})
        scene = Scene(seed, Tiles(parameters, options["transients"], own), options["trails"], options["truth_planes"])
        sections = simulator.chosen([name for name in options["sections"].split(",") if name])
        shots = self._shots(options, simulator)
        if path := options["star_catalog"]:
            refuse_format(path)
            centre = options["ra"], options["dec"]
            number = write_star_catalog(
                path, simulator, scene.tiles, centre, sections=sections, limit=options["faintest"]
            )
            self.stdout.write(f"{path}: {number} stars, epoch {parameters.epoch:g}")
        with bar("simulating", len(shots) * len(sections)) as tick:
            for shot in shots:
                path = options["folder"] / simulator.file_name(shot)
                if path.exists() and not options["overwrite"]:
                    self.stdout.write(f"{path} is there: left alone (--overwrite writes it again)")
                    continue
                write_exposure(
                    simulator, shot, scene, options["folder"], sections=sections, numprocs=options["numprocs"],
                    tick=lambda section, shot=shot: tick(f"{shot.kind} {section}"),
                )  # fmt: skip
                self.stdout.write(f"{path}: {shot.kind}, MJD {shot.mjd:.5f}, {len(sections)} CCDs")

    def _parts(self, options: dict[str, Any]) -> tuple[Simulator, dict[str, Any]]:
        """The camera, and what is changed of the sky."""
        given = config.assign({}, options["assignments"])
        if unknown := set(given) - {"simulator", "sky"}:
            raise CommandError(f"--set {min(unknown)}.…: only simulator.… and sky.… can be set here")
        member = Simulator.member(options["instrument"])
        values = config.merge(member().values(), given.get("simulator", {}))
        return member.build(values, "simulator"), given.get("sky", {})

    def _refuse(self, options: dict[str, Any], simulator: Simulator) -> None:
        bands = [band for band in options["filters"].split(",") if band]
        has = ", ".join(simulator.photometry)
        if bands and not simulator.has_filter_wheel:
            raise CommandError(f"{simulator.name} has a filter fixed in front of each CCD: leave out --filters")
        if unknown := [band for band in bands if band not in simulator.photometry]:
            raise CommandError(f"filter {', '.join(unknown)} is not simulated; {simulator.name} has {has}")
        if not (0 <= options["ra"] < 360 and -78 <= options["dec"] <= 78):
            raise CommandError("--ra must be from 0 to 360 and --dec from -78 to 78 degrees")
        if not (_DATES[0] < options["night"] < _DATES[1] and _DATES[0] < (options["mjd"] or _NIGHT) < _DATES[1]):
            raise CommandError("--night and --mjd are modified Julian dates from 50000 to 80000, e.g. 61382")
        if options["folder"].exists() and not options["folder"].is_dir():
            raise CommandError(f"{options['folder']} is a file; name a folder")
        for name in ("nights", "exposures_per_night", "count"):
            if not 1 <= options[name] <= 10000:
                raise CommandError(f"--{name.replace('_', '-')} must be from 1 to 10000")
        for name in ("trails", "transients", "dither", "biases", "darks", "flats", "twilights", "ramp", "seed"):
            if not 0 <= options[name] <= 1e6:
                raise CommandError(f"--{name} must be from 0 to 1000000")
        for name, largest in (("exposure_time", 3600), ("dark_time", 3600), ("cadence", 10000), ("level", 1e6)):
            if options[name] is not None and not 0 < options[name] <= largest:
                raise CommandError(f"--{name.replace('_', '-')} must be above 0, and at most {largest:g}")

    def _shots(self, options: dict[str, Any], simulator: Simulator) -> list[Shot]:
        bands = tuple(band for band in options["filters"].split(",") if band)
        if simulator.has_filter_wheel:
            bands = bands or tuple(simulator.photometry)[:1]
        field = Field(
            ra=options["ra"],
            dec=options["dec"],
            night=options["night"],
            mjd=options["mjd"],
            nights=options["nights"],
            cadence=options["cadence"],
            exposures=options["exposures_per_night"],
            exposure_time=options["exposure_time"] or simulator.exposure_time,
            bands=bands or ("",),
            dither=options["dither"],
            target=options["target"],
        )
        if options["calibration_set"]:
            names = ("biases", "darks", "flats", "twilights", "ramp", "dark_time", "level")
            wanted = CalibrationSet(**{name: options[name] for name in names})
            return calibration_shots(simulator, wanted, options["night"], field.bands, options["seed"])
        if options["kind"] != "science":
            return single_shots(
                simulator, options["kind"], field, options["seed"], count=options["count"], level=options["level"]
            )
        return sky_shots(simulator, field, options["seed"])

    def _stars(self, options: dict[str, Any]) -> tuple[np.ndarray | None, float]:
        """Stars of one's own and the epoch of their positions."""
        text = options["catalog"]
        if not text:
            return None, EPOCH
        if Path(text).is_file():
            return stars_of(read_catalog(Path(text))), options["epoch"]
        require_migrated()
        rows = CatalogExcerpt.objects.filter(origin=text)
        if not rows:
            raise BadInput(
                what=f"--catalog {text}", reason="it is neither a file nor the name of an imported catalogue"
            )
        parts = [stars_of(row.table) for row in rows]
        return np.unique(np.concatenate(parts)), rows[0].epoch
