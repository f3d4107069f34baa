from processing.management.step_command import StepCommand
from processing.steps.extraction import Extraction


class Command(StepCommand):
    step = Extraction
