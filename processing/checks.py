"""Checks at start-up, without database: that the declarations fit together and the configuration can be used.

Everything that they look at is imported when they run: a process that does not check starts without it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register()
def configuration(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E001: the configuration that SEECHANGE_CONFIG names can be read, and every step can be built from it."""
    from processing import config
    from processing.parameters import ConfigurationError

    try:
        config.refuse_wrong(config.load())
    except ConfigurationError as error:
        hint = f"SEECHANGE_CONFIG is {settings.SEECHANGE_CONFIG}; `manage.py config --defaults` shows what there is."
        return [Error(str(error), hint=hint, id="processing.E001")]
    return []


@register(Tags.models)
def declarations(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E002 to E005: names are unique, what a step takes is made before it, what it makes is found again, help."""
    from processing import wiring
    from processing.pipelines import STEPS

    found = [*wiring.unique_names(STEPS)]
    for name, (steps, roots) in wiring.PIPELINES.items():
        found += wiring.inputs_are_there(name, steps, roots)
    for step in STEPS:
        found += [*wiring.identity_is_known(step), *wiring.undocumented(step)]
    return found
