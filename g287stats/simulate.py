"""Data with known effects."""

from g287stats.simulation.design_ncvs import treated_draws
from g287stats.simulation.ncvs import CountyShocks, PlantedEffects
from g287stats.simulation.ncvs import simulate_ncvs as ncvs

__all__ = [
    "CountyShocks",
    "PlantedEffects",
    "ncvs",
    "treated_draws",
]
