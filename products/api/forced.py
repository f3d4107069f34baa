"""Forced fluxes as JSON."""

from __future__ import annotations

from rest_framework import serializers


class FluxSerializer(serializers.Serializer):
    """The flux at a position of one difference image."""

    mjd = serializers.FloatField(help_text="Middle of the exposure, UTC.")
    filter = serializers.CharField(help_text="Short name.")
    flux = serializers.FloatField(help_text="Of the difference, electrons of the new image, of either sign.")
    flux_error = serializers.FloatField(help_text="With the noise of registration and flux ratio, electrons.")
    snr = serializers.FloatField(help_text="Flux over error.")
    magnitude = serializers.FloatField(allow_null=True, help_text="AB magnitude of |flux|.")
    magnitude_error = serializers.FloatField(allow_null=True, help_text="mag.")
    limiting_magnitude = serializers.FloatField(allow_null=True, help_text="AB magnitude of 5σ at that place.")
    is_limit = serializers.IntegerField(help_text="1: |flux| is below 5σ.")
    flux_ujy = serializers.FloatField(help_text="Of the difference, μJy; negative for fading.")
    flux_error_ujy = serializers.FloatField(help_text="μJy.")
    zp = serializers.FloatField(help_text="AB magnitude of one electron there.")
    ra = serializers.FloatField(help_text="Degrees, ICRS.")
    dec = serializers.FloatField(help_text="Degrees, ICRS.")
    x = serializers.FloatField(help_text="Pixels from 0.")
    y = serializers.FloatField(help_text="Pixels from 0.")
    flags = serializers.CharField(help_text="Pixel flags under the core of the PSF.")
    is_bad = serializers.BooleanField(help_text="Pixels under the core cannot be used.")
    exposure = serializers.CharField(help_text="Name of the exposure.")
    section = serializers.CharField(help_text="CCD, as the instrument names it.")
    instrument = serializers.CharField(help_text="Short name.")
    image = serializers.UUIDField(help_text="Id of the difference image.")
    provenance = serializers.CharField(help_text="Of the forced photometry.")


class FluxTableSerializer(serializers.Serializer):
    """Forced fluxes with units and explanations of their columns."""

    units = serializers.DictField(child=serializers.CharField(), help_text="Unit of each column.")
    descriptions = serializers.DictField(child=serializers.CharField(), help_text="Meaning of each column.")
    rows = FluxSerializer(many=True, help_text="In the order of time, one for each image.")
