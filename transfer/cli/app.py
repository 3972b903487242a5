"""The commands and their options; each imports what it needs when it is called.

A command is a name, its help, its parameters, and a function that gets the
values by name, loads what is needed and returns the work, which returns the exit
code. The guard stands around all of them.
"""

from __future__ import annotations

import gc
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from transfer import __version__
from transfer.cli import options
from transfer.cli.exit_codes import EPILOG
from transfer.cli.guard import guarded, put

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Values = Mapping[str, Any]
    Work = Callable[[], int]
    Loader = Callable[[Values], Work]

# Objects made between two looks for garbage; then how many looks, before a longer one.
COLLECTIONS = 20_000, 20, 50
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
GC_HELP = """Give up unfinished transfers that nobody will go on with.

Those that are under way are left alone. What could not be given up when it
failed is tried again, whatever its age. With URLs, it looks below these
instead for unfinished files of transfers that died, no matter who started them.
"""
SERVE_HELP = """Run a coordinator, which hands out presigned URLs.

It alone holds the credentials of the store behind it.
"""
BENCH_HELP = """Measure a store: the best settings, and what limits it.

Uploads and downloads objects of random bytes below URL, and deletes them.
"""

_CHOICE = (
    options.SOURCES,
    options.TARGET,
    options.CONCURRENCY,
    options.PART_SIZE,
    options.DURABILITY,
    options.INCLUDE,
    options.EXCLUDE,
    options.DRY_RUN,
    options.SKIP_EXISTING,
    options.CHECKSUM,
    options.NO_CLOBBER,
    options.REQUIRE_VERIFIED,
)
_MANNER = (
    options.NO_RESUME,
    options.TAKE_OVER,
    options.METADATA,
    options.ENDPOINT_URL,
    options.TIMEOUT,
)
_SHOWING = (options.NO_PROGRESS, options.QUIET, options.VERBOSE, options.JSON)


