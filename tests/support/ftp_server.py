"""A real FTP server as a program: pyftpdlib, with TLS and with checksums where asked for.

`python ftp_server.py PORT FOLDER [--tls CERT] [--hash] [--lies-about-rest] [--damages]`
The last two make it do what no good server does: say yes to REST and send all of
a file, and have another content than was sent.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import zlib
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

USER = "somebody"
PASSWORD = "p@ss/word 1"
_COMMAND = {"perm": "r", "auth": True, "arg": True, "help": "Syntax: <command> <path>"}


class HashingHandler(FTPHandler):
    """Answers XCRC and XSHA256, as several servers do; pyftpdlib leaves room for more commands."""

    proto_cmds = FTPHandler.proto_cmds | {"XCRC": _COMMAND, "XSHA256": _COMMAND}

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self._extra_feats = ["XCRC", "XSHA256"]

    def ftp_XCRC(self, path: str) -> None:  # noqa: N802 - found by this name
        self.respond(f"250 {zlib.crc32(Path(path).read_bytes()):X}")

    def ftp_XSHA256(self, path: str) -> None:  # noqa: N802 - found by this name
        self.respond(f"250 {hashlib.sha256(Path(path).read_bytes()).hexdigest()}")


class LyingHandler(FTPHandler):
    """Takes every REST, and forgets it."""

    def ftp_REST(self, line: str) -> None:  # noqa: N802 - found by this name
        self.respond(f"350 Restarting at position {line}.")


class DamagingHandler(HashingHandler):
    """Writes another first byte than was sent."""

    def on_file_received(self, file: str) -> None:
        with Path(file).open("r+b") as damaged:
            damaged.write(b"!")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    parser.add_argument("--tls")
    parser.add_argument("--hash", action="store_true")
    parser.add_argument("--lies-about-rest", action="store_true")
    parser.add_argument("--damages", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    handler = HashingHandler if options.hash else FTPHandler
    if options.lies_about_rest:
        handler = LyingHandler
    if options.damages:
        handler = DamagingHandler
    if options.tls:
        handler = TLS_FTPHandler
        handler.certfile = options.tls
        handler.tls_control_required = handler.tls_data_required = True
    handler.authorizer = DummyAuthorizer()
    handler.authorizer.add_user(USER, PASSWORD, options.folder, perm="elradfmwMT")
    handler.authorizer.add_anonymous(options.folder, perm="elr")
    ThreadedFTPServer(("127.0.0.1", options.port), handler).serve_forever()


main()
