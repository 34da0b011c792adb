"""The ledger is summed up by what people name."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.accounts import Account, AccountKey, LedgerRow
from gateway.ledger.focus import COLUMNS, MANDATORY, focus_rows
from gateway.ledger.usage import (
    DIMENSIONS,
    FIGURES,
    check_dimension,
    csv_of,
    figures_of,
    grouped,
    has_tag,
    parse_bound,
    records_of,
)

SEARCH = AccountKey("shop", "phone", "env=prod,team=search", "objects", "aws", "objects")
ROWS = [
    LedgerRow("2026-12-01", SEARCH, Account(4, 4, 1.0, 0.0, 0.001, 0.004, cached=1)),
    LedgerRow("2026-11-30", SEARCH, Account(8, 8, 2.0, 0.5, 0.002, 0.008)),
    LedgerRow("2026-11-30", AccountKey("shop"), Account(photos=1)),
    LedgerRow("2026-11-29", AccountKey("bob", "web", "", "faces", "mine", "faces"), Account(2, 2)),
]


class TestSums:
    @pytest.mark.parametrize(
        ("by", "labels"),
        [
            (["day"], [("2026-12-01",), ("2026-11-30",), ("2026-11-29",)]),
            (["month", "tenant"], [("2026-12", "shop"), ("2026-11", "shop"), ("2026-11", "bob")]),
            (["tag"], [("env=prod,team=search",), ("",)]),
            (["tag:team", "key"], [("search", "phone"), ("", ""), ("", "web")]),
            (["task", "provider", "route"], [("objects", "aws", "objects"), ("",) * 3]),
            ([], [()]),
        ],
    )
    def test_a_row_stands_for_each_value_of_its_dimensions(
        self, by: list[str], labels: list[tuple[str, ...]]
    ) -> None:
        """Rows come in the order of the ledger, the latest day first."""
        assert [line.labels for line in grouped(ROWS, by)][: len(labels)] == labels

    @given(st.lists(st.sampled_from([*DIMENSIONS, "tag:team"])))
    def test_nothing_is_lost_by_any_dimension(self, by: list[str]) -> None:
        """The sums add up to the whole, whatever they are by."""
        total = sum((line.account for line in grouped(ROWS, by)), Account())
        assert total.photos == 15
        assert total.paid_usd == pytest.approx(0.003)

    def test_an_unknown_dimension_is_refused_with_those_that_there_are(self) -> None:
        """The refusal names what may be asked for."""
        with pytest.raises(ValueError, match="'days' is none of day, month, tenant"):
            check_dimension("days")
        assert check_dimension("tag:team") == "tag:team"

    def test_figures_are_named(self) -> None:
        """Each figure has a name, and what was saved is told as a share and in USD."""
        figures = figures_of(ROWS[0].account)
        assert tuple(figures) == FIGURES
        assert (figures["saved"], figures["saved_usd"], figures["cached"]) == (0.75, 0.003, 1)

    def test_a_tag_is_whole(self) -> None:
        """Rows are found by a whole tag, not by a part of one."""
        assert [has_tag(row, "team=search") for row in ROWS] == [True, True, False, False]
        assert not any(has_tag(row, "team=sea") for row in ROWS)

    def test_the_rows_are_csv(self) -> None:
        """Spreadsheets read labels and figures under their names."""
        by = ["tag", "day"]
        text = csv_of(records_of(grouped(ROWS, by), by), (*by, *FIGURES))
        first, *_ = csv.DictReader(io.StringIO(text))
        assert (first["tag"], first["billed_images"]) == ("env=prod,team=search", "1.0")


class TestBounds:
    @pytest.mark.parametrize(
        ("text", "first", "last"),
        [
            ("", "", ""),
            ("2026-11-03", "2026-11-03", "2026-11-03"),
            ("2026-11", "2026-11-01", "2026-11-30"),
            ("2028-02", "2028-02-01", "2028-02-29"),
            ("2026-12", "2026-12-01", "2026-12-31"),
        ],
    )
    def test_a_month_is_all_its_days(self, text: str, first: str, last: str) -> None:
        """As a first bound a month is its first day, as a last one its last."""
        assert (parse_bound(text), parse_bound(text, is_last=True)) == (first, last)

    @pytest.mark.parametrize("text", ["yesterday", "2026-13", "2026-1", "2026-11-31", "20261130x"])
    def test_what_is_no_day_is_refused(self, text: str) -> None:
        """The refusal shows both forms."""
        with pytest.raises(ValueError, match="2026-11-30"):
            parse_bound(text)


ISO_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT00:00:00Z")


class TestFocus:
    """https://focus.finops.org/focus-specification/v1-2/, by column."""

    def rows(self) -> list[dict[str, object]]:
        return focus_rows(ROWS, {"aws": "rekognition", "mine": "onnx"})

    def test_every_row_has_every_column(self) -> None:
        """All 21 mandatory columns stand in every row, and no name but those of the specification
        and own ones, which begin with x_."""
        assert len(MANDATORY) == 21
        for row in self.rows():
            assert tuple(row) == COLUMNS
            never_null = set(MANDATORY) - {"ChargeClass"}
            assert not [name for name in never_null if row[name] in ("", None)]

    def test_costs_and_quantities_are_numbers_in_usd_and_images(self) -> None:
        """A charge's cost is the same before and after discounts, for the ledger knows none."""
        charge = self.rows()[0]
        costs = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
        assert {charge[name] for name in costs} == {0.001}
        assert (charge["PricingQuantity"], charge["PricingUnit"]) == (1.0, "Images")
        assert charge["BillingCurrency"] == "USD"

    def test_periods_are_a_day_and_its_month(self) -> None:
        """Both ends are moments in UTC; the later one is excluded."""
        charge = self.rows()[1]
        assert [charge["ChargePeriodStart"], charge["ChargePeriodEnd"]] == [
            "2026-11-30T00:00:00Z",
            "2026-12-01T00:00:00Z",
        ]
        assert [charge["BillingPeriodStart"], charge["BillingPeriodEnd"]] == [
            "2026-11-01T00:00:00Z",
            "2026-12-01T00:00:00Z",
        ]
        assert all(ISO_MOMENT.fullmatch(str(charge[name])) for name in COLUMNS if "Period" in name)

    def test_values_are_those_that_the_specification_allows(self) -> None:
        """Categories are of its lists, and tags a JSON object."""
        for charge in self.rows():
            assert charge["ChargeCategory"] == "Usage"
            assert charge["ChargeFrequency"] == "Usage-Based"
            assert charge["PricingCategory"] == "Standard"
            assert charge["ServiceCategory"] == "AI and Machine Learning"
        assert self.rows()[0]["Tags"] == '{"env":"prod","team":"search"}'

    def test_the_vendor_is_named_where_it_is_known(self) -> None:
        """A vendor's provider is named as its own bill names it, any other as the config does."""
        aws, _, mine = self.rows()
        assert (aws["ProviderName"], aws["ServiceName"]) == ("AWS", "Amazon Rekognition")
        assert (mine["ProviderName"], mine["ServiceName"]) == ("mine", "mine")

    def test_a_photo_that_nobody_answered_is_no_charge(self) -> None:
        """Accounts without a provider are left out."""
        assert len(self.rows()) == 3
