from processing.management.step_command import StepCommand
from processing.steps.preprocessing import Preprocessing


class Command(StepCommand):
    step = Preprocessing
