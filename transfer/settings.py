"""Every setting from the environment, in one frozen object that is read once.

Names that MLflow documents keep their meaning; what is the engine's own begins
with `TRANSFER_`, and such a name that is not known is an error, because a
misspelt setting that passes silently is a setting that does not work. Each field
carries its variable, its reader and its help, from which the table in the
README is made. Nothing else in this project reads the environment, but for shell
completion (`SHELL`) and the SDKs of the stores, which find their own credentials.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from transfer.errors import UsageError
from transfer.sizes import MIB, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

Durability: TypeAlias = Literal["file", "batch", "none"]
Checksumming: TypeAlias = Literal["auto", "crc32c", "crc64nvme", "md5", "none"]
AzureChecksumming: TypeAlias = Literal["none", "md5"]
AddressingStyle: TypeAlias = Literal["auto", "path", "virtual"]
_PREFIX = "TRANSFER_"


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        msg = "write true or false"
        raise ValueError(msg) from None


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text) if text.lstrip("+-").isdecimal() else None
        if number is None or number < least or (most is not None and number > most):
            bound = f"from {least} to {most}" if most is not None else f"of at least {least}"
            msg = f"write a whole number {bound}"
            raise ValueError(msg)
        return number

    return read


def _concurrency(text: str) -> int | None:
    """`auto` leaves it to what turns out to be fast."""
    return None if text == "auto" else _whole(1, 1024)(text)


def _workers(text: str) -> int | None:
    """`auto` leaves it to how many processors there are."""
    return None if text == "auto" else _whole(0, 64)(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        msg = "write a number of seconds above 0"
        raise ValueError(msg)
    return number


def _timeout(text: str) -> float:
    """-1 is no time-out at all, as in MLflow."""
    try:
        return math.inf if text.strip() in {"-1", "-1.0"} else _seconds(text)
    except ValueError as error:
        msg = f"{error}, or -1 for none"
        raise ValueError(msg) from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        msg = "write a number of at least 0"
        raise ValueError(msg)
    return number


def _size(text: str) -> int:
    size = parse_size(text)
    if size < 1:
        msg = "write a size above 0"
        raise ValueError(msg)
    return size


def _gcs_chunk(text: str) -> int:
    """Resumable uploads go on at multiples of 256 KiB only, and MLflow asks for them both ways."""
    size = _size(text)
    if size % (256 * 1024):
        msg = "write a multiple of 256 KiB"
        raise ValueError(msg)
    return size


def _threshold(text: str) -> int:
    return parse_size(text)


def _choice(*choices: str) -> Callable[[str], Any]:
    def read(text: str) -> str:
        if text not in choices:
            msg = f"write one of {', '.join(choices)}"
            raise ValueError(msg)
        return text

    return read


def _json_object(text: str) -> Mapping[str, object]:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        msg = f"write a JSON object ({error.msg} at character {error.pos})"
        raise ValueError(msg) from None
    if not isinstance(value, dict):
        msg = "write a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - a bad value, not a bad type of ours
    return MappingProxyType(value)


def _setting(
    name: str,
    read: Callable[[str], T],
    default: T | None,
    text: str,
    *,
    shown: str | None = None,
    secret: bool = False,
) -> T:
    """Declare a field: its variable, its reader, its default and how help shows that."""
    if shown is None:
        shown = "" if default is None else str(default)
        shown = shown.lower() if isinstance(default, bool) else shown
    metadata = {"name": name, "read": read, "help": text, "shown": shown, "secret": secret}
    if isinstance(default, MappingProxyType):
        return cast("T", field(default_factory=lambda: default, repr=not secret, metadata=metadata))
    return cast("T", field(default=default, repr=not secret, metadata=metadata))


# ruff: noqa: RUF009 - `_setting` makes fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings; sizes in bytes, times in seconds, None is unset."""

    enable_upload: bool | None = _setting(
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD",
        _boolean,
        None,
        "Multipart uploads. On a client, false means none; on the coordinator, false means they"
        " are not advertised and are answered 501.",
        shown="whenever both sides can",
    )
    enable_download: bool | None = _setting(
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD",
        _boolean,
        None,
        "Downloads in concurrent ranges, by presigned URLs; false as above.",
        shown="whenever both sides can",
    )
    upload_threshold: int | None = _setting(
        "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE",
        _threshold,
        None,
        "Smallest file that is uploaded in parts.",
        shown="auto, 16 MiB; 32 MiB among many (MLflow documents 500 MB)",
    )
    upload_part_size: int | None = _setting(
        "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE",
        _size,
        None,
        "Size of an uploaded part; honoured exactly, an error below the store's minimum.",
        shown="auto, 5 MiB to 100 MB (MLflow documents 100 MB)",
    )
    download_threshold: int | None = _setting(
        "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE",
        _threshold,
        None,
        "Smallest file that is downloaded in concurrent ranges.",
        shown="auto, 16 MiB; 32 MiB among many (MLflow documents 500 MB)",
    )
    download_part_size: int | None = _setting(
        "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE",
        _size,
        None,
        "Size of a downloaded range.",
        shown="auto, 5 MiB to 100 MB (MLflow documents 100 MB)",
    )
    stall_timeout: float = _setting(
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT",
        _timeout,
        60.0,
        "Seconds without a byte moved before an attempt is given up and repeated; -1 is never.",
    )
    url_lifetime: float = _setting(
        "TRANSFER_URL_LIFETIME",
        _seconds,
        900.0,
        "Seconds that a presigned URL is good for; expired ones are signed again.",
    )
    concurrency: int | None = _setting(
        "TRANSFER_CONCURRENCY",
        _concurrency,
        None,
        "Parts and files in flight at once, in all (`-c`): `auto` begins with 8 and goes up to 64"
        " while that makes it faster; a number is kept to. Fewer while a store throttles.",
        shown="auto",
    )
    max_memory: int = _setting(
        "TRANSFER_MAX_MEMORY",
        _size,
        64 * MIB,
        "Bytes that the buffers of one run may hold.",
        shown="64 MiB",
    )
    workers: int | None = _setting(
        "TRANSFER_WORKERS",
        _workers,
        None,
        "Processes that carry small files: `auto` begins one for each of several processors, at"
        " most 4, once so many files wait that it pays; a number: so many are begun with the"
        " first small file; 0: none.",
        shown="auto",
    )
    attempts: int = _setting(
        "TRANSFER_ATTEMPTS",
        _whole(1, 1000),
        8,
        "Attempts for one operation while the server answers others.",
    )
    outage_patience: float = _setting(
        "TRANSFER_OUTAGE_PATIENCE",
        _number,
        900.0,
        "Seconds that a server which has answered before may be unreachable before the run gives"
        " up.",
    )
    connect_timeout: float = _setting(
        "TRANSFER_CONNECT_TIMEOUT", _seconds, 10.0, "Seconds to make a connection."
    )
    durability: Durability = _setting(
        "TRANSFER_DURABILITY",
        _choice("file", "batch", "none"),
        "batch",
        "Local files: success is reported after fsync of each file and its folder (`file`), or of"
        " many small ones together (`batch`); `none` leaves that to the operating system"
        " (`--durability`).",
    )
    token: str | None = _setting(
        "TRANSFER_TOKEN",
        str.strip,
        None,
        "Bearer token for a coordinator.",
        shown="`MLFLOW_TRACKING_TOKEN`",
        secret=True,
    )
    tracking_uri: str | None = _setting(
        "MLFLOW_TRACKING_URI", str, None, "Server behind `mlflow-artifacts:/path` without a host."
    )
    tracking_token: str | None = _setting(
        "MLFLOW_TRACKING_TOKEN", str.strip, None, "Bearer token for the server.", secret=True
    )
    tracking_username: str | None = _setting(
        "MLFLOW_TRACKING_USERNAME", str, None, "User; with a password it wins over the token."
    )
    tracking_password: str | None = _setting(
        "MLFLOW_TRACKING_PASSWORD", str, None, "Password of the user.", secret=True
    )
    tracking_insecure_tls: bool = _setting(
        "MLFLOW_TRACKING_INSECURE_TLS",
        _boolean,
        False,
        "Do not verify the server's certificate.",
    )
    tracking_server_cert: str | None = _setting(
        "MLFLOW_TRACKING_SERVER_CERT_PATH", str, None, "CA bundle to verify the server with."
    )
    tracking_client_cert: str | None = _setting(
        "MLFLOW_TRACKING_CLIENT_CERT_PATH", str, None, "PEM file with client certificate and key."
    )
    http_ca_bundle: str | None = _setting(
        "TRANSFER_HTTP_CA_BUNDLE",
        str,
        None,
        "CA bundle to verify web servers with (`https://`, `webdavs://`).",
    )
    http_insecure_tls: bool = _setting(
        "TRANSFER_HTTP_INSECURE_TLS",
        _boolean,
        False,
        "Do not verify the certificates of web servers.",
    )
    kerberos_user: str | None = _setting(
        "MLFLOW_KERBEROS_USER",
        str,
        None,
        "User of HDFS: a name where it believes names, a principal where it asks Kerberos.",
        shown="`HADOOP_USER_NAME`, or who is logged in",
    )
    kerberos_ticket_cache: str | None = _setting(
        "MLFLOW_KERBEROS_TICKET_CACHE",
        str,
        None,
        "Kerberos ticket cache for HDFS.",
        shown="`KRB5CCNAME`",
    )
    request_timeout: float = _setting(
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
        _seconds,
        120.0,
        "Seconds that one call to the coordinator or server may take without an answer.",
    )
    request_retries: int | None = _setting(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        _whole(0, 10),
        None,
        "Repetitions of one call to the coordinator or server.",
        shown="as `TRANSFER_ATTEMPTS`",
    )
    request_backoff: float | None = _setting(
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR",
        _number,
        None,
        "Seconds that the first pause before such a repetition may last; it doubles each time.",
        shown="0.05",
    )
    request_jitter: float | None = _setting(
        "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER",
        _number,
        None,
        "Seconds at most that are added to such a pause at random.",
        shown="pauses are random from 0 up",
    )
    respect_retry_after: bool = _setting(
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER",
        _boolean,
        True,
        "Wait as long as a server's Retry-After asks for, up to a minute.",
    )
    s3_endpoint_url: str | None = _setting(
        "MLFLOW_S3_ENDPOINT_URL", str, None, "S3-compatible server (`--endpoint-url`)."
    )
    s3_ignore_tls: bool = _setting(
        "MLFLOW_S3_IGNORE_TLS",
        _boolean,
        False,
        "Do not verify the certificate of the store, for part and range requests too.",
    )
    s3_extra_args: Mapping[str, object] = _setting(
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
        _json_object,
        MappingProxyType({}),
        'JSON object of arguments for every upload, such as `{"ServerSideEncryption": "aws:kms"}`.',
        shown="{}",
    )
    s3_bucket_owner: str | None = _setting(
        "MLFLOW_S3_EXPECTED_BUCKET_OWNER", str, None, "Account that must own the bucket."
    )
    s3_checksum: Checksumming = _setting(
        "TRANSFER_S3_CHECKSUM",
        _choice("auto", "crc32c", "crc64nvme", "md5", "none"),
        "auto",
        "What S3 checks each part by: `auto` is CRC-32C where the store confirms that it checks"
        " it; `crc32c` and `crc64nvme` (which needs the extra `crc64`) ask for that one; `md5`"
        " (Content-MD5) is understood everywhere, and dear; `none` sends nothing.",
    )
    s3_addressing_style: AddressingStyle = _setting(
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
        _choice("auto", "path", "virtual"),
        "auto",
        "Bucket in the path or in the host name.",
    )
    aws_ca_bundle: str | None = _setting(
        "AWS_CA_BUNDLE", str, None, "CA bundle to verify S3 servers with."
    )
    aws_region: str | None = _setting("AWS_DEFAULT_REGION", str, None, "Region of the bucket.")
    aws_access_key: str | None = _setting(
        "AWS_ACCESS_KEY_ID",
        str,
        None,
        "Access key; unset, the SDK looks for profiles, single sign-on and roles. With key, region"
        " and endpoint given, the SDK is not even loaded.",
        secret=True,
    )
    aws_secret_key: str | None = _setting(
        "AWS_SECRET_ACCESS_KEY", str, None, "The secret that belongs to it.", secret=True
    )
    aws_session_token: str | None = _setting(
        "AWS_SESSION_TOKEN", str, None, "The token of temporary credentials.", secret=True
    )
    store_password: str | None = _setting(
        "TRANSFER_STORE_PASSWORD",
        str,
        None,
        "Password for `sftp://`, `ftp://`, `http://` and `https://`, where the URL names a user and"
        " has none.",
        secret=True,
    )
    azure_connection_string: str | None = _setting(
        "AZURE_STORAGE_CONNECTION_STRING",
        str,
        None,
        "Azure: account, key or SAS token, and address (an emulator's `BlobEndpoint` too); wins"
        " over the next two.",
        secret=True,
    )
    azure_access_key: str | None = _setting(
        "AZURE_STORAGE_ACCESS_KEY",
        str,
        None,
        "Azure: key of the account.",
        secret=True,
    )
    azure_sas_token: str | None = _setting(
        "AZURE_STORAGE_SAS_TOKEN",
        str,
        None,
        "Azure: SAS token for the container or the account; without any of the three, an identity"
        " is looked for as the SDK does.",
        secret=True,
    )
    azure_account: str | None = _setting(
        "AZURE_STORAGE_ACCOUNT", str, None, "Azure: account of `az://CONTAINER/PATH`."
    )
    azure_checksum: AzureChecksumming = _setting(
        "TRANSFER_AZURE_CHECKSUM",
        _choice("none", "md5"),
        "none",
        "What Azure checks each part by: `md5` (Content-MD5) reads it once more, and pushes are"
        " then verified; `none` sends nothing.",
    )
    gcs_credentials: str | None = _setting(
        "GOOGLE_APPLICATION_CREDENTIALS",
        str,
        None,
        "JSON file with credentials for `gs://`: of a service account, a user, or a federation.",
        shown="those of `gcloud auth application-default login`, else the metadata server's",
    )
    gcs_endpoint_url: str | None = _setting(
        "TRANSFER_GCS_ENDPOINT_URL",
        str,
        None,
        "Address of Cloud Storage, such as that of a private endpoint.",
        shown="`https://storage.googleapis.com`",
    )
    gcs_emulator: str | None = _setting(
        "STORAGE_EMULATOR_HOST",
        str,
        None,
        "Emulator of Cloud Storage, spoken to without credentials.",
    )
    gcs_upload_chunk: int = _setting(
        "MLFLOW_GCS_UPLOAD_CHUNK_SIZE",
        _gcs_chunk,
        100 * MIB,
        "Bytes that one request of a resumable upload to `gs://` sends, a multiple of 256 KiB;"
        " where the credentials can sign URLs, files go in parts instead.",
        shown="100 MB",
    )
    gcs_download_chunk: int | None = _setting(
        "MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE",
        _gcs_chunk,
        None,
        "Size of a range downloaded from `gs://`, a multiple of 256 KiB.",
        shown="`MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE`",
    )
    gcs_timeout: float | None = _setting(
        "MLFLOW_GCS_DEFAULT_TIMEOUT",
        _timeout,
        None,
        "The same as `MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT`, for `gs://` only.",
        shown="`MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT`",
    )
    presigned_download_lifetime: float = _setting(
        "MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS",
        _seconds,
        300.0,
        "Coordinator: seconds that a download URL given to an MLflow client is good for.",
    )
    public_url: str | None = _setting(
        "TRANSFER_PUBLIC_URL",
        str,
        None,
        "Coordinator: its own address as clients reach it (`--public-url`).",
    )
    public_endpoint_url: str | None = _setting(
        "TRANSFER_PUBLIC_ENDPOINT_URL",
        str,
        None,
        "Coordinator: address of the store inside presigned URLs, as clients reach it"
        " (`--public-endpoint-url`).",
    )
    upload_lifetime: float = _setting(
        "TRANSFER_UPLOAD_LIFETIME",
        _seconds,
        604_800.0,
        "Coordinator: seconds after which an upload that its client has left is given up.",
        shown="604800 (a week)",
    )
    signing_key: str | None = _setting(
        "TRANSFER_SIGNING_KEY",
        str,
        None,
        "Coordinator: key that signs its own part URLs; share it between replicas.",
        shown="made once, kept in the database",
        secret=True,
    )
    db_pool_size: int | None = _setting(
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", _whole(1), None, "Coordinator: database connections."
    )
    db_max_overflow: int | None = _setting(
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW",
        _whole(0),
        None,
        "Coordinator: database connections beyond the pool.",
    )
    db_pool_recycle: int | None = _setting(
        "MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE",
        _whole(1),
        None,
        "Coordinator: seconds after which a database connection is replaced.",
    )
    db_pool_class: str | None = _setting(
        "MLFLOW_SQLALCHEMYSTORE_POOLCLASS",
        _choice("AsyncAdaptedQueuePool", "QueuePool", "NullPool", "StaticPool"),
        None,
        "Coordinator: SQLAlchemy's pool class.",
    )
    db_echo: bool = _setting(
        "MLFLOW_SQLALCHEMYSTORE_ECHO", _boolean, False, "Coordinator: log every SQL statement."
    )
    mysql_ssl_ca: str | None = _setting(
        "MLFLOW_MYSQL_SSL_CA", str, None, "Coordinator: CA bundle for MySQL."
    )
    mysql_ssl_cert: str | None = _setting(
        "MLFLOW_MYSQL_SSL_CERT", str, None, "Coordinator: client certificate for MySQL."
    )
    mysql_ssl_key: str | None = _setting(
        "MLFLOW_MYSQL_SSL_KEY", str, None, "Coordinator: key of that certificate."
    )
    state_dir: str | None = _setting(
        "TRANSFER_STATE_DIR",
        str,
        None,
        "Folder for what outlives a run, such as the coordinator's default database.",
        shown="the platform's state folder",
    )
    http_proxy: str | None = _setting("HTTP_PROXY", str, None, "Proxy for http:// requests.")
    https_proxy: str | None = _setting("HTTPS_PROXY", str, None, "Proxy for https:// requests.")
    no_proxy: str | None = _setting("NO_PROXY", str, None, "Hosts that are reached directly.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read all settings; empty values count as unset.

        Raises UsageError for a value that cannot be read, and for a name with
        the prefix `TRANSFER_` that is none of ours.
        """
        known = {row.name for row in describe()}
        _refuse_unknown(environ, known)
        values: dict[str, Any] = {}
        for item in fields(cls):
            name: str = item.metadata["name"]
            text = environ.get(name) or environ.get(_lower_case_alias(name), "")
            if text:
                values[item.name] = _read(name, text, item.metadata)
        if values.get("tracking_insecure_tls") and values.get("tracking_server_cert"):
            raise UsageError(
                "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH exclude each"
                " other",
                hint="unset one of them",
            )
        return cls(**values)

    @classmethod
    def load(cls) -> Settings:
        """Read the environment of this process."""
        return cls.from_env(os.environ)  # noqa: TID251 - the one place

    @property
    def bearer_token(self) -> str | None:
        """The token for a coordinator, from whichever variable has one."""
        return self.token or self.tracking_token


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of settings."""

    field: str
    name: str
    default: str
    help: str
    secret: bool


def describe() -> Iterator[Row]:
    """Yield every setting in the order of the table."""
    for item in fields(Settings):
        meta = item.metadata
        yield Row(item.name, meta["name"], meta["shown"], meta["help"], meta["secret"])


def markdown_table() -> str:
    """Return the table of all settings for the README."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {row.default or 'unset'} | {row.help} |" for row in describe()]
    return "\n".join(lines) + "\n"


def _read(name: str, text: str, metadata: Mapping[str, Any]) -> object:
    try:
        return metadata["read"](text)
    except ValueError as error:
        value = "its value" if metadata["secret"] else repr(text)
        raise UsageError(f"{name}: {value} is not valid", hint=str(error)) from None


def _lower_case_alias(name: str) -> str:
    """Return the lower case form too: for proxies it is the one that everybody reads."""
    return name.lower() if name.endswith("_PROXY") else name


# What MLflow has named already, under the names that people look for.
_MEANT = {
    "PART_SIZE": "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE",
    "CHUNK_SIZE": "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE",
    "TIMEOUT": "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT",
    "ENDPOINT_URL": "MLFLOW_S3_ENDPOINT_URL",
    "RETRIES": "TRANSFER_ATTEMPTS",
}


def _refuse_unknown(environ: Mapping[str, str], known: set[str]) -> None:
    for name in environ:
        if name.startswith(_PREFIX) and name not in known:
            meant = {known_name.removeprefix(_PREFIX): known_name for known_name in known} | _MEANT
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), meant, n=1, cutoff=0.7)
            raise UsageError(
                f"unknown setting {name}",
                hint=f"did you mean {meant[near[0]]}?" if near else "see the table in the README",
            )
