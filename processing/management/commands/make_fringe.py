from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.FRINGE
    made = "Make the fringe pattern of each CCD from exposures of different fields and register it for use."
    teaching = """\
What they have in common on scales below 128 px, once sources are masked and the sky is divided out, is the pattern; its
mean is 0. The more different the fields, the better: stars that lie in the same place stay in it.

example: manage.py make_fringe --from 2026-11-01 --to 2026-12-01 --instrument decam --filter z"""
