"""Expected failures of the archive. `details` go into the report of the CCD."""

from __future__ import annotations


class ArchiveError(Exception):
    """A file or a row that is not as it should be; `message` is a template that `details` fill."""

    message = "{reason}"

    def __init__(self, **details: object) -> None:
        self.details = details
        super().__init__(self.message.format(**details))

    def __reduce__(self):
        return (_rebuild, (type(self), self.details))


def _rebuild(cls: type[ArchiveError], details: dict) -> ArchiveError:
    return cls(**details)


class MissingFile(ArchiveError):
    message = "{path} is neither in the data folder nor in the archive; `manage.py fsck` lists what else is missing"


class DamagedFile(ArchiveError):
    message = "{path} is damaged: its checksum is {found}, {expected} was recorded; `manage.py fsck` says what to do"


class OldFile(ArchiveError):
    """A file that was written before a product had all the planes that it has now."""

    message = (
        "{path} has no plane {plane}: an earlier version wrote it; process the exposure again, or make this product "
        "again"
    )


class OldFakes(ArchiveError):
    message = "these fakes are of an earlier version, which kept no reasons; inject them again (manage.py inject_fakes)"


class DiskFull(ArchiveError):
    message = (
        "no room on the disk for {path} ({written_mb:.0f} MB were written, {free_mb:.0f} MB free); "
        "nothing was kept, make room and run it again"
    )


class CannotWrite(ArchiveError):
    message = "{path} cannot be written: {reason}; may this user write in its folder?"


class TagConflict(ArchiveError):
    message = (
        "tag '{tag}' already holds another provenance for: {conflicts}; nothing was tagged. Give what runs with other "
        "parameters a tag of its own (--provenance-tag NAME), or take the old ones out (tag_provenances untag)"
    )


class UnknownTag(ArchiveError):
    message = "there is no tag '{tag}'; there are: {known}"


class BadTagName(ArchiveError):
    message = "'{tag}' cannot be the name of a tag: {reason}"


class UnknownProvenance(ArchiveError):
    message = "there is no provenance '{asked}'{hint}"
