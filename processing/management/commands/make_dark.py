from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.DARK
    made = "Combine dark exposures into a master dark of each CCD and register it for use."
    teaching = """\
Bias and linearity are corrected first, where the camera needs them. Frames of any exposure times go together; the
result is in ADU per second, with the hot pixels in it.

example: manage.py make_dark --from 2026-11-01 --to 2026-12-01 --instrument decam --supersede"""
