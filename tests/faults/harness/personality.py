"""How one S3 differs from another; the defaults are what Amazon's does.

Sources: the S3 API reference, the answers that other projects have recorded
from it, Cloudflare's R2 documentation, and trials with radosgw 16.2 and
`rclone serve s3` 1.75.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Personality:
    """What a store does where stores differ; sizes in bytes, times in seconds.

    - `complete_twice`: a second, equal Complete gets the "same answer", or "404".
    - `equal_parts`: all parts but the last have exactly one size (R2).
    - `kms_etags`: ETags look like MD5 and are not; `random_etags`: they do not
      even look like it (S3 Express); `object_etags` False: objects have `""`.
    - `checksums` False: x-amz-checksum-* is ignored, and so is x-amz-mp-object-size.
    - `conditional` False: If-Match and If-None-Match of writes are ignored;
      `conditional_complete` False: only those of Complete are.
    - `late_parts_win`: of two attempts of one part, the one that ends last is
      kept; False: the one that began last.
    - `abort_misses_parts_in_flight`: an abort while parts are being sent leaves
      the upload open, with those parts: it has to be asked for again.
    - `ranged_status`: of an answer to a range (rclone: 200, with Content-Range).
    - `no_version`: If-Match and If-None-Match of reads are ignored.
    - `trailers`: aws-chunked bodies are decoded and their trailers verified;
      "reject" refuses them, "store" keeps the framing as content.
    - `clock_skew`: how far the store's clock is ahead of its `Clock`.
    - `min_part` binds all parts but the last; `page` is the most a listing gives.
    """

    name: str = "aws"
    region: str = "us-east-1"
    complete_twice: Literal["same answer", "404"] = "same answer"
    equal_parts: bool = False
    kms_etags: bool = False
    random_etags: bool = False
    object_etags: bool = True
    checksums: bool = True
    conditional: bool = True
    conditional_complete: bool = True
    late_parts_win: bool = True
    abort_misses_parts_in_flight: bool = False
    ranged_status: int = 206
    no_version: bool = False
    capital_metadata: bool = False
    expired_status: int = 403
    trailers: Literal["verify", "reject", "store"] = "verify"
    clock_skew: float = 0.0
    min_part: int = 5 * MIB
    max_part: int = 5 * GIB
    max_parts: int = 10_000
    page: int = 1000

    def but(self, **changes: Any) -> Self:
        """Return the same with some things different: `AWS.but(min_part=1024)`."""
        return replace(self, **changes)


AWS = Personality()
KMS = AWS.but(name="kms", kms_etags=True)
EXPRESS = AWS.but(name="express", random_etags=True)
R2 = AWS.but(name="r2", equal_parts=True)
CEPH = AWS.but(name="ceph", checksums=False, conditional_complete=False)
RCLONE = AWS.but(
    name="rclone",
    complete_twice="404",
    object_etags=False,
    checksums=False,
    conditional=False,
    ranged_status=200,
    no_version=True,
    capital_metadata=True,
    expired_status=400,
    min_part=0,
)
NAMED = {one.name: one for one in (AWS, KMS, EXPRESS, R2, CEPH, RCLONE)}
