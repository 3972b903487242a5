"""The commands and their options; each imports what it needs when it is called.

A command's parameters are declared for typer, which reads and explains them;
their values travel together, as the parameters of the context.
"""

# No `from __future__ import annotations`: typer reads the annotations as types.
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from transfer import __version__
from transfer.cli.exit_codes import EPILOG
from transfer.cli.guard import guarded, put
from transfer.cli.options import (
    AllowedHosts,
    ArtifactsDestination,
    BackendStoreUri,
    BenchUrl,
    Checksum,
    Concurrency,
    DryCollection,
    DryRun,
    Durability,
    EndpointUrl,
    Exclude,
    Expect,
    Host,
    Include,
    InsecureNoAuth,
    Json,
    JsonList,
    JsonResult,
    Markdown,
    MaxSize,
    MaxTime,
    Metadata,
    NoClobber,
    NoProgress,
    NoResume,
    OlderThan,
    OptionalId,
    PartSize,
    Port,
    PublicEndpointUrl,
    PublicUrl,
    Quiet,
    ReadOnly,
    RequireAuth,
    RequireVerified,
    SkipExisting,
    Sources,
    TakeOver,
    Target,
    Timeout,
    TlsCert,
    TlsKey,
    TokenId,
    TokenName,
    TokenPrefix,
    Tracebacks,
    TransferId,
    Verbose,
)

_PLACES = """

SRC is a file, a folder or a URL such as s3://bucket/key. `dir` is copied to
DST/dir, `dir/` means what is in it.
"""
PUSH_HELP = (
    "Copy files and folders to a store."
    + _PLACES
    + "One file becomes DST itself, unless DST is a folder or ends with a slash."
)
PULL_HELP = (
    "Copy objects and folders to this machine."
    + _PLACES
    + "DST is a path; one object becomes DST itself, unless it is a folder or ends with a slash."
)
VERIFY_HELP = (
    "Compare files and folders with their copies."
    + _PLACES.rstrip("\n")
    + " SRC and DST are those of `push`. Contents decide; nothing is moved, and what"
    " else is in DST is not looked at."
)

