"""The coordinator's tables, and how to reach them.

All names begin with `transfer_`, Alembic's version table included, so that the
database can be one that MLflow uses too; MLflow's plain URLs are mapped to async
drivers. On SQLite, a transaction that writes says so when it begins (a read that
turns into a write fails at once when somebody else writes), and a commit is on
disk when it returns.
"""

from __future__ import annotations

import logging
import os
import ssl
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from platformdirs import user_state_path
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
    make_url,
    pool,
)
from sqlalchemy.exc import (
    ArgumentError,
    InvalidRequestError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from transfer.errors import MissingExtraError, StoreError, UnavailableError, UsageError
from transfer.redaction import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer.settings import Settings

METADATA = MetaData()

UPLOADS = Table(
    "transfer_uploads",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("request_id", String(64), unique=True, nullable=False),
    # Two coordinators may have one database, and each but its own store.
    Column("destination", String(64), nullable=False, server_default=""),
    Column("principal", String(255), nullable=False),
    Column("key", Text, nullable=False),
    Column("store_id", Text, nullable=False, default=""),
    Column("size", BigInteger),
    Column("part_size", BigInteger),
    Column("part_count", Integer, nullable=False),
    Column("no_clobber", Boolean, nullable=False, default=False),
    Column("details", JSON, nullable=False, default=dict),
    Column("state", String(16), nullable=False),
    Column("epoch", Integer, nullable=False, default=1),
    Column("created", Float, nullable=False),
    Column("touched", Float, nullable=False),
    Column("result", JSON),
)
PARTS = Table(
    "transfer_parts",
    METADATA,
    Column(
        "upload_id",
        String(32),
        ForeignKey("transfer_uploads.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("checksum", String(128)),
)
OBJECTS = Table(
    "transfer_objects",
    METADATA,
    Column("key_hash", String(64), primary_key=True),
    Column("key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("checksum", String(128), nullable=False),
    Column("written", Float, nullable=False),
)
TOKENS = Table(
    "transfer_tokens",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("prefix", Text, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created", Float, nullable=False),
)
SECRETS = Table(
    "transfer_secrets",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
VERSION_TABLE = "transfer_alembic_version"

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mysql+aiomysql",
}


class Database:
    """Connections to the tables; make it with `open_database`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(transfer_writes=True)
        # SQLite has one writer; those it lets wait ask again and again, and some never get in.
        one_writer = engine.dialect.name == "sqlite"
        self._turn = anyio.Lock() if one_writer else nullcontext()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads."""
        with_errors = _database_errors()
        async with with_errors, self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes; committed, durably, when the block ends well."""
        with_errors = _database_errors()
        async with self._turn, with_errors, self._writer.begin() as connection:
            yield connection


@asynccontextmanager
async def open_database(uri: str, settings: Settings) -> AsyncIterator[Database]:
    """Open a database and bring its tables up to date.

    Raises UsageError for a URL that is none, MissingExtraError without the driver,
    UnavailableError for a server that does not let us in.
    """
    url = async_url(uri)
    try:
        engine = create_async_engine(url, **_engine_options(url, settings))
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{url.drivername} needs the module {error.name}", hint=f"pip install {error.name}"
        ) from None
    except (ArgumentError, InvalidRequestError, NoSuchModuleError) as error:
        raise UsageError(f"no database behind {_shown(url)}: {error}") from None
    try:
        if url.get_backend_name() == "sqlite":
            await _prepare_sqlite(url, engine)
        async with _opening(url), engine.begin() as connection:
            await connection.run_sync(_upgrade)
        yield Database(engine)
    finally:
        await engine.dispose()


def async_url(uri: str) -> URL:
    """Return the URL with an async driver where it named none, as MLflow's do not."""
    try:
        url = make_url(uri)
    except ArgumentError:
        raise UsageError(
            "the backend store URI cannot be read", hint="write sqlite:///path/to/file.db"
        ) from None
    name, plus, driver = url.drivername.partition("+")
    if not plus or driver in {"pymysql", "psycopg2", "pysqlite", "mysqldb"}:
        return url.set(drivername=_DRIVERS.get(name, url.drivername))
    return url


def default_uri(settings: Settings) -> str:
    """Return where the sessions are kept when nobody says."""
    folder = Path(settings.state_dir) if settings.state_dir else user_state_path("transfer")
    return f"sqlite:///{folder / 'coordinator.db'}"


def _make_file(path: Path) -> None:
    """Make the file before SQLite does: it will hold a key, and is nobody else's business."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise UsageError(
            f"cannot write the database {path}: {os.strerror(error.errno or 0)}",
            hint="name another with --backend-store-uri",
        ) from None


def _engine_options(url: URL, settings: Settings) -> dict[str, Any]:
    # Parameters are tokens' digests and our key: they stay out of logs and errors.
    options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True}
    if settings.db_echo:
        # SQLAlchemy's own switch would write to standard output.
        logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
    if settings.db_pool_class is not None:
        name = settings.db_pool_class
        name = "AsyncAdaptedQueuePool" if name == "QueuePool" else name
        options["poolclass"] = getattr(pool, name)
    sizes = {
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_recycle": settings.db_pool_recycle,
    }
    options |= {name: value for name, value in sizes.items() if value is not None}
    if url.get_backend_name() == "mysql" and (context := _mysql_tls(settings)):
        options["connect_args"] = {"ssl": context}
    return options


def _mysql_tls(settings: Settings) -> ssl.SSLContext | None:
    if not (settings.mysql_ssl_ca or settings.mysql_ssl_cert):
        return None
    context = ssl.create_default_context(cafile=settings.mysql_ssl_ca)
    if settings.mysql_ssl_cert:
        context.load_cert_chain(settings.mysql_ssl_cert, settings.mysql_ssl_key)
    return context


async def _prepare_sqlite(url: URL, engine: AsyncEngine) -> None:
    """Make the file, and take transactions into our own hands.

    SQLAlchemy's page on SQLite says how.
    """
    if url.database not in {None, "", ":memory:"}:
        await anyio.to_thread.run_sync(_make_file, Path(str(url.database)))

    def connected(connection: Any, record: object) -> None:
        del record
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=10000",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("transfer_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _opening(url: URL) -> AsyncIterator[None]:
    """Translate what goes wrong before anybody is served: here the reason may be told."""
    try:
        yield
    except CommandError as error:
        raise UsageError(
            f"the tables in {_shown(url)} are of another version: {error}",
            hint="upgrade this program, or name another database",
        ) from None
    except (SQLAlchemyError, OSError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        kind = UsageError if url.get_backend_name() == "sqlite" else UnavailableError
        raise kind(f"cannot open the database {_shown(url)}: {reason}") from None


def _shown(url: URL) -> str:
    return str(url.database) if url.get_backend_name() == "sqlite" else redact(str(url))


@asynccontextmanager
async def _database_errors() -> AsyncIterator[None]:
    """Translate what SQLAlchemy and the drivers raise; their texts hold statements and values."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        kind = UnavailableError if cause is not error or isinstance(error, OSError) else StoreError
        raise kind(f"the coordinator's database failed: {type(cause).__name__}") from error
