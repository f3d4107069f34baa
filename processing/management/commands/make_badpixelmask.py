from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.BAD_PIXELS
    made = "Find the bad pixels of each CCD in flats, and in its master bias and dark, and register the mask for use."
    teaching = """\
Dead and unstable pixels, columns and parts of them come from the flats: give those of a low and of a high level, so
that their ratio tells too. Hot pixels come from the master dark, odd ones from the master bias, where there are any.

example: manage.py make_badpixelmask --night 2026-11-22 --instrument ls4 --filter g"""
