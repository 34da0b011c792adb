"""New keys: what they are made of, what is kept of them, and what their holder is told.

They have the length and the letters of each cloud's own, which is what SDKs and the tools around
them expect, and begin so that nobody takes them for a cloud's own.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from gateway.security.key_dialects import KeyDialect
from gateway.security.key_file import BearerDialect, BearerKey, PairKey, StoredKey
from gateway.security.keyring import sha256_of

Draw = Callable[[str, int], str]
"""So many characters at random out of those."""

HEX = "0123456789abcdef"
LETTERS = string.ascii_letters + string.digits
BASE32 = string.ascii_uppercase + "234567"


class NewKey(NamedTuple):
    """A key as its holder gets it, once: `secret` is an AWS pair's other half."""

    dialect: KeyDialect
    key: str
    secret: str = ""


def fresh(dialect: KeyDialect, draw: Draw) -> NewKey:
    """A key that nobody has: at least 128 bits of chance, so that its plain digest tells
    nothing."""
    if dialect == KeyDialect.REKOGNITION:
        return NewKey(dialect, "IMGR" + draw(BASE32, 16), draw(LETTERS, 40))
    if dialect == KeyDialect.AZURE:
        return NewKey(dialect, draw(HEX, 32))
    return NewKey(
        dialect,
        "ImGr" + draw(LETTERS, 35)
        if dialect == KeyDialect.GOOGLE
        else "imgrid_" + draw(LETTERS, 40),
    )


class KeyTerms(NamedTuple):
    """Whose a key is, and until when and where it is good."""

    key_id: str
    tenant: str
    created: datetime
    expires: datetime | None = None
    regions: Sequence[str] = ()


def stored(made: NewKey, terms: KeyTerms) -> StoredKey:
    """What the key store keeps of it."""
    key_id, tenant, created, expires, regions = terms
    if made.secret:
        return PairKey(
            id=key_id,
            tenant=tenant,
            created=created,
            expires=expires,
            access_key=made.key,
            secret_key=made.secret,
            regions=tuple(regions),
        )
    return BearerKey(
        id=key_id,
        tenant=tenant,
        created=created,
        expires=expires,
        dialect=cast(BearerDialect, made.dialect.value),
        sha256=sha256_of(made.key),
    )


def lines(made: NewKey, url: str, *, task: str, region: str) -> str:
    """What a client of that dialect writes to use the key at a gateway of that address."""
    return _LINES[made.dialect].format(
        key=made.key, secret=made.secret, url=url, task=task, region=region
    )


_LINES = {
    "native": """\
curl --data-binary @photo.jpg -H 'Authorization: Bearer {key}' '{url}/v1/detect?task={task}'""",
    "azure": """\
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.core.credentials import AzureKeyCredential

client = ImageAnalysisClient("{url}", AzureKeyCredential("{key}"))""",
    "google": """\
from google.cloud import vision

client = vision.ImageAnnotatorClient(
    transport="rest",
    client_options={{"api_endpoint": "{url}", "api_key": "{key}"}},
)""",
    "rekognition": """\
import boto3

client = boto3.client(
    "rekognition",
    endpoint_url="{url}",
    region_name="{region}",
    aws_access_key_id="{key}",
    aws_secret_access_key="{secret}",
)

or, with no line of code changed:

export AWS_ENDPOINT_URL_REKOGNITION={url} AWS_REGION={region} AWS_DEFAULT_REGION={region}
export AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret}""",
}
