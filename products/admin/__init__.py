"""The archive in Django's admin: tags first, products to read and to mark as bad, nothing deleted by accident.

Images of all kinds are one table, and so are source lists and detections: their proxies are filters here, not pages.
"""

from products.admin import calibrations, candidates, images, moving, provenance, sensors, tags

__all__ = ["calibrations", "candidates", "images", "moving", "provenance", "sensors", "tags"]
