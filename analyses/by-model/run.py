"""Recorded crime by model of the agreement: jails, task forces, city police, each against places without it."""


def run(bench):
    bench.county_grid("Recorded crime by model", note="A county with two models is treated in both.")
