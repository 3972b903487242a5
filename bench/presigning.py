"""What a presigned part URL costs, ours and botocore's in turn, and whether they are the same."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from bench.tables import table
from transfer.signing import Credentials, presign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REGION, BUCKET, KEY = "eu-central-1", "models", "llama/70b/model-00001-of-00030.safetensors"
ENDPOINT = f"https://s3.{REGION}.amazonaws.com"
CREDENTIALS = Credentials("AKIDBENCH", "no/secret")
UPLOAD_ID = "VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZA"
LIFETIME = 3600
BOUND = {"content-length": "16777216", "x-amz-checksum-crc32c": "yZRlqg=="}


def measured(count: int, repeats: int) -> str:
    """Return a table: CPU microseconds a URL. RuntimeError if one differs from botocore's."""
    theirs = _botocore()
    rivals = {
        "transfer": lambda numbers: [_ours(n, time.time()) for n in numbers],
        "transfer, bound to size and checksum": lambda numbers: [
            _ours(n, time.time(), BOUND) for n in numbers
        ],
        "botocore": lambda numbers: [theirs(n) for n in numbers],
    }
    numbers = range(1, count + 1)
    costs: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(repeats):
        for name, sign in rivals.items():
            costs[name].append(_cost(sign, numbers))
    _compare([theirs(number) for number in numbers])
    head = [f"{count} URLs of UploadPart", "CPU us each", "least", "most"]
    return table(
        head,
        [[name, *(f"{x:.1f}" for x in (median(c), min(c), max(c)))] for name, c in costs.items()],
    )


def _cost(sign: Callable[[Sequence[int]], list[str]], numbers: Sequence[int]) -> float:
    began = time.process_time()
    sign(numbers)
    return (time.process_time() - began) / len(numbers) * 1e6


def _ours(number: int, now: float, headers: dict[str, str] | None = None) -> str:
    return presign(
        "PUT",
        f"{ENDPOINT}/{BUCKET}/{KEY}",
        credentials=CREDENTIALS,
        region=REGION,
        now=now,
        lifetime=LIFETIME,
        query={"uploadId": UPLOAD_ID, "partNumber": str(number)},
        headers=headers,
    )


def _botocore() -> Callable[[int], str]:
    # Where awscrt is installed, botocore signs by it, and with the query in another order.
    os.environ["BOTO_DISABLE_CRT"] = "true"
    from botocore.config import Config  # noqa: PLC0415 - the rest of the benchmark goes without
    from botocore.session import Session  # noqa: PLC0415

    client = Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=ENDPOINT,
        aws_access_key_id=CREDENTIALS.access_key,
        aws_secret_access_key=CREDENTIALS.secret_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    given = {"Bucket": BUCKET, "Key": KEY, "UploadId": UPLOAD_ID}

    def sign(number: int) -> str:
        params = given | {"PartNumber": number}
        url: str = client.generate_presigned_url("upload_part", params, ExpiresIn=LIFETIME)
        return url

    return sign


def _compare(urls: Sequence[str]) -> None:
    """Sign the same for the same second."""
    for number, url in enumerate(urls, 1):
        stamp = parse_qs(urlsplit(url).query)["X-Amz-Date"][0]
        second = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if _ours(number, second) != url:
            msg = f"part {number} is signed as botocore does not: {_ours(number, second)}, {url}"
            raise RuntimeError(msg)
