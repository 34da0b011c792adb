"""The dashboard shows operators, and nobody else, what happens: money, quality, traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route

from gateway.api import server
from gateway.api.resources.dashboard import HEADERS, STATIC
from gateway.app import create_app
from gateway.config.tenants import BudgetSettings
from gateway.ledger.accounts import Account, AccountKey, day_of
from gateway.store.jobs import Delivery
from gateway.store.sqlite import ledger_tables
from gateway.store.sqlite.database import open_file
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import encoded, numbered
from tests.support.browser import CLIPPED, FAINT, OVERFLOWS, WINDOWS, Window, chromium, opened
from tests.support.paths import ROOT
from tests.support.webhooks import DeliveryMemory

DAY_S = 86400.0
ODD = "<b>shop</b> for garden furniture & more in all of Europe"
"""A name that would be markup, and is long."""
BUDGETS: list[dict[str, Any]] = [{"usd": 60}, {"images": 40, "mode": "soft", "tag": "team=search"}]
CONFIG: dict[str, Any] = {
    "providers": {"eye": {"kind": "shapes", "usd_per_image": 0.001}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}],
    "tenants": [
        {"name": ODD, "keys": [{"dialect": "native", "key": "shop"}], "budgets": BUDGETS},
        {"name": "press", "keys": [{"dialect": "native", "key": "press"}]},
    ],
    "operator_keys": [{"key": "operator"}],
}
PHOTO = encoded(numbered(3))
AXE = ROOT / "tests" / "js" / "node_modules" / "axe-core" / "axe.min.js"
SCROLLED = """
() => [...document.querySelectorAll('.scroll')]
  .filter(each => each.scrollWidth > each.clientWidth)
  .map(each => each.id)
"""
"""Tables that are wider than their place."""


def fill(folder: Path) -> None:
    """A ledger of six weeks, in the file of the gateway's jobs."""
    db, now = open_file(folder / "imgrid-jobs.sqlite3"), time.time()
    db.execute("BEGIN")
    for back in range(42):
        for tenant, photos in ((ODD, 2000), ("press", 500)):
            key = AccountKey(tenant, "k", "", "objects", "eye", "objects")
            account = Account(photos, photos, photos / 4, 0.5, photos / 4000, photos / 1000)
            ledger_tables.charge(db, day_of(now - back * DAY_S), {key: account})
    budget = BudgetSettings(**BUDGETS[0]).budget(ODD)
    ledger_tables.add_to_meters(db, {budget.meter(now): 49.5}, now)
    db.execute("COMMIT")
    db.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard")
    fill(folder)
    with serving(parts_of(folder, CONFIG)) as address:
        yield address


def dashboard(address: str, key: str = "operator", query: str = "") -> httpx.Response:
    headers = {"X-Api-Key": key} if key else {}
    return httpx.get(f"{address}/v1/dashboard{query}", headers=headers)


