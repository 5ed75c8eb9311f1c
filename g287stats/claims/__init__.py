"""The registry of published claims, verdicts, and replicate(): where the two wings meet."""

from g287stats.claims.registry import Finding, finding, findings, statements
from g287stats.claims.running import Replication, replicate

__all__ = ["Finding", "Replication", "finding", "findings", "replicate", "statements"]
