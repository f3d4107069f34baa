"""What the queue may run: the functions that the task modules of the site define, and nothing that those import."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django_q.utils import get_func_repr


def refusal(task: Mapping[str, Any]) -> str:
    """Why a task must not run; empty where it may. Its hook runs too, so it must be allowed as well."""
    wanted = [task.get("func"), *([task["hook"]] if task.get("hook") else [])]
    wrong = [get_func_repr(function) for function in wanted if not is_task(function)]
    return f"refused: {', '.join(map(str, wrong))} is not one of the tasks in QUEUE_TASKS" if wrong else ""


def is_task(function: Any) -> bool:
    """Whether a function, or the dotted name of one, is defined in a task module."""
    module, _, name = str(get_func_repr(function)).rpartition(".")
    if module not in settings.QUEUE_TASKS or name.startswith("_"):
        return False
    found = getattr(importlib.import_module(module), name, None)
    if not inspect.isfunction(found) or found.__module__ != module:
        return False
    return isinstance(function, str) or found is function


def refuse_others(sender: Any, task: Mapping[str, Any], **signal: Any) -> None:
    """Before a task runs, also one that came past the broker: PermissionDenied unless it is allowed."""
    if reason := refusal(task):
        raise PermissionDenied(reason)
