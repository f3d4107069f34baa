from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.LINEARITY
    made = "Measure the linearity of each amplifier from flats of rising exposure time and register the table for use."
    teaching = """\
Give flats of at least five exposure times, from a few per cent of full well to more than 90 %, of a lamp that does not
change much. Repeat one exposure time between the others (5 s, 1 s, 5 s, 2 s, 5 s, 4 s, …): so the lamp is followed.

example: manage.py make_linearity ramp_*.fits --instrument decam"""
