"""New keys: their generation, what the key store holds of them, and how a client uses them.

Keys have the length and the alphabet of each cloud's own keys, for SDKs and tools expect them. They
begin differently, so that they are not mistaken for a cloud's own.
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
"""Random characters of an alphabet: alphabet, count."""

HEX = "0123456789abcdef"
LETTERS = string.ascii_letters + string.digits
BASE32 = string.ascii_uppercase + "234567"


class NewKey(NamedTuple):
    """A key as it is shown once. `key` is an AWS pair's access key if there is a `secret`."""

    dialect: KeyDialect
    key: str
    secret: str = ""


def generate(dialect: KeyDialect, draw: Draw) -> NewKey:
    """A new key with at least 128 random bits, so that it cannot be found from its plain
    digest."""
    if dialect == KeyDialect.REKOGNITION:
        return NewKey(dialect, "IMGR" + draw(BASE32, 16), draw(LETTERS, 40))
    if dialect == KeyDialect.AZURE:
        return NewKey(dialect, draw(HEX, 32))
    if dialect == KeyDialect.GOOGLE:
        return NewKey(dialect, "ImGr" + draw(LETTERS, 35))
    return NewKey(dialect, "imgrid_" + draw(LETTERS, 40))


class KeyTerms(NamedTuple):
    """The tenant of a key, and when and in which regions it is valid."""

    key_id: str
    tenant: str
    created: datetime
    expires: datetime | None = None
    regions: Sequence[str] = ()


def stored_key(new_key: NewKey, terms: KeyTerms) -> StoredKey:
    """What the key store holds of a new key."""
    key_id, tenant, created, expires, regions = terms
    if new_key.secret:
        return PairKey(
            id=key_id,
            tenant=tenant,
            created=created,
            expires=expires,
            access_key=new_key.key,
            secret_key=new_key.secret,
            regions=tuple(regions),
        )
    return BearerKey(
        id=key_id,
        tenant=tenant,
        created=created,
        expires=expires,
        dialect=cast(BearerDialect, new_key.dialect.value),
        sha256=sha256_of(new_key.key),
    )


def client_lines(new_key: NewKey, url: str, *, task: str, region: str) -> str:
    """The lines with which a client of the key's dialect uses it at a gateway of that URL."""
    return _LINES[new_key.dialect].format(
        key=new_key.key, secret=new_key.secret, url=url, task=task, region=region
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
