#!/usr/bin/env python
"""Every command of SeeChange: `python manage.py help` lists them, `python manage.py demo` shows the whole of it."""

import os
import sys


def main() -> None:
    # One thread a process: CCDs run side by side, threads inside one of them only get in each other's way.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        sys.exit(f"{error}\nInstall what SeeChange needs first: python -m pip install -r requirements.txt")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"The settings cannot be used: {error}")


if __name__ == "__main__":
    main()
