"""How sure we are: one Estimate, its covariance, bands and tests."""
