from processing.management.step_command import StepCommand
from processing.steps.scoring import Scoring


class Command(StepCommand):
    step = Scoring
