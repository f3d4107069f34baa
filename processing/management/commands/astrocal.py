from processing.management.step_command import StepCommand
from processing.steps.astrocal import AstroCal


class Command(StepCommand):
    step = AstroCal
