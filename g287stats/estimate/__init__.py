"""How sure we are: one Estimate, its covariance, aggregates, bands and tests."""
