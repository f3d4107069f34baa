"""Expected failures. Each has a sentence for people and `details` for the report of the CCD."""

from __future__ import annotations

from collections.abc import Mapping

from processing.admission.codes import Code
from products.errors import CannotWrite, DamagedFile, DiskFull, MissingFile


class StepError(Exception):
    """An expected failure; `message` is a template that `details` fill."""

    message = "The step could not finish: {reason}"

    def __init__(self, **details: object) -> None:
        self.details = details
        super().__init__(self.message.format_map(_Missing(details)))

    def __reduce__(self):
        return (_rebuild, (type(self), self.details))


class _Missing(dict):
    def __missing__(self, key: str) -> str:
        return "?"


def _rebuild(cls: type[StepError], details: dict) -> StepError:
    return cls(**details)


class BadInput(StepError):
    message = "{what}: {reason}"


class BadModel(BadInput):
    """A model of a scorer that is not there, damaged, or not what was asked for."""

    message = "the scorer's model {name}: {reason}; train it again (manage.py train_scorer), or name another one"


class NotInstalled(StepError):
    """Something that only some parts of the site need."""

    message = "{package} is not installed, which {purpose} cannot do without; install it: {command}"


class BadExposureFile(BadInput):
    """A file from outside that is not let in, or pixels that are no picture of the sky; `code` is of a closed list.

    `detail` is shortened to 200 printable characters: it may quote the file.
    """

    message = "{what}: {detail} [{code}]; {advice}"

    def __init__(self, code: Code, detail: str, path: str = "") -> None:
        self.code, self.detail, self.path = Code(code), _printable(detail)[:200], path
        what = _printable(path) or "the file"
        super().__init__(what=what, code=self.code.value, detail=self.detail, advice=self.code.advice)

    def __reduce__(self):
        return (BadExposureFile, (self.code, self.detail, self.path))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


class NotEnoughStars(StepError):
    message = "{found} stars found, {needed} needed ({purpose})"


class NoSolution(StepError):
    """Astrometry that is not trustworthy."""

    message = "no trustworthy astrometric solution: {reason}"


class NoOverlap(StepError):
    message = "the two images overlap by {fraction:.0%}, {needed:.0%} needed"


class NoReference(StepError):
    message = "no reference for filter {filter} at ra {ra:.4f}, dec {dec:.4f}: {reason}"


class NotCovered(StepError):
    message = "no usable difference image of the tag '{tag}' covers ra {ra:.5f}, dec {dec:.5f}{between}; {hint}"


class BadProvenance(StepError):
    """Something was, or would be, made in a way that people marked as bad."""

    message = (
        "the provenance {process} {provenance} is marked as bad ({comment}): nothing is made with it any more; correct "
        "the code and raise its version, or change the parameters, and use another tag (--provenance-tag NAME)"
    )


class EmptyCatalog(StepError):
    message = "the star catalogue {catalog} has {found} stars here, {needed} needed: {hint}"


class MissingCalibrator(StepError):
    message = "no {kind} frame for {instrument} {section} {filter} on MJD {mjd:.2f}: {hint}"


class TooFewFrames(BadInput):
    """Frames for a master frame of which too many could not be used; `rejected` has the reason for each."""

    message = "{used} usable {kind} frames: at least {needed} are needed{because}"

    def __init__(self, **details: object) -> None:
        super().__init__(**{**details, "because": said_of_rejected(details.get("rejected") or {})})


def said_of_rejected(rejected: Mapping[str, str]) -> str:
    """Which frames were not used and why, for the end of a sentence; the first ones of many."""
    shown = [f"{name}: {reason}" for name, reason in list(rejected.items())[:20]]
    return f"; not used: {'; '.join(shown)}" if shown else ""


class BadPixels(StepError):
    message = "{fraction:.0%} of the pixels of {what} are unusable; are the saturation level and the flag image right?"


class TooManyDetections(StepError):
    """A difference that shows nearly everything: broken, whatever its figures say."""

    message = (
        "{found} detections, {most} at most (detection.max_detections), {noise:.1f} of them expected of noise: is the "
        "reference of this place and filter, and are its PSF, WCS and zero point right?"
    )


class Killed(StepError):
    """The process of a CCD ended before it closed its report."""

    message = "{reason}"


class Interrupted(StepError):
    message = "interrupted; what was finished is kept, run it again to go on from there"


class DatabaseLost(StepError):
    message = "the database could not be used: {reason}; nothing of this step was kept, run it again"


class CatalogAway(BadInput):
    """A star catalogue that is asked over the network does not answer."""


class CatalogCut(StepError):
    """An answer with fewer stars than there are; where it can be, the sky is asked for in smaller parts."""

    message = "{what} cuts its answers off (at {rows} stars here): let max_stars be larger, or `faintest` brighter"


class ArchiveAway(BadInput):
    """An archive of exposures does not answer, breaks off, or sends something else than it promised."""


# What may go well another time, or elsewhere, without anybody's doing.
PASSING = (
    ArchiveAway, CannotWrite, CatalogAway, DamagedFile, DatabaseLost, DiskFull, Interrupted, Killed, MissingFile,
    MemoryError, OSError,
)  # fmt: skip


def is_passing(error_type: str) -> bool:
    """Whether an error, by the name that a report gives its class, may not come back at the next attempt."""
    return error_type in _PASSING


def _names(cls: type) -> set[str]:
    return {cls.__name__}.union(*map(_names, cls.__subclasses__()))


_PASSING = set().union(*map(_names, PASSING))
