from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = "bias"
    help = "Combine raw bias exposures into a master bias of each CCD and register it for use."
