"""The greeting of a gateway that has started."""

from __future__ import annotations

from importlib import metadata
from math import isinf

from rich.markup import escape

from gateway.wiring.parts import Parts


def greeting(parts: Parts, url: str) -> str:
    """What an operator sees when the gateway listens: where, which tasks, who may ask, and what to
    try."""
    ops = parts.settings.ops_listen
    docs_url = f"http://{ops}" if ops else url
    lines = [
        f"[bold]imgrid {metadata.version('imgrid-gateway')}[/] listens on [bold]{url}[/]  (API: "
        f"{docs_url}/docs)"
    ]
    if parts.grpc is not None:
        lines.append(
            f"gRPC for Google's clients on [bold]{parts.grpc.address}[/] "
            f"({'TLS' if parts.grpc.secure else 'no TLS'})"
        )
    lines += ["", *route_lines(parts), "", _door(parts), "", "Try it:"]
    lines += [f"  {line}" for line in _trials(parts, url)]
    return "\n".join(lines)


def route_lines(parts: Parts) -> list[str]:
    """One line a route: its task, its provider, its shapes (those that it tries, where it plans
    itself), how long it waits, and for whom."""
    lines = []
    for route in parts.routes.values():
        about = parts.providers[route.provider].about
        users = f" for {', '.join(sorted(route.tenants))}" if route.tenants else ""
        wait = f"waits up to {1000 * route.max_wait_s:g} ms for company"
        if isinf(route.max_wait_s):
            wait = "waits for company as long as deadlines allow"
        shapes = route.cascade.shapes
        if grids := [str(look.shape) for look in route.looks if not look.provider]:
            shapes = f"plans itself ({shapes} until then; tries {', '.join(grids)})"
        lines.append(f"  {route.task:<11} {about.name} ({about.kind}), {shapes}, {wait}{users}")
    return lines


def _door(parts: Parts) -> str:
    if parts.keyring.open:
        return (
            "[yellow]It is open: no tenants are configured, so anybody on this machine may ask.[/]"
        )
    return f"Tenants: {', '.join(tenant.name for tenant in parts.settings.tenants)}."


def _trials(parts: Parts, url: str) -> list[str]:
    task = next(iter(parts.routes.values())).task
    operation = "detect_text" if task == "text" else "detect_labels"
    key = "" if parts.keyring.open else " -H 'Authorization: Bearer KEY'"
    access, secret = ("any", "any") if parts.keyring.open else ("ACCESS_KEY", "SECRET_KEY")
    code = (
        f"import boto3; print(boto3.client('rekognition', endpoint_url='{url}', "
        f"region_name='us-east-1', aws_access_key_id='{access}', aws_secret_access_key='{secret}')"
        f".{operation}(Image={{'Bytes': open('photo.jpg', 'rb').read()}}))"
    )
    return [
        escape(f"curl --data-binary @photo.jpg{key} '{url}/v1/detect?task={task}'"),
        escape(f'python -c "{code}"'),
    ]