def _show_version(context: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked:
        put(f"transfer {__version__}")
        context.exit()


def _install_completion(context: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked:
        from transfer.cli import completion

        guarded(partial(completion.install, app))


def _show_completion(context: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked:
        from transfer.cli import completion

        guarded(partial(completion.show, app))


def _asking(name: str, explanation: str, callback: Callable[..., None]) -> click.Option:
    """Return an option that is answered instead of a command."""
    return click.Option(
        [name], is_flag=True, is_eager=True, expose_value=False, callback=callback, help=explanation
    )


class _Group(click.Group):
    """Lists its commands in the order in which people need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


app = _Group(
    help="Copy files between disks and object stores, in parts, many at once.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        _asking("--version", "Show the version and exit.", _show_version),
        _asking(
            "--install-completion",
            "Install completion for the current shell.",
            _install_completion,
        ),
        _asking(
            "--show-completion",
            "Show completion for the current shell, to copy it or customize the installation.",
            _show_completion,
        ),
    ],
)


def _command(
    group: click.Group,
    name: str,
    explanation: str,
    *params: click.Parameter,
    epilog: str | None = None,
) -> Callable[[Loader], Loader]:
    """Add what is decorated to the group, with these parameters, behind the guard."""

    def add(load: Loader) -> Loader:
        def callback(**values: Any) -> None:
            guarded(partial(_run, load, values), values["verbose"])

        group.add_command(
            click.Command(
                name, params=list(params), callback=callback, help=explanation, epilog=epilog
            )
        )
        return load

    return add


def _run(load: Loader, values: Values) -> int:
    work = load(values)
    if not gc.isenabled():
        # What has been loaded stays: from here on the collector looks at the rest only, and
        # seldom, because what a run keeps (files, results) is no garbage either.
        gc.freeze()
        gc.set_threshold(*COLLECTIONS)
        gc.enable()
    return work()


@_command(app, "push", PUSH_HELP, *_CHOICE, *_MANNER, *_SHOWING, epilog=EPILOG)
def _push(values: Values) -> Work:
    from transfer.cli.copying import copy_files

    return partial(copy_files, "push", values)


@_command(app, "pull", PULL_HELP, *_CHOICE, options.EXPECT, *_MANNER, *_SHOWING, epilog=EPILOG)
def _pull(values: Values) -> Work:
    from transfer.cli.copying import copy_files

    return partial(copy_files, "pull", values)


@_command(
    app,
    "verify",
    VERIFY_HELP,
    options.SOURCES,
    options.TARGET,
    options.CONCURRENCY,
    options.INCLUDE,
    options.EXCLUDE,
    options.ENDPOINT_URL,
    *_SHOWING,
    epilog=EPILOG,
)
def _verify(values: Values) -> Work:
    from transfer.cli.copying import copy_files

    return partial(copy_files, "verify", values)


@_command(
    app,
    "ps",
    "List unfinished transfers, those under way included.",
    options.JSON_LIST,
    options.TRACEBACKS,
)
def _list_unfinished(values: Values) -> Work:
    from transfer.cli.unfinished import list_unfinished

    return partial(list_unfinished, as_json=values["json"])


@_command(
    app,
    "resume",
    "Go on with an unfinished transfer, from any folder.",
    options.OPTIONAL_ID,
    options.TAKE_OVER,
    options.CONCURRENCY,
    *_SHOWING,
    epilog=EPILOG,
)
def _resume(values: Values) -> Work:
    from transfer.cli.unfinished import resume

    flags = dict(values)
    return partial(resume, flags.pop("transfer_id"), flags)


@_command(
    app,
    "abort",
    "Give an unfinished transfer up, and free what has arrived of it.",
    options.TRANSFER_ID,
    options.TRACEBACKS,
)
def _abort(values: Values) -> Work:
    from transfer.cli.unfinished import abort

    return partial(abort, values["transfer_id"])


@_command(
    app,
    "gc",
    GC_HELP,
    options.GC_URLS,
    options.OLDER_THAN,
    options.DRY_COLLECTION,
    options.JSON_LIST,
    options.TRACEBACKS,
)
def _collect(values: Values) -> Work:
    how = {"dry_run": values["dry_run"], "as_json": values["json"]}
    if values["urls"]:
        from transfer.cli.sweeping import sweep

        return partial(sweep, values["urls"], values["older_than"], **how)
    from transfer.cli.unfinished import collect

    return partial(collect, values["older_than"], **how)


@_command(
    app,
    "serve",
    SERVE_HELP,
    options.ARTIFACTS_DESTINATION,
    options.HOST,
    options.PORT,
    options.BACKEND_STORE_URI,
    options.TLS_CERT,
    options.TLS_KEY,
    options.PUBLIC_URL,
    options.PUBLIC_ENDPOINT_URL,
    options.INSECURE_NO_AUTH,
    options.REQUIRE_AUTH,
    options.ALLOWED_HOSTS,
    options.TRACEBACKS,
)
def _serve(values: Values) -> Work:
    from transfer.cli.serving import serve_until_stopped

    return partial(serve_until_stopped, values)


@_command(
    app,
    "bench",
    BENCH_HELP,
    options.BENCH_URL,
    options.MAX_TIME,
    options.MAX_SIZE,
    options.ENDPOINT_URL,
    options.TRACEBACKS,
    options.JSON_RESULT,
    epilog=EPILOG,
)
def _bench(values: Values) -> Work:
    from transfer.cli.benchmarking import benchmark

    return partial(benchmark, values)


@_command(
    app,
    "settings",
    "Show every setting with the value it has now.",
    options.MARKDOWN,
    options.TRACEBACKS,
)
def _show_settings(values: Values) -> Work:
    from transfer.cli.settings_table import show_settings

    return partial(show_settings, markdown=values["markdown"])


_token = _Group("token", help="Tokens that clients show to a coordinator.", no_args_is_help=True)
app.add_command(_token)


@_command(
    _token,
    "create",
    "Make a token and show it, once.",
    options.TOKEN_NAME,
    options.TOKEN_PREFIX,
    options.READ_ONLY,
    options.BACKEND_STORE_URI,
    options.TRACEBACKS,
)
def _create_token(values: Values) -> Work:
    from transfer.cli import serving

    return partial(
        serving.create_token,
        values["backend_store_uri"],
        values["name"],
        values["prefix"],
        read_only=values["read_only"],
    )


@_command(
    _token,
    "list",
    "Show who has which token; the tokens themselves are not kept.",
    options.BACKEND_STORE_URI,
    options.TRACEBACKS,
)
def _list_tokens(values: Values) -> Work:
    from transfer.cli import serving

    return partial(serving.list_tokens, values["backend_store_uri"])


@_command(
    _token,
    "revoke",
    "Make a token worthless.",
    options.TOKEN_ID,
    options.BACKEND_STORE_URI,
    options.TRACEBACKS,
)
def _revoke_token(values: Values) -> Work:
    from transfer.cli import serving

    return partial(serving.revoke_token, values["backend_store_uri"], values["token_id"])
