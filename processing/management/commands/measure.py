from processing.management.step_command import StepCommand
from processing.steps.measuring import Measuring


class Command(StepCommand):
    step = Measuring
