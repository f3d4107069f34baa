"""Expected failures of the conductor. Each has a sentence for people."""

from __future__ import annotations

from products.errors import ArchiveError


class ConductorError(ArchiveError):
    """What was asked of the conductor cannot be done."""


class LeaseLost(ConductorError):
    """The holder is no longer the holder: stop, and ask for something else."""

    message = "this claim is over ({reason}); stop working on it, nothing that you say about it counts any more"


class TokenUsed(ConductorError):
    message = "this token has been used for {identifier} already; draw a new one for every claim"


class WrongState(ConductorError):
    message = "{identifier} is {state}: it cannot be {done}; that is for what is {allowed}"


class UnknownKnownExposure(ConductorError):
    message = "there is no known exposure '{asked}'{hint}"


class BadValue(ConductorError):
    """A value that cannot be used; `field` names it."""

    message = "{field}: {reason}"


class CannotLook(ConductorError):
    """A watch, or a folder, that cannot be looked through."""

    message = "{reason}"


class StillThere(ConductorError):
    message = "{worker} was heard of {seconds} s ago; it leaves by itself once its launcher ends"


class NotAllowed(ConductorError):
    """A file or a folder that may not be named."""

    message = "{path} is in none of the folders that may be named here ({allowed})"
