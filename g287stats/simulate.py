"""Data with known effects."""

from g287stats.simulation.ncvs import PlantedEffects
from g287stats.simulation.ncvs import simulate_ncvs as ncvs

__all__ = [
    "PlantedEffects",
    "ncvs",
]