# Help in plain text: drawn by rich it would take twice the time.
app = typer.Typer(
    help="Copy files between disks and object stores, in parts, many at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
token = typer.Typer(
    help="Tokens that clients show to a coordinator.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(token, name="token")


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it
    if asked:
        put(f"transfer {__version__}")
        raise typer.Exit


@app.callback()
def transfer(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Copy files between disks and object stores, in parts, many at once."""


class CopyCommand(TyperCommand):
    """Shows its usage as people write it."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the name of the command."""
        del ctx
        return ["[OPTIONS]", "SRC...", "DST"]


@app.command(cls=CopyCommand, help=PUSH_HELP, epilog=EPILOG)
def push(
    context: typer.Context,
    sources: Sources,
    target: Target,
    *,
    concurrency: Concurrency = None,
    part_size: PartSize = None,
    durability: Durability = None,
    include: Include = None,
    exclude: Exclude = None,
    dry_run: DryRun = False,
    skip_existing: SkipExisting = False,
    checksum: Checksum = False,
    no_clobber: NoClobber = False,
    require_verified: RequireVerified = False,
    no_resume: NoResume = False,
    take_over: TakeOver = False,
    metadata: Metadata = None,
    endpoint_url: EndpointUrl = None,
    timeout: Timeout = None,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    json: Json = False,
) -> None:
    """Copy to a store."""
    guarded(partial(_copy, context), verbose)


@app.command(cls=CopyCommand, help=PULL_HELP, epilog=EPILOG)
def pull(
    context: typer.Context,
    sources: Sources,
    target: Target,
    *,
    concurrency: Concurrency = None,
    part_size: PartSize = None,
    durability: Durability = None,
    include: Include = None,
    exclude: Exclude = None,
    dry_run: DryRun = False,
    skip_existing: SkipExisting = False,
    checksum: Checksum = False,
    no_clobber: NoClobber = False,
    require_verified: RequireVerified = False,
    expect: Expect = None,
    no_resume: NoResume = False,
    take_over: TakeOver = False,
    metadata: Metadata = None,
    endpoint_url: EndpointUrl = None,
    timeout: Timeout = None,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    json: Json = False,
) -> None:
    """Copy to this machine."""
    guarded(partial(_copy, context), verbose)


@app.command(cls=CopyCommand, help=VERIFY_HELP, epilog=EPILOG)
def verify(
    context: typer.Context,
    sources: Sources,
    target: Target,
    *,
    concurrency: Concurrency = None,
    include: Include = None,
    exclude: Exclude = None,
    endpoint_url: EndpointUrl = None,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    json: Json = False,
) -> None:
    """Compare."""
    guarded(partial(_copy, context), verbose)


@app.command()
def ps(*, json: JsonList = False, verbose: Tracebacks = 0) -> None:
    """List unfinished transfers, those under way included."""
    guarded(partial(_list_unfinished, as_json=json), verbose)


@app.command(epilog=EPILOG)
def resume(
    context: typer.Context,
    transfer_id: OptionalId = "",
    *,
    take_over: TakeOver = False,
    concurrency: Concurrency = None,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    json: Json = False,
) -> None:
    """Go on with an unfinished transfer, from any folder."""
    guarded(partial(_resume, context), verbose)


@app.command()
def abort(transfer_id: TransferId, *, verbose: Tracebacks = 0) -> None:
    """Give an unfinished transfer up, and free what has arrived of it."""
    guarded(partial(_abort, transfer_id), verbose)


@app.command()
def gc(
    *,
    older_than: OlderThan = "24h",
    dry_run: DryCollection = False,
    json: JsonList = False,
    verbose: Tracebacks = 0,
) -> None:
    """Give up unfinished transfers that nobody will go on with.

    Those that are under way are left alone. What could not be given up when it
    failed is tried again, whatever its age.
    """
    guarded(partial(_collect, older_than, dry_run=dry_run, as_json=json), verbose)


@app.command()
def serve(
    context: typer.Context,
    *,
    artifacts_destination: ArtifactsDestination,
    host: Host = "127.0.0.1",
    port: Port = 5500,
    backend_store_uri: BackendStoreUri = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    public_url: PublicUrl = None,
    public_endpoint_url: PublicEndpointUrl = None,
    insecure_no_auth: InsecureNoAuth = False,
    require_auth: RequireAuth = False,
    allowed_hosts: AllowedHosts = None,
    verbose: Tracebacks = 0,
) -> None:
    """Run a coordinator, which hands out presigned URLs.

    It alone holds the credentials of the store behind it.
    """
    guarded(partial(_serve, context), verbose)


@token.command("create")
def create_token(
    *,
    name: TokenName,
    prefix: TokenPrefix,
    read_only: ReadOnly = False,
    backend_store_uri: BackendStoreUri = None,
    verbose: Tracebacks = 0,
) -> None:
    """Make a token and show it, once."""
    guarded(partial(_create_token, backend_store_uri, name, prefix, read_only=read_only), verbose)


@token.command("list")
def list_tokens(*, backend_store_uri: BackendStoreUri = None, verbose: Tracebacks = 0) -> None:
    """Show who has which token; the tokens themselves are not kept."""
    guarded(partial(_list_tokens, backend_store_uri), verbose)


@token.command("revoke")
def revoke_token(
    token_id: TokenId, *, backend_store_uri: BackendStoreUri = None, verbose: Tracebacks = 0
) -> None:
    """Make a token worthless."""
    guarded(partial(_revoke_token, backend_store_uri, token_id), verbose)


@app.command(epilog=EPILOG)
def bench(
    context: typer.Context,
    url: BenchUrl,
    *,
    max_time: MaxTime = "60s",
    max_size: MaxSize = "1GiB",
    endpoint_url: EndpointUrl = None,
    verbose: Tracebacks = 0,
    json: JsonResult = False,
) -> None:
    """Measure a store: which settings are best for it, and what the limit is.

    Uploads and downloads objects of random bytes below URL, and deletes them.
    """
    guarded(partial(_bench, context), verbose)


@app.command()
def settings(*, markdown: Markdown = False, verbose: Tracebacks = 0) -> None:
    """Show every setting with the value it has now."""
    guarded(partial(_show_settings, markdown=markdown), verbose)


def _copy(context: typer.Context) -> int:
    from transfer.cli.copying import copy_files

    return copy_files(context.info_name, context.params)


def _list_unfinished(*, as_json: bool) -> int:
    from transfer.cli.unfinished import list_unfinished

    return list_unfinished(as_json=as_json)


def _resume(context: typer.Context) -> int:
    from transfer.cli.unfinished import resume

    params = dict(context.params)
    return resume(params.pop("transfer_id"), params)


def _abort(transfer_id: str) -> int:
    from transfer.cli.unfinished import abort

    return abort(transfer_id)


def _collect(older_than: str, *, dry_run: bool, as_json: bool) -> int:
    from transfer.cli.unfinished import collect

    return collect(older_than, dry_run=dry_run, as_json=as_json)


def _serve(context: typer.Context) -> int:
    from transfer.cli.serving import serve_until_stopped

    return serve_until_stopped(context.params)


def _bench(context: typer.Context) -> int:
    from transfer.cli.benchmarking import benchmark

    return benchmark(context.params)


def _create_token(uri: str | None, name: str, prefix: str, *, read_only: bool) -> int:
    from transfer.cli import serving

    return serving.create_token(uri, name, prefix, read_only=read_only)


def _list_tokens(uri: str | None) -> int:
    from transfer.cli import serving

    return serving.list_tokens(uri)


def _revoke_token(uri: str | None, token_id: str) -> int:
    from transfer.cli import serving

    return serving.revoke_token(uri, token_id)


def _show_settings(*, markdown: bool) -> int:
    from transfer.cli.settings_table import show_settings

    return show_settings(markdown=markdown)
