from processing.management.step_command import StepCommand
from processing.steps.alerting import Alerting


class Command(StepCommand):
    step = Alerting
