"""NCVS rates, victimization designs, the reporting wedge."""