class TestApi:
    @pytest.mark.parametrize("key", ["", "shop", "guessed"])
    def test_nobody_but_an_operator_sees_it(self, address: str, key: str) -> None:
        """A tenant's key is refused as an unknown one is."""
        assert dashboard(address, key).status_code == 401

    def test_its_money_is_that_of_the_ledger(self, address: str) -> None:
        """The month's sums are those of /v1/usage."""
        money = dashboard(address).json()["money"]
        month = day_of(time.time())[:7]
        usage = httpx.get(
            f"{address}/v1/usage",
            params={"from": month, "to": month},
            headers={"X-Api-Key": "operator"},
        )
        assert money["month"] == usage.json()
        assert {row["tenant"] for row in money["tenants"]} == {ODD, "press"}
        assert len(money["days"]) == 31
        assert money["days"][-1]["paid_usd"] == pytest.approx(0.625)
        assert money["forecast"]["expected_usd"] > 0

    def test_budgets_have_their_meters(self, address: str) -> None:
        """What is spent and held of each, and when it begins anew."""
        hard, soft = dashboard(address).json()["budgets"]
        assert (hard["title"], hard["spent"], hard["limit"]) == ("60 USD a month", 49.5, 60)
        assert (soft["mode"], soft["spent"], soft["held"]) == ("soft", 0, 0)
        assert hard["resets_at"] > time.time()

    def test_the_rest_is_there(self, address: str) -> None:
        """Routes, providers and what waits."""
        content = dashboard(address).json()
        assert [route["name"] for route in content["routes"]] == ["objects"]
        assert [(each["name"], each["problem"]) for each in content["providers"]] == [("eye", "")]
        assert (content["photos"], content["lanes"], content["dead_letters"]) == (0, [], 0)
        assert (content["replicas"], content["dead_deliveries"]) == (1, 0)
        assert content["routes"][0]["cause"] is None

    def test_a_replica_tells_what_it_counted(self, tmp_path: Path) -> None:
        """Photos that it answered and refused, from its own metrics."""
        with serving(parts_of(tmp_path, CONFIG)) as address:
            before = dashboard(address).json()["replica"]
            for content in (PHOTO, b"no picture"):
                httpx.post(
                    f"{address}/v1/detect?task=objects",
                    content=content,
                    headers={"X-Api-Key": "shop"},
                )
            replica = dashboard(address).json()["replica"]
        assert before == {"waits": None, "answers": None, "fills": [], "refused": {}, "failed": {}}
        assert replica["answers"]["count"] == replica["waits"]["count"] == 1
        assert replica["answers"]["p50"] <= replica["answers"]["p99"]
        assert replica["fills"] == [{"provider": "eye", "task": "objects", "share": 1.0}]
        assert sum(replica["refused"].values()) == 1

    def test_webhooks_that_were_given_up_are_counted(self, tmp_path: Path) -> None:
        """An operator sees that somebody was not told."""
        delivery = Delivery("d", "press", "j", "job.done", 0, "https://a.example/", 9, 0.0, 0.0)
        parts = parts_of(tmp_path, CONFIG)
        deliveries = DeliveryMemory(dead={"d": delivery})
        stores = replace(parts.stores, deliveries=deliveries)
        with serving(replace(parts, stores=stores)) as address:
            assert dashboard(address).json()["dead_deliveries"] == 1

    def test_it_is_kept_nowhere_and_takes_no_parameters(self, address: str) -> None:
        """No cache on the way keeps it; an unknown parameter is refused."""
        assert dashboard(address).headers["Cache-Control"] == "no-store"
        assert dashboard(address, query="?tenant=press").status_code == 400

    def test_an_open_gateway_shows_it_to_its_own_machine(self, tmp_path: Path) -> None:
        """Without tenants there are no keys."""
        config = {name: CONFIG[name] for name in ("providers", "routes")}
        with serving(parts_of(tmp_path, config)) as address:
            assert dashboard(address, key="").status_code == 200

    def test_operators_with_an_address_of_their_own_have_it_there(self, tmp_path: Path) -> None:
        """It is not on the port of clients then."""
        app = create_app(parts_of(tmp_path, {**CONFIG, "ops_listen": "127.0.0.1:0"}))
        with server.serving(app) as address:
            assert dashboard(address).status_code == 404
            assert httpx.get(f"{address}/ui").status_code == 404
            assert dashboard(app.state.ops_address).status_code == 200
            assert dashboard(app.state.ops_address, "shop").status_code == 401
            assert httpx.get(f"{app.state.ops_address}/ui").status_code == 200


@pytest.mark.parametrize("path", STATIC)
def test_the_page_holds_no_data_and_runs_no_foreign_script(address: str, path: str) -> None:
    """Each file has its type, and a policy by which the page reads this gateway only."""
    reply = httpx.get(address + path)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, STATIC[path][1])
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS
    assert "garden" not in reply.text
    assert "innerHTML" not in reply.text
    assert " style=" not in reply.text


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def enter_key(page: Page, key: str = "operator") -> None:
    page.wait_for_selector("#login:not([hidden])")
    page.keyboard.type(key)  # the field has the focus
    page.keyboard.press("Enter")


def answer_with_trouble(route: Route, address: str) -> None:
    """Answers for the gateway, as it would when much is wrong."""
    content = dashboard(address).json()
    agreement = {"photos": 40, "mean": 0.9873, "low": 0.95, "high": 1.0}
    cause = {"photos": 120, "mean": 0.9012, "low": 0.87, "high": 0.93}
    content["routes"][0] |= {"level": "exact", "since": 1796032800.0, "promised": 0.95}
    content["routes"][0] |= {"agreement": agreement, "cause": cause}
    content["notices"] = {ODD: "left alone: " + "x" * 90}
    content["replica"]["refused"] = {"rate_limited": 12}
    route.fulfill(json={**content, "dead_letters": 1, "dead_deliveries": 100})


