"""The dose of the programme: what is counted, what is none, what is not known."""

import numpy as np
import pytest

from g287stats.agreements.removals import load_removals
from g287stats.errors import DesignError
from g287stats.panel.dose import removals_dose


@pytest.fixture(scope="module")
def dose():
    return removals_dose().set_index(["county_fips", "year"])


def test_every_county_year_has_a_dose_or_a_reason(dose):
    assert len(dose) == 3142 * 7
    zero = dose["basis"] == "no agreement in force"
    assert (dose.loc[zero, "dose"] == 0).all()
    assert (
        dose.loc[dose["basis"].isin(["blank", "in force, not counted", "agency of several counties"]), "dose"]
        .isna()
        .all()
    )
    assert dose.loc[dose["basis"] == "counted", "dose"].notna().all()


def test_a_county_is_the_sum_of_its_agencies_over_days(dose):
    rows = load_removals().query("county_fips == '37119'").set_index("fiscal_year")["removed"].astype(float)
    # 2008: 274 of 366 days in fiscal 2008 (366 days), 92 in fiscal 2009 (365)
    expected = rows[2008] * 274 / 366 + rows[2009] * 92 / 365
    assert dose.loc[("37119", 2008), "dose"] == pytest.approx(expected)
    assert dose.loc[("37119", 2008), "basis"] == "counted"


def test_an_agreement_in_force_without_a_count_is_missing_not_zero(dose):
    uncounted = dose[dose["basis"].isin(["in force, not counted", "blank"])]
    assert len(uncounted) and uncounted["dose"].isna().all()
    assert dose.loc[("53033", 2009), ["dose", "basis"]].tolist() == [0.0, "no agreement in force"]


def test_years_outside_the_counts_are_refused():
    with pytest.raises(DesignError, match="whole years 2006–2012"):
        removals_dose((2006, 2013))
    assert removals_dose(2010)["year"].unique().tolist() == [2010]
    assert np.isfinite(removals_dose(2010)["dose_rate"].dropna()).all()
