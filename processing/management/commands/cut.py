from processing.management.step_command import StepCommand
from processing.steps.cutting import Cutting


class Command(StepCommand):
    step = Cutting
