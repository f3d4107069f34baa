from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.BIAS
    made = "Combine bias exposures into a master bias of each CCD and register it for use."
    teaching = """\
The overscan is subtracted from each frame; the clipped mean of each pixel is what the electronics add beyond it (ADU).

examples:
  manage.py make_bias bias_*.fits --instrument demo
  manage.py make_bias --night 2026-11-22 --instrument ls4 --calibrator-set nightly"""
