"""Claims that need data not in hand: each says which file, and the command or place to get it."""

import tomllib
from pathlib import Path

import pandas as pd

NEEDS = tomllib.loads(Path(__file__).with_name("published.toml").read_text("utf-8"))["needs"]


def run(bench):
    for claim, what in NEEDS.items():
        bench.needs(claim, what)
    table = pd.DataFrame({"claim_id": list(NEEDS), "needs": list(NEEDS.values())})
    bench.table("needs", table, title="What each claim needs", provenance={"declared in": "published.toml"})
