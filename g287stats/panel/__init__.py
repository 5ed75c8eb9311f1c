"""Who is treated, when: records lined up by county and period."""

from g287stats.panel.controls import known_controls
from g287stats.panel.county_panel import county_panel
from g287stats.panel.exposure import Exposure
from g287stats.panel.panel import CountyPanel

__all__ = ["CountyPanel", "Exposure", "county_panel", "known_controls"]
