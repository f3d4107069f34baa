from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.ILLUMINATION
    made = "Make the illumination correction of each CCD from exposures of the sky and register it for use."
    teaching = """\
Exposures of the sky are flat-fielded, their sources masked, combined and smoothed: what a flat of the lamp misses.

example: manage.py make_illumination --from 2026-11-01 --to 2026-12-01 --instrument decam --filter r"""
