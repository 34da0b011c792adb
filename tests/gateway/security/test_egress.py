"""The egress guard connects to the addresses that it judged, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import (
    Callable,
    Sequence,
)
from ipaddress import IPv6Network

import pytest

from gateway.security.egress import (
    CheckedBackend,
    EgressGuard,
    FetchFailed,
    UrlRefused,
)
from tests.support.egress import (
    LOOPBACK,
    Request,
    ScriptedServer,
    Serve,
    always,
    reply,
)


async def test_an_allowed_server_is_fetched_from(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A server in an allowed network gets one request, with its host's name and no credentials."""
    server = await serve(lambda request: [reply(b"photo")])
    guard = guard_with(resolve=always("127.0.0.1"))
    assert (
        await guard.fetch(f"http://photos.example:{server.port}/a%20b?c=d#e", max_bytes=5)
        == b"photo"
    )
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/a%20b?c=d")
    assert request.headers == {
        "host": f"photos.example:{server.port}",
        "user-agent": "imgrid-gateway",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


async def test_the_systems_resolver_is_guarded_as_well(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A guard without a resolver of its own uses the system's, and judges its answers."""
    server = await serve(lambda request: [reply(b"photo")])
    url = f"http://localhost:{server.port}/"
    with pytest.raises(UrlRefused):
        await guard_with(allow=()).fetch(url, max_bytes=10)
    assert (
        await guard_with(allow=[*LOOPBACK, IPv6Network("::1/128")]).fetch(url, max_bytes=10)
        == b"photo"
    )


# What is judged is what is connected to


async def test_a_name_is_resolved_once_for_a_connection(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A connection goes to the address that was judged, though the name resolves to another one
    afterwards; the next call is judged anew."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    server = await serve(lambda request: [reply(b"photo")])

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    guard = guard_with(resolve=rebinding)
    url = f"http://photos.example:{server.port}/"
    assert await guard.fetch(url, max_bytes=10) == b"photo"
    assert answers == [["127.0.0.2"]]
    await server.done.wait()
    with pytest.raises(UrlRefused):
        await guard.fetch(url, max_bytes=10)
    assert server.connections == 1


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1"), ("127.0.0.1", "::1")]
)
async def test_one_refused_address_of_a_name_refuses_all(
    serve: Serve, guard_with: Callable[..., EgressGuard], addresses: tuple[str, ...]
) -> None:
    """A name with several addresses is refused if one of them is."""
    server = await serve(lambda request: [reply(b"photo")])
    with pytest.raises(UrlRefused):
        await guard_with(resolve=always(*addresses)).fetch(
            f"http://photos.example:{server.port}/", max_bytes=10
        )
    assert not server.connections


async def test_the_next_address_is_tried_after_a_failure(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """Of several allowed addresses, one that refuses the connection is skipped, and both families
    get a turn."""
    server = await serve(lambda request: [reply(b"photo")])
    allow = [*LOOPBACK, IPv6Network("::1/128"), IPv6Network("::ffff:0:0/96")]
    many = ("::1", *(f"::ffff:127.0.0.{last}" for last in range(2, 9)), "127.0.0.1")
    guard = guard_with(allow, resolve=always(*many))
    assert await guard.fetch(f"http://photos.example:{server.port}/", max_bytes=10) == b"photo"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::1%lo", "anything"])
async def test_the_backend_judges_every_connection(host: str) -> None:
    """A host that passes the check of the URL is judged again at the connection."""
    with pytest.raises(UrlRefused):
        await CheckedBackend(always("127.0.0.1")).connect_tcp(host, 80)


async def test_the_backend_connects_to_no_unix_socket() -> None:
    """The backend refuses sockets in the file system."""
    with pytest.raises(UrlRefused):
        await CheckedBackend(always("127.0.0.1")).connect_unix_socket("/run/any.sock")


async def test_proxies_of_the_environment_are_ignored(
    serve: Serve, guard_with: Callable[..., EgressGuard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names gets no request, because it would connect anywhere."""
    server, proxy = (
        await serve(lambda request: [reply(b"photo")]),
        await serve(lambda request: [reply(b"proxy")]),
    )
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await guard_with().fetch(server.url, max_bytes=10) == b"photo"
    assert not proxy.connections


async def test_tls_asks_for_the_hosts_name(
    secure: ScriptedServer, guard_with: Callable[..., EgressGuard]
) -> None:
    """The connection goes to an address, but TLS requests and verifies the name."""
    url = f"https://photos.example:{secure.port}/"
    assert await guard_with(resolve=always("127.0.0.1")).fetch(url, max_bytes=10) == b"photo"
    assert secure.sni_names == ["photos.example"]
    assert secure.requests[0].headers["host"] == f"photos.example:{secure.port}"


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_a_certificate_for_another_name_is_refused(
    secure: ScriptedServer, guard_with: Callable[..., EgressGuard], host: str
) -> None:
    """A trusted certificate for another host is a permanent failure, and nothing is sent."""
    with pytest.raises(FetchFailed, match="certificate") as error:
        await guard_with(resolve=always("127.0.0.1")).post(
            f"https://{host}:{secure.port}/", b"secret", {}
        )
    assert not error.value.transient
    assert not secure.requests


async def test_a_self_signed_certificate_is_refused_by_default(
    secure: ScriptedServer, guard_with: Callable[..., EgressGuard]
) -> None:
    """By default only certificates that chain to a public authority are trusted."""
    guard = guard_with(resolve=always("127.0.0.1"), tls=None)
    with pytest.raises(FetchFailed, match="certificate"):
        await guard.fetch(f"https://photos.example:{secure.port}/", max_bytes=10)
    assert not secure.requests


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_every_kind_of_redirect_is_followed(
    serve: Serve, guard_with: Callable[..., EgressGuard], status: int
) -> None:
    """Every kind of redirect is followed, to a relative place too."""
    pages = {"/a/b": reply(status=f"{status} Moved", Location="../c?d"), "/c?d": reply(b"photo")}
    server = await serve(lambda request: [pages[request.path]])
    assert await guard_with().fetch(f"{server.url}/a/b", max_bytes=10) == b"photo"


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2/",
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/",
        "http://[::1]/",
        "http://2130706433/",
        "http://inside.example/",
        "http://user@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://127.0.0.1:0/",
    ],
)
async def test_a_redirect_to_a_refused_address_is_refused(
    serve: Serve, guard_with: Callable[..., EgressGuard], place: str
) -> None:
    """An allowed server cannot redirect the gateway to a refused address."""
    server = await serve(lambda request: [reply(status="302 Found", Location=place)])
    with pytest.raises(UrlRefused):
        await guard_with(resolve=always("10.0.0.1")).fetch(server.url, max_bytes=10)
    assert server.connections == 1


async def test_a_redirect_that_is_no_url_fails(
    serve: Serve, guard_with: Callable[..., EgressGuard]
) -> None:
    """A redirect to text that is no URL is a permanent failure."""
    server = await serve(lambda request: [reply(status="302 Found", Location="http://a:b:c/")])
    with pytest.raises(FetchFailed) as error:
        await guard_with().fetch(server.url, max_bytes=10)
    assert not error.value.transient


async def test_a_redirect_loop_ends(serve: Serve, guard_with: Callable[..., EgressGuard]) -> None:
    """A server that redirects to itself gets as many requests as redirects are allowed, and one
    more."""
    server = await serve(lambda request: [reply(status="302 Found", Location="/")])
    with pytest.raises(FetchFailed, match="too often") as error:
        await guard_with(max_redirects=2).fetch(server.url, max_bytes=10)
    assert len(server.requests) == 3
    assert not error.value.transient


@pytest.mark.parametrize(("redirects", "arrives"), [(3, True), (4, False)])
async def test_three_redirects_are_followed_and_no_more(
    serve: Serve, guard_with: Callable[..., EgressGuard], redirects: int, arrives: bool
) -> None:
    """The last allowed redirect still arrives."""

    def count(request: Request) -> list[bytes]:
        step = int(request.path[1:])
        return [
            reply(b"photo")
            if step == redirects
            else reply(status="302 Found", Location=f"/{step + 1}")
        ]

    server = await serve(count)
    fetched = asyncio.create_task(guard_with().fetch(f"{server.url}/0", max_bytes=10))
    await asyncio.wait([fetched])
    assert (fetched.exception() is None) is arrives


async def test_cookies_are_not_kept(serve: Serve, guard_with: Callable[..., EgressGuard]) -> None:
    """A cookie is not sent back to its server, neither after a redirect nor in the next request."""
    server = await serve(
        lambda request: [
            reply(status="302 Found", Location="/b", Set_Cookie="a=b")
            if request.path == "/a"
            else reply(Set_Cookie="c=d")
        ]
    )
    guard = guard_with()
    await guard.fetch(f"{server.url}/a", max_bytes=10)
    await guard.fetch(f"{server.url}/b", max_bytes=10)
    assert len(server.requests) == 3
    assert not any("cookie" in request.headers for request in server.requests)
