"""The registry of published claims, the judge, the evidence and replicate(): where the two wings meet."""

from g287stats.claims.evidence import Evidence
from g287stats.claims.registry import Finding, finding, findings, statements
from g287stats.claims.running import Replication, evidence, replicate

__all__ = ["Evidence", "Finding", "Replication", "evidence", "finding", "findings", "replicate", "statements"]
