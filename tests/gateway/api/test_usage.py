"""`GET /v1/usage` tells a tenant its own accounts, and operators all."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.ledger.accounts import day_of
from gateway.ledger.focus import COLUMNS
from gateway.ledger.usage import FIGURES
from gateway.security.keyring import sha256_of
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
CONFIG: dict[str, Any] = {
    "providers": {"eye": {"kind": "shapes", "usd_per_image": 0.001}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}],
    "tenants": [
        {
            "name": "shop",
            "keys": [
                {"dialect": "native", "key": "key-phone", "name": "phone"},
                {"dialect": "native", "key": "key-web"},
            ],
        },
        {"name": "press", "keys": [{"dialect": "native", "key": "key-press"}]},
    ],
    "operator_keys": [{"key": "key-operator"}],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway that answered four photos: two by the shop's phone, of two teams, one by its web
    site, and one of the press."""
    folder: Path = tmp_path_factory.mktemp("usage")
    with (
        serving(parts_of(folder, CONFIG)) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        for key, tags in (
            ("phone", "team=search, env=prod"),
            ("phone", "team=ads"),
            ("web", ""),
            ("press", ""),
        ):
            headers = {"X-Api-Key": f"key-{key}", "X-Imgrid-Tags": tags}
            reply = client.post("/v1/detect", content=PHOTO, headers=headers)
            assert reply.status_code == 200, reply.text
        yield client


def usage(client: httpx.Client, key: str, **query: str) -> Any:
    reply = client.get("/v1/usage", params=query, headers={"X-Api-Key": f"key-{key}"})
    assert reply.status_code == 200, reply.text
    return reply.json() if query.get("format", "json") == "json" else reply.text


class TestTenants:
    def test_a_tenant_has_its_sum(self, client: httpx.Client) -> None:
        """Without a query a tenant gets the sum of its accounts, by any of its keys."""
        assert usage(client, "phone") == usage(client, "web")
        assert usage(client, "phone")["billed_images"] == 3
        assert "rows" not in usage(client, "phone")

    def test_rows_are_by_what_the_query_names(self, client: httpx.Client) -> None:
        """Keys stand under their names, those without one under the start of their digest; tags
        stand in the order of their names."""
        rows = usage(client, "phone", by="key,tag")["rows"]
        names = {(row["key"], row["tag"]): row["answered"] for row in rows}
        assert names == {
            ("phone", "env=prod,team=search"): 1,
            ("phone", "team=ads"): 1,
            (f"sha256:{sha256_of('key-web')[:8]}", ""): 1,
        }
        (row,) = usage(client, "phone", by="day,task,provider,route")["rows"]
        labels = [row[name] for name in ("day", "task", "provider", "route")]
        assert labels == [day_of(time.time()), "objects", "eye", "objects"]

    def test_a_tag_picks_its_requests(self, client: httpx.Client) -> None:
        """Only requests with the whole tag count."""
        assert usage(client, "phone", tag="team=search")["photos"] == 1
        assert usage(client, "phone", tag="team=sea")["photos"] == 0

    def test_days_bound_the_sum(self, client: httpx.Client) -> None:
        """Months and days bound it, both included."""
        today = day_of(time.time())
        assert usage(client, "phone", **{"from": today, "to": today})["photos"] == 3
        assert usage(client, "phone", **{"from": today[:7], "to": today[:7]})["photos"] == 3
        assert usage(client, "phone", to="2001-01")["photos"] == 0

    def test_another_tenants_accounts_are_not_found(self, client: httpx.Client) -> None:
        """A tenant learns of no other tenant, not even whether there is one."""
        for name in ("shop", "nobody"):
            reply = client.get(
                "/v1/usage", params={"tenant": name}, headers={"X-Api-Key": "key-press"}
            )
            assert reply.status_code == 404


class TestOperators:
    def test_an_operator_sees_all_tenants(self, client: httpx.Client) -> None:
        """An operator's key shows all accounts, or one tenant's."""
        rows = usage(client, "operator", by="tenant")["rows"]
        assert {row["tenant"]: row["photos"] for row in rows} == {"shop": 3, "press": 1}
        assert usage(client, "operator", tenant="press")["photos"] == 1

    def test_an_operators_key_asks_about_no_photo(self, client: httpx.Client) -> None:
        """It is no tenant's: nobody could be charged."""
        headers = {"X-Api-Key": "key-operator"}
        assert client.post("/v1/detect", content=PHOTO, headers=headers).status_code == 401

    def test_nobody_else_sees_anything(self, client: httpx.Client) -> None:
        """Without a key that is known here there is no answer."""
        assert client.get("/v1/usage").status_code == 401
        headers = {"X-Api-Key": "key-guessed"}
        assert client.get("/v1/usage", headers=headers).status_code == 401


class TestForms:
    def test_csv_has_labels_and_figures(self, client: httpx.Client) -> None:
        """As CSV the rows have their labels first."""
        text = usage(client, "operator", by="tenant", format="csv")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert list(rows[0]) == ["tenant", *FIGURES]
        assert {row["tenant"] for row in rows} == {"shop", "press"}

    def test_focus_has_its_columns(self, client: httpx.Client) -> None:
        """As FOCUS there is a row for each day and account, and what was paid adds up."""
        rows = list(csv.DictReader(io.StringIO(usage(client, "operator", format="focus"))))
        assert tuple(rows[0]) == COLUMNS
        assert sum(float(row["BilledCost"]) for row in rows) == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"form": "csv"}, "form"),
        ({"format": "xml"}, "format"),
        ({"by": "days"}, "tag:NAME"),
        ({"from": "yesterday"}, "2026-11-30"),
    ],
)
def test_an_unknown_parameter_or_value_is_refused(
    client: httpx.Client, query: dict[str, str], word: str
) -> None:
    """The refusal says what is wrong, and what would do."""
    reply = client.get("/v1/usage", params=query, headers={"X-Api-Key": "key-phone"})
    assert reply.status_code == 400
    assert word in reply.json()["error"]["message"]


@pytest.mark.parametrize("tags", ["search", "team=", "a=1,a=2", "team=se arch", "a=1," * 6])
def test_tags_that_cannot_be_kept_are_refused(client: httpx.Client, tags: str) -> None:
    """The refusal says what tags look like."""
    headers = {"X-Api-Key": "key-phone", "X-Imgrid-Tags": tags}
    reply = client.post("/v1/detect", content=PHOTO, headers=headers)
    assert reply.status_code == 400
    assert "team=search" in reply.json()["error"]["message"]
