from processing.management.step_command import StepCommand
from processing.steps.subtraction import Subtraction


class Command(StepCommand):
    step = Subtraction
