"""The registry of published claims, verdicts and replications."""
