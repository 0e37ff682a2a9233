"""Detectors on the command line: `keras-sa detect`."""
