"""The options of the command, one type each, with what help says of them.

Values that are settings too arrive as text and are read by the settings' own
readers (`flags`), so typer does not get to interpret them.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

# What they may be is in the help of the command: there is more to say than a line.
Sources: TypeAlias = Annotated[list[str], typer.Argument(metavar="SRC", hidden=True)]
Target: TypeAlias = Annotated[str, typer.Argument(metavar="DST", hidden=True)]
Concurrency: TypeAlias = Annotated[
    str | None,
    typer.Option("--concurrency", "-c", metavar="N", help="Parts and files in flight at once."),
]
PartSize: TypeAlias = Annotated[
    str | None,
    typer.Option("--part-size", "-p", metavar="SIZE", help="Bytes of a part, such as 16MiB."),
]
Durability: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--durability", metavar="HOW", help="Sync each file, many in a batch, or none to the disk."
    ),
]
Include: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--include", metavar="GLOB", help="Copy only what matches (repeatable; any order)."
    ),
]
Exclude: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="Leave out what matches; wins over --include."),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", "-n", help="List what would be copied.")
]
SkipExisting: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--skip-existing", help="Leave alone what is there with the same size and not older."
    ),
]
NoClobber: TypeAlias = Annotated[
    bool, typer.Option("--no-clobber", help="Never replace: an existing target is an error.")
]
Checksum: TypeAlias = Annotated[
    bool,
    typer.Option("--checksum", help="Leave alone what is there with the same content; reads it."),
]
RequireVerified: TypeAlias = Annotated[
    bool,
    typer.Option("--require-verified", help="It is an error if the content cannot be compared."),
]
Expect: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--expect",
        metavar="CHECKSUM",
        help="Content that the one object must have: sha256:HEX, md5:HEX, crc32c:BASE64.",
    ),
]
NoResume: TypeAlias = Annotated[
    bool,
    typer.Option("--no-resume", help="Start anew, and leave nothing if it cannot be finished."),
]
TakeOver: TypeAlias = Annotated[
    bool,
    typer.Option("--take-over", help="Go on even with what another process is still at."),
]
TransferId: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="ID", help="As `ps` shows it, or how it begins.", show_default=False),
]
OptionalId: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="As `ps` shows it, or how it begins; may be left out if there is but one.",
        show_default=False,
    ),
]
OlderThan: TypeAlias = Annotated[
    str,
    typer.Option(
        "--older-than",
        metavar="TIME",
        help="Since when nobody has been at it, such as 30m, 24h or 7d.",
    ),
]
DryCollection: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", "-n", help="List what would be given up.")
]
JsonList: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object per transfer, on standard output.")
]
NoProgress: TypeAlias = Annotated[
    bool, typer.Option("--no-progress", help="A plain line every 30 seconds, no display.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose: TypeAlias = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        metavar="",
        show_default=False,
        help="Name every file and retry; -vv adds tracebacks.",
    ),
]
Tracebacks: TypeAlias = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        metavar="",
        show_default=False,
        help="Twice: errors come with tracebacks.",
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object per event, on standard output.")
]
EndpointUrl: TypeAlias = Annotated[
    str | None, typer.Option("--endpoint-url", metavar="URL", help="S3-compatible server.")
]
Timeout: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        help="Time without progress before an attempt is repeated; -1 is none.",
    ),
]
Metadata: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata", metavar="NAME=VALUE", help="Kept with the object by the store (repeatable)."
    ),
]
BackendStoreUri: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--backend-store-uri",
        metavar="URI",
        help="Database of the coordinator: sqlite, postgresql or mysql.",
    ),
]
ArtifactsDestination: TypeAlias = Annotated[
    str,
    typer.Option(
        "--artifacts-destination",
        metavar="URL",
        help="Where the files go: s3://bucket/prefix, or a path.",
        show_default=False,
    ),
]
Host: TypeAlias = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
]
Port: TypeAlias = Annotated[int, typer.Option("--port", metavar="PORT", help="Port to listen on.")]
TlsCert: TypeAlias = Annotated[
    str | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, with its chain.")
]
TlsKey: TypeAlias = Annotated[
    str | None, typer.Option("--tls-key", metavar="FILE", help="Key of the certificate.")
]
PublicUrl: TypeAlias = Annotated[
    str | None,
    typer.Option("--public-url", metavar="URL", help="This server's address as clients reach it."),
]
PublicEndpointUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--public-endpoint-url",
        metavar="URL",
        help="The store's address inside presigned URLs, as clients reach it.",
    ),
]
InsecureNoAuth: TypeAlias = Annotated[
    bool,
    typer.Option("--insecure-no-auth", help="Serve without tokens, also beyond this machine."),
]
RequireAuth: TypeAlias = Annotated[
    bool, typer.Option("--require-auth", help="Ask for tokens on this machine too.")
]
AllowedHosts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-hosts",
        metavar="HOST",
        help="A name that requests may call this server by (repeatable, or with commas).",
    ),
]
TokenName: TypeAlias = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Whose token it is.", show_default=False)
]
TokenPrefix: TypeAlias = Annotated[
    str,
    typer.Option(
        "--prefix",
        metavar="PREFIX",
        help="Keys that it is good for, such as team-a/; an empty one is all of them.",
        show_default=False,
    ),
]
ReadOnly: TypeAlias = Annotated[bool, typer.Option("--read-only", help="Permit downloads only.")]
TokenId: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", help="As `token list` shows it.", show_default=False)
]
Markdown: TypeAlias = Annotated[
    bool, typer.Option("--markdown", help="The table of the README: defaults and meanings.")
]
BenchUrl: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="Where to, such as s3://bucket/scratch.", show_default=False
    ),
]
MaxTime: TypeAlias = Annotated[
    str, typer.Option("--max-time", metavar="TIME", help="How long it may take, such as 2m.")
]
MaxSize: TypeAlias = Annotated[
    str, typer.Option("--max-size", metavar="SIZE", help="How much may be uploaded in all.")
]
JsonResult: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object with everything, on standard output.")
]
