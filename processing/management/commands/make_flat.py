from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.FLAT
    made = "Combine flat exposures into a master flat of each CCD and filter and register it for use."
    teaching = """\
Flats of each light (dome, twilight) and filter become flats of their own. `--flat-type sky` makes them of exposures of
the sky, whose sources are masked. Over all CCDs behind a filter together the median is 1, whichever CCDs are made.

examples:
  manage.py make_flat flat_*.fits --instrument demo
  manage.py make_flat --night 2026-11-22 --instrument ls4 --flat-type twilight --calibrator-set nightly
  manage.py make_flat --from 61366 --to 61396 --instrument decam --filter z --flat-type sky --supersede"""
