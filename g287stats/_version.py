"""The one place that holds the code version (SemVer)."""

__version__ = "0.1.0"
