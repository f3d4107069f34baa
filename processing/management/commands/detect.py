from processing.management.step_command import StepCommand
from processing.steps.detection import Detection


class Command(StepCommand):
    step = Detection
