from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = "flat"
    help = "Combine raw flat exposures into a master flat of each CCD and register it for use."
