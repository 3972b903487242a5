"""Measurements and the demonstration; not shipped."""
