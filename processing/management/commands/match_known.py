from processing.management.step_command import StepCommand
from processing.steps.knownobjects import KnownObjects


class Command(StepCommand):
    step = KnownObjects
