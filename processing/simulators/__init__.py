"""Simulators of raw exposures: one file for each camera whose files they imitate."""
