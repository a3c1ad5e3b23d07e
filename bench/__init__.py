"""Measurements: figures are printed, nothing is asserted."""
