"""What finance asks of the command: usage, statements and reconciled bills."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from datetime import date
from pathlib import Path

import pytest
import yaml

from gateway.cli.console import read
from gateway.core.clock import steady
from gateway.ledger.accounts import Account, AccountKey, LedgerRow, day_of
from gateway.ledger.focus import COLUMNS
from gateway.quality.report.statement import Statement, headline
from gateway.wiring.stores import open_stores
from tests.support.command import CONFIG, RunCommand, command_in

SHOP = AccountKey("shop", "phone", "team=search", "objects", "eye", "objects")
PRESS = AccountKey("press", "web", "", "faces", "eye", "faces")
CHARGES = {
    SHOP: Account(400, 400, 100.0, 0.5, 0.1, 0.4, cached=4, watching=2.0),
    PRESS: Account(10, 10, 10.0, 0.0, 0.01, 0.01),
}
TODAY = day_of(time.time())


@pytest.fixture
def imgrid(tmp_path: Path) -> RunCommand:
    """`imgrid(*words)`: the command in a process of its own."""
    return command_in(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The folder of a gateway whose ledger has two tenants' accounts of today."""
    config = tmp_path / "imgrid.yaml"
    config.write_text(yaml.safe_dump(CONFIG))

    async def charge() -> None:
        stores = open_stores(read(config), config, steady())
        await stores.ledger.charge(CHARGES, charge_id="c")
        await stores.close()

    asyncio.run(charge())
    return tmp_path


class TestUsage:
    def test_rows_are_by_what_is_named(self, imgrid: RunCommand, ledger: Path) -> None:
        """Each row has its labels, and the last one all together."""
        shown = imgrid("usage", "--by", "key,tag:team")
        assert shown.returncode == 0, shown.stderr
        rows = [line for line in shown.stdout.splitlines() if "│" in line]
        cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
        assert ["phone", "search", "400", "400", "100.00", "0.50", "0.1000", "0.4000"] in cells
        assert cells[-1][:4] == ["all", "", "410", "410"]
        assert "is foreseen from 3 full days on" in shown.stdout

    def test_json_and_csv_have_the_same_figures(self, imgrid: RunCommand, ledger: Path) -> None:
        """Both name every figure."""
        as_json = json.loads(imgrid("usage", "--by", "tenant", "--format", "json").stdout)
        as_csv = imgrid("usage", "--by", "tenant", "--format", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(as_csv)))
        assert [row["tenant"] for row in rows] == [each["tenant"] for each in as_json]
        for row, record in zip(rows, as_json, strict=True):
            assert float(row["saved_usd"]) == record["saved_usd"]

    def test_focus_is_a_row_a_day_and_account(self, imgrid: RunCommand, ledger: Path) -> None:
        """Tools for cloud costs read it."""
        shown = imgrid("usage", "--format", "focus", "--tenant", "shop")
        (row,) = csv.DictReader(io.StringIO(shown.stdout))
        assert tuple(row) == COLUMNS
        assert (row["SubAccountId"], row["Tags"]) == ("shop", '{"team":"search"}')

    @pytest.mark.parametrize(
        ("options", "word"),
        [(("--by", "days"), "--by: 'days'"), (("--from", "today"), "--from, --to: 'today'")],
    )
    def test_a_wrong_option_is_named(
        self, imgrid: RunCommand, ledger: Path, options: tuple[str, str], word: str
    ) -> None:
        """The error says which, and what would do."""
        refused = imgrid("usage", *options)
        assert refused.returncode != 0
        assert word in " ".join(refused.stderr.split())


