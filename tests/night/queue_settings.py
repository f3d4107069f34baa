"""The settings of the site, with tasks that tests of the queue need."""

import os

os.environ.setdefault("LOG_LEVEL", "INFO")
from seechange_site.settings import *  # noqa: F403
from seechange_site.settings import QUEUE_TASKS as OURS

QUEUE_TASKS = (*OURS, "tests.night.queue_tasks")
