"""The archive: what exists, where its file is, and how it may be seen."""
