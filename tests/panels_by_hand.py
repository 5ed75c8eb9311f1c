"""Small panels written as paths, for answers worked by hand."""

import numpy as np
import pandas as pd


def table(paths, cohorts, first=2001):
    """Rows from {county: outcomes by year} and {county: cohort}; years count from ``first``."""
    return pd.DataFrame(
        [
            {"county": c, "year": first + k, "y": y, "g": cohorts.get(c, np.nan)}
            for c, path in paths.items()
            for k, y in enumerate(path)
        ]
    )
