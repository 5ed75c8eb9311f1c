"""What the coverage rule moves: ``python benchmarks/coverage_rule.py`` prints the table that the changelog quotes.

Balanced panels 2005–2012, Callaway–Sant'Anna against never treated, simple average, offences per 100,000 residents.
"""

import warnings

import pandas as pd

import g287stats as g

RULES = {  # words → arguments of g.county_panel
    "every cell": {"min_coverage": None, "on_doubt": "keep"},
    "coverage 0.8 (default)": {},
    "coverage 0.9": {"min_coverage": 0.9},
    "coverage 0.8, doubtful cells out": {"on_doubt": "missing"},
}


def main() -> None:
    """Print estimate, standard error, counties and treated counties of every rule, table and outcome."""
    rows = []
    for table in ("fbi_table10", "fbi_county_sums"):
        for words, rule in RULES.items():
            for outcome in ("property_rate", "violent_ex_rape_rate"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    panel = g.county_panel(table, (2005, 2012), **rule).balanced([outcome])
                    e = g.att_gt(panel, outcome, control="never").aggregate("simple")
                sizes = e.sample["n_units"], e.sample["n_treated"]
                rows.append((table, outcome, words, e.point[0].round(1), e.se.iloc[0].round(1), *sizes))
    columns = ["table", "outcome", "rule", "estimate", "std_error", "counties", "treated"]
    print(pd.DataFrame(rows, columns=columns).to_string(index=False))


if __name__ == "__main__":
    main()
