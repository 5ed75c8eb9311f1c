"""What stands beside crime: population, economy, votes, mortality."""
