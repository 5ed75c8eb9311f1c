"""Complex samples: design, ratios, weighted regression."""
