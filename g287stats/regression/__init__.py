"""From a prepared design to an Estimate: least squares and Poisson with absorbed effects."""