class TestStatement:
    def test_each_tenant_has_a_page_and_a_table(self, imgrid: RunCommand, ledger: Path) -> None:
        """The page says what was paid instead of what; the table has every account."""
        made = imgrid("statement", "--month", TODAY[:7], "--out", "out")
        assert made.returncode == 0, made.stderr
        stem = ledger / "out" / f"shop-{TODAY[:7]}"
        page = stem.with_name(stem.name + ".html").read_text()
        assert "<b>0.10&nbsp;USD</b> instead of <b>0.40&nbsp;USD</b>: saved <b>75%</b>" in page
        assert "press" not in page
        text = stem.with_name(stem.name + ".csv").read_text()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["tag"] for row in rows] == ["team=search"]
        assert (ledger / "out" / f"press-{TODAY[:7]}.html").exists()

    def test_a_month_without_photos_is_told(self, imgrid: RunCommand, ledger: Path) -> None:
        """Nothing is written for it."""
        refused = imgrid("statement", "--month", "2001-01", "--out", "out")
        assert refused.returncode != 0
        assert "2001-01: the ledger has nothing" in refused.stderr
        assert not (ledger / "out").exists()

    def test_a_page_fetches_nothing_and_escapes_names(self) -> None:
        """Names come from clients; the page stands alone."""
        key = SHOP._replace(tenant="<b>", tags="team=<script>", key="&")
        rows = [LedgerRow("2026-11-30", key, Account(1, 1))]
        page = Statement("<b>", date(2026, 11, 1), rows).page
        assert "<script" not in page
        assert "Statement for &lt;b&gt;, November 2026" in page
        assert "http" not in page.replace("http-equiv", "")

    @pytest.mark.parametrize(
        ("account", "text"),
        [
            (Account(4, 4, 1, paid_usd=1.0, alone_usd=4.0), "saved <b>75%</b>"),
            (Account(4, 4, 8, paid_usd=8.0, alone_usd=4.0), "<b>100%</b> more"),
            (Account(4, 4), "Nothing was paid: 4 photos"),
        ],
    )
    def test_the_headline_is_what_was_paid_instead_of_what(
        self, account: Account, text: str
    ) -> None:
        """Also where grids cost more, or nothing was paid."""
        assert text in headline(account)

    def test_notes_tell_what_is_apart(self) -> None:
        """What may be billed, what was cached, and what the gateway asked for itself."""
        rows = [LedgerRow("2026-12-01", SHOP, CHARGES[SHOP])]
        page = Statement("shop", date(2026, 12, 1), rows).page
        assert "0.50 further images were asked about without an answer" in page
        assert "4 photos were answered from earlier answers" in page
        assert "2.00 of the images billed were asked about by the gateway itself" in page


class TestReconcile:
    def bill(self, folder: Path, images: float) -> str:
        file = folder / "bill.csv"
        file.write_text(
            "lineItem/UsageStartDate,lineItem/ProductCode,lineItem/UsageAmount,"
            f"lineItem/UnblendedCost\n{TODAY}T10:00:00Z,AmazonRekognition,{images},0.11\n"
        )
        return str(file)

    def test_a_bill_that_agrees_says_so(self, imgrid: RunCommand, ledger: Path) -> None:
        """Every day lies within what the ledger knows."""
        shown = imgrid("reconcile", self.bill(ledger, 110))
        assert shown.returncode == 0, shown.stderr
        assert "every day agrees: the vendor billed 110.00 images" in " ".join(shown.stdout.split())

    def test_a_day_that_differs_ends_with_1(self, imgrid: RunCommand, ledger: Path) -> None:
        """A script notices; the table says on which day, and by how much."""
        shown = imgrid("reconcile", self.bill(ledger, 120), "--provider", "eye")
        assert shown.returncode == 1
        assert "the vendor billed more (+9.50)" in shown.stdout
        assert "1 of 1 days differ" in " ".join(shown.stdout.split())

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (("nowhere.csv",), "nowhere.csv"),
            (("bill.csv", "--provider", "aws"), "--provider aws: there is none; there are eye"),
            (("bill.csv", "--columns", "a=b"), "--columns: write day=…,images=…"),
        ],
    )
    def test_what_cannot_be_compared_is_named(
        self, imgrid: RunCommand, ledger: Path, words: tuple[str, ...], text: str
    ) -> None:
        """The error names the file, or the option."""
        self.bill(ledger, 1)
        refused = imgrid("reconcile", *words)
        assert refused.returncode != 0
        assert text in " ".join(refused.stderr.split())
