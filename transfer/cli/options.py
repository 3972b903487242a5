"""The options of the command, with what help says of them.

Values that are settings too stay text here and are read by the settings' own
readers (`flags`). One object serves every command that has the option: click
keeps nothing in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from click import Argument, Option
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from click import Context, Parameter


def _paths(context: Context, param: Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Leave it to the shell: it knows the files."""
    del context, param
    return [CompletionItem(incomplete, type="file")]


def _value(names: str, metavar: str, explanation: str, **more: Any) -> Option:
    return Option(names.split(), metavar=metavar, help=explanation, **more)


def _flag(names: str, explanation: str) -> Option:
    return Option(names.split(), is_flag=True, help=explanation)


def _count(names: str, explanation: str) -> Option:
    return Option(names.split(), count=True, help=explanation)


# What they may be is in the help of the command: there is more to say than a line.
SOURCES = Argument(["sources"], nargs=-1, required=True, metavar="SRC...", shell_complete=_paths)
TARGET = Argument(["target"], metavar="DST", shell_complete=_paths)
CONCURRENCY = _value("--concurrency -c", "N|auto", "Parts and files in flight at once.")
PART_SIZE = _value("--part-size -p", "SIZE", "Bytes of a part, such as 16MiB.")
DURABILITY = _value(
    "--durability", "HOW", "`file`, `batch` or `none`: sync each file, many together, or nothing."
)
INCLUDE = _value(
    "--include", "GLOB", "Take only what matches (repeatable; any order).", multiple=True
)
EXCLUDE = _value("--exclude", "GLOB", "Leave out what matches; wins over --include.", multiple=True)
DRY_RUN = _flag("--dry-run -n", "List what would be copied.")
SKIP_EXISTING = _flag(
    "--skip-existing", "Leave alone what is there with the same size and not older."
)
NO_CLOBBER = _flag("--no-clobber", "Never replace: an existing target is an error.")
CHECKSUM = _flag("--checksum", "Leave alone what is there with the same content; reads it.")
REQUIRE_VERIFIED = _flag("--require-verified", "It is an error if the content cannot be compared.")
EXPECT = _value(
    "--expect",
    "CHECKSUM",
    "Content that the one object must have: sha256:HEX, md5:HEX, crc32c:BASE64.",
)
NO_RESUME = _flag("--no-resume", "Start anew, and leave nothing if it cannot be finished.")
TAKE_OVER = _flag("--take-over", "Go on even with what another process is still at.")
TRANSFER_ID = Argument(["transfer_id"], metavar="ID", help="As `ps` shows it, or how it begins.")
OPTIONAL_ID = Argument(
    ["transfer_id"],
    metavar="[ID]",
    default="",
    help="As `ps` shows it, or how it begins; may be left out if there is but one.",
)
GC_URLS = Argument(["urls"], nargs=-1, metavar="[URL]...")
OLDER_THAN = _value(
    "--older-than",
    "TIME",
    "Since when nobody has been at it, such as 30m, 24h or 7d.",
    default="24h",
    show_default=True,
)
DRY_COLLECTION = _flag("--dry-run -n", "List what would be given up.")
JSON_LIST = _flag("--json", "One JSON object per transfer, on standard output.")
NO_PROGRESS = _flag("--no-progress", "A plain line every 30 seconds, no display.")
QUIET = _flag("--quiet -q", "Say nothing but errors.")
VERBOSE = _count("--verbose -v", "Name every file and retry; -vv adds tracebacks.")
TRACEBACKS = _count("--verbose -v", "Given twice (-vv), errors come with tracebacks.")
JSON = _flag("--json", "One JSON object per event, on standard output.")
ENDPOINT_URL = _value("--endpoint-url", "URL", "S3-compatible server.")
TIMEOUT = _value(
    "--timeout", "SECONDS", "Time without progress before an attempt is repeated; -1 is none."
)
METADATA = _value(
    "--metadata",
    "NAME=VALUE",
    "Kept with the object by S3, Azure or Cloud Storage (repeatable).",
    multiple=True,
)
BACKEND_STORE_URI = _value(
    "--backend-store-uri", "URI", "Database of the coordinator: sqlite, postgresql or mysql."
)
ARTIFACTS_DESTINATION = _value(
    "--artifacts-destination",
    "URL",
    "Where the files go: s3://bucket/prefix, or a path.",
    required=True,
    shell_complete=_paths,
)
HOST = _value("--host", "ADDRESS", "Address to listen on.", default="127.0.0.1", show_default=True)
PORT = _value("--port", "PORT", "Port to listen on.", type=int, default=5500, show_default=True)
TLS_CERT = _value("--tls-cert", "FILE", "Certificate, with its chain.", shell_complete=_paths)
TLS_KEY = _value("--tls-key", "FILE", "Key of the certificate.", shell_complete=_paths)
PUBLIC_URL = _value("--public-url", "URL", "This server's address as clients reach it.")
PUBLIC_ENDPOINT_URL = _value(
    "--public-endpoint-url",
    "URL",
    "The store's address inside presigned URLs, as clients reach it.",
)
INSECURE_NO_AUTH = _flag("--insecure-no-auth", "Serve without tokens, also beyond this machine.")
REQUIRE_AUTH = _flag("--require-auth", "Ask for tokens on this machine too.")
ALLOWED_HOSTS = _value(
    "--allowed-hosts",
    "HOST",
    "A name that requests may call this server by (repeatable, or with commas).",
    multiple=True,
)
TOKEN_NAME = _value("--name", "NAME", "Whose token it is.", required=True)
TOKEN_PREFIX = _value(
    "--prefix",
    "PREFIX",
    "Keys that it is good for, such as team-a/; an empty one is all of them.",
    required=True,
)
READ_ONLY = _flag("--read-only", "Permit downloads only.")
TOKEN_ID = Argument(["token_id"], metavar="ID", help="As `token list` shows it.")
MARKDOWN = _flag("--markdown", "The table of the README: defaults and meanings.")
BENCH_URL = Argument(["url"], metavar="URL", help="Where to, such as s3://bucket/scratch.")
MAX_TIME = _value(
    "--max-time", "TIME", "How long it may take, such as 2m.", default="60s", show_default=True
)
MAX_SIZE = _value(
    "--max-size", "SIZE", "How much may be uploaded in all.", default="1GiB", show_default=True
)
JSON_RESULT = _flag("--json", "One JSON object with everything, on standard output.")