@pytest.mark.browser
class TestPage:
    @pytest.mark.parametrize("window", WINDOWS, ids=str)
    def test_an_operator_sees_what_happens(
        self, browser: Browser, address: str, window: Window
    ) -> None:
        """By keyboard alone, on a wide and on a narrow screen, light and dark: nothing is cut,
        faint or wider than the window, and names are text."""
        with opened(browser, f"{address}/ui", window) as page:
            enter_key(page)
            page.wait_for_selector("#content:not([hidden])")
            headline = page.inner_text("#headline")
            assert headline.startswith("This month ")
            assert "instead of" in headline
            assert ODD in page.inner_text("#tenants")
            assert page.locator("#days rect").count() == 62
            assert "49.5 of 60 spent (82.5 %)" in page.inner_text("#budgets").replace("\u00a0", " ")
            assert page.evaluate(OVERFLOWS) <= 0
            assert page.evaluate(CLIPPED) == []
            assert page.evaluate(SCROLLED) == []
            assert page.evaluate(FAINT) == []

    def test_a_wrong_key_is_told_and_forgotten(self, browser: Browser, address: str) -> None:
        """The page says so, and asks again."""
        with opened(browser, f"{address}/ui", WINDOWS[0]) as page:
            enter_key(page, "guessed")
            page.wait_for_selector("#refusal:not(:empty)")
            assert page.evaluate("sessionStorage.length") == 0
            enter_key(page)
            page.wait_for_selector("#content:not([hidden])")

    def test_a_key_can_be_forgotten(self, browser: Browser, address: str) -> None:
        """After that the page shows nothing any more."""
        with opened(browser, f"{address}/ui", WINDOWS[0]) as page:
            enter_key(page)
            page.wait_for_selector("#content:not([hidden])")
            page.click("#leave")
            page.wait_for_selector("#login:not([hidden])")
            assert not page.is_visible("#content")
            assert page.evaluate("sessionStorage.length") == 0

    def test_the_refresh_is_reached_by_keyboard(self, browser: Browser, address: str) -> None:
        """Tab leads to it, and the page reads again at once."""
        with opened(browser, f"{address}/ui", WINDOWS[0]) as page:
            enter_key(page)
            page.wait_for_selector("#content:not([hidden])")
            for _ in range(20):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.id") == "refresh":
                    break
            with page.expect_response("**/v1/dashboard"):
                page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.id") == "refresh"

    @pytest.mark.parametrize("window", WINDOWS, ids=str)
    def test_what_is_wrong_is_said(self, browser: Browser, address: str, window: Window) -> None:
        """Why a route is tightened, what was given up, which provider is left alone: in words, and
        names in them stay text."""
        with opened(browser, f"{address}/ui", window) as page:
            page.route("**/v1/dashboard", lambda route: answer_with_trouble(route, address))
            page.reload()
            page.wait_for_selector("#content:not([hidden])")
            text = page.inner_text("#content").replace("\u00a0", " ").replace("\u2011", "-")
            assert "answers within 1.3 % of asking" in text
            assert "objects is tightened to each photo alone since 2026-11-30, 10:00 UTC" in text
            assert "had fallen below the promised 95 %" in text
            assert "On 120 photos it was 90.1 % (87 % to 93 %)." in text
            assert "1 photo was given up" in text
            assert "100 or more webhooks were given up: see imgrid webhooks list." in text
            assert f"{ODD}: left alone" in text
            assert "rate_limited" in page.inner_text("#errors")
            assert page.evaluate(OVERFLOWS) <= 0
            assert page.evaluate(CLIPPED) == []
            assert page.evaluate(SCROLLED) == []
            assert page.evaluate(FAINT) == []

    def test_leaving_breaks_off_what_is_read(self, browser: Browser, address: str) -> None:
        """No reply that comes later shows anything after the key was forgotten."""
        with opened(browser, f"{address}/ui", WINDOWS[0]) as page:
            enter_key(page)
            page.wait_for_selector("#content:not([hidden])")
            page.route("**/v1/dashboard", lambda _: None)  # no reply comes
            with page.expect_request("**/v1/dashboard"):
                page.click("#refresh")
            with page.expect_event("requestfailed"):
                page.click("#leave")
            assert page.is_visible("#login")
            assert not page.is_visible("#content")

    @pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: make javascript")
    def test_axe_finds_nothing_serious(self, browser: Browser, address: str) -> None:
        """axe-core's rules for people who do not see, or use no mouse."""
        with opened(browser, f"{address}/ui", WINDOWS[0]) as page:
            enter_key(page)
            page.wait_for_selector("#content:not([hidden])")
            page.evaluate(AXE.read_text())
            result = page.evaluate("axe.run()")
            serious = [
                (each["id"], [node["html"][:100] for node in each["nodes"]])
                for each in result["violations"]
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == []
