"""A vendor's bill is held beside the ledger, by day."""

from __future__ import annotations

import csv
import io

import pytest

from gateway.ledger.accounts import Account, AccountKey, LedgerRow
from gateway.ledger.focus import COLUMNS, focus_rows
from gateway.ledger.reconcile import (
    BillColumns,
    BillError,
    DayBill,
    Finding,
    compared,
    read_bill,
)
from gateway.ledger.usage import csv_of

AWS = AccountKey("shop", task="objects", provider="aws", route="objects")


def lines(*rows: list[str]) -> io.StringIO:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return io.StringIO(out.getvalue())


class TestFormats:
    def test_a_cost_and_usage_report_of_aws(self) -> None:
        """Only rows of Rekognition count, and hours add up to days."""
        head = ["lineItem/UsageStartDate", "lineItem/ProductCode"]
        head += ["lineItem/UsageAmount", "lineItem/UnblendedCost"]
        form, bill = read_bill(
            lines(
                head,
                ["2026-11-30T10:00:00Z", "AmazonRekognition", "100", "0.1"],
                ["2026-11-30T11:00:00Z", "AmazonRekognition", "50", "0.05"],
                ["2026-11-30T11:00:00Z", "AmazonS3", "7", "9"],
            )
        )
        assert form == "AWS"
        assert bill == {"2026-11-30": DayBill(150, pytest.approx(0.15))}

    def test_a_cost_table_of_google(self) -> None:
        """Amounts may have commas between thousands."""
        head = ["Service description", "SKU description", "Usage start date", "Usage amount"]
        row = ["Cloud Vision API", "Object localization", "2026-11-30", "1,500"]
        form, bill = read_bill(lines([*head, "Cost ($)"], [*row, "2.25"]))
        assert (form, bill) == ("Google", {"2026-11-30": DayBill(1500, 2.25)})

    def test_usage_details_of_azure(self) -> None:
        """Azure writes the month first, and counts in thousands."""
        head = ["Date", "MeterCategory", "Quantity", "UnitOfMeasure", "CostInBillingCurrency"]
        row = ["11/30/2026", "Cognitive Services", "1.5", "1K", "1.5"]
        form, bill = read_bill(lines(head, row))
        assert (form, bill) == ("Azure", {"2026-11-30": DayBill(1500, 1.5)})

    def test_the_ledgers_own_focus_export_agrees_with_it(self) -> None:
        """What is exported as FOCUS is read back to the same images and USD."""
        rows = [LedgerRow("2026-11-30", AWS, Account(4, 4, 1.25, paid_usd=0.00125))]
        text = csv_of(focus_rows(rows, {"aws": "rekognition"}), COLUMNS)
        form, bill = read_bill(io.StringIO(text))
        assert form == "FOCUS"
        (day,) = compared(bill, rows)
        assert (day.finding, day.bill.usd) == (Finding.AGREES, 0.00125)

    def test_any_table_by_its_columns(self) -> None:
        """A table of another kind is read by the names that are given."""
        columns = BillColumns(("when",), ("count",), ())
        _, bill = read_bill(lines(["when", "count"], ["2026-11-30 10:00", "3"]), columns)
        assert bill == {"2026-11-30": DayBill(3, 0)}

    def test_what_is_no_bill_says_what_would_do(self) -> None:
        """The error names the columns that there are, and how to name them."""
        with pytest.raises(BillError, match=r"its columns are a, b.*--columns day="):
            read_bill(lines(["a", "b"], ["1", "2"]))
        with pytest.raises(BillError, match="none"):
            read_bill(io.StringIO(""))

    @pytest.mark.parametrize("row", [["soon", "3"], ["2026-11-30", "many"]])
    def test_a_line_that_cannot_be_read_is_named(self, row: list[str]) -> None:
        """The error has the number of the line in the file."""
        columns = BillColumns(("when",), ("count",), ())
        with pytest.raises(BillError, match="line 2: "):
            read_bill(lines(["when", "count"], row), columns)


class TestFindings:
    @pytest.mark.parametrize(
        ("vendor", "finding", "missing"),
        [
            (10.0, Finding.AGREES, 0),
            (11.5, Finding.MAYBE, 0),
            (12.0, Finding.MAYBE, 0),
            (15.0, Finding.MORE, 3),
            (7.0, Finding.LESS, -3),
        ],
    )
    def test_a_bill_lies_between_what_is_certain_and_what_may_be(
        self, vendor: float, finding: Finding, missing: float
    ) -> None:
        """Ten images are certain, and two more may be billed."""
        rows = [LedgerRow("2026-11-30", AWS, Account(billed=10, unknown=2))]
        (day,) = compared({"2026-11-30": DayBill(vendor)}, rows)
        assert (day.finding, day.missing) == (finding, missing)

    def test_days_that_one_side_lacks_are_compared_with_nothing(self) -> None:
        """Between the first and the last day of the bill no day of the ledger is left out; before
        and after it all are."""
        rows = [LedgerRow(f"2026-11-{day}", AWS, Account(billed=1)) for day in (10, 12, 14)]
        bill = {"2026-11-11": DayBill(1), "2026-11-13": DayBill(2)}
        findings = {day.day: day.finding for day in compared(bill, rows)}
        assert findings == {
            "2026-11-11": Finding.MORE,
            "2026-11-12": Finding.LESS,
            "2026-11-13": Finding.MORE,
        }

    def test_only_the_providers_of_the_account_count(self) -> None:
        """Another provider's images are of another bill."""
        rows = [
            LedgerRow("2026-11-30", AWS, Account(billed=10)),
            LedgerRow("2026-11-30", AWS._replace(provider="google"), Account(billed=5)),
        ]
        (day,) = compared({"2026-11-30": DayBill(10)}, rows, ["aws"])
        assert day.finding == Finding.AGREES
