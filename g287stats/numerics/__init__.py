"""Numbers without labels: exact fixed-effects projection and iterated least squares."""
