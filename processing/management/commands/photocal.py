from processing.management.step_command import StepCommand
from processing.steps.photocal import PhotoCal


class Command(StepCommand):
    step = PhotoCal
