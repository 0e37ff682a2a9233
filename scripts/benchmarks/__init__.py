"""Measurements: `keras-sa benchmark`."""
