"""Panels and surveys with known effects."""
