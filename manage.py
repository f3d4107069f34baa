#!/usr/bin/env python
"""Every command of SeeChange: `python manage.py help` lists them, `python manage.py demo` shows the whole of it."""

import os
import select
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
        try:
            execute_from_command_line(sys.argv)
        finally:
            sys.stdout.flush()
    except ImproperlyConfigured as error:
        sys.exit(f"The settings cannot be used: {error}")
    except BrokenPipeError:
        if not (stopped := [stream for stream in (sys.stdout, sys.stderr) if nobody_reads(stream.fileno())]):
            raise  # it was another pipe
        for stream in stopped:  # what is left in its buffer is written at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(141)  # what a shell says of a program that SIGPIPE ended


def nobody_reads(descriptor: int) -> bool:
    """Whether what is written there goes into a pipe whose reader, e.g. `head`, had enough."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


if __name__ == "__main__":
    main()
