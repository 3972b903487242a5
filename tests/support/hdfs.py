"""A real HDFS as a fixture: one NameNode and one DataNode of Hadoop 2.7, on this machine.

The jars are those that come inside PySpark's source distribution (`make
.venv-hdfs/.done` fetches it), and some of Debian's. One jar of theirs must stay off
the class path: its javax.ws.rs is too new for the old Jersey.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.servers import free_port, running
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JARS = Path(".venv-hdfs/jars").absolute()
DEBIAN = [
    Path("/usr/share/java") / f"{name}.jar"
    for name in ("jersey1-core", "jersey1-server", "jersey1-servlet", "jsr311-api")
] + [Path("/usr/share/java/commons-daemon.jar")]
_WANTED = re.compile(
    r"(hadoop-(common|hdfs|auth|annotations)|htrace-core|jetty|commons-|guava|protobuf-java-2"
    r"|log4j-1|slf4j-(api|log4j)|xmlenc|javax\.servlet-api|netty|leveldbjni|jsp-api"
    r"|jackson-(core-asl|mapper-asl|jaxrs|xc)|avro-1|xercesImpl|apacheds|api-|curator-(client"
    r"|framework)|zookeeper|gson|httpclient|httpcore|snappy|paranamer|javax\.inject-1"
    r"|javax\.annotation|jaxb-api|activation|stax-api|jsr305).*\.jar"
)
_OPENED = ["java.base/java.lang", "java.base/java.nio", "java.base/sun.nio.ch"]
_KERBEROS = "java.security.jgss/sun.security.krb5=ALL-UNNAMED"
_NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_LOGGING = """
log4j.rootLogger=WARN,A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.layout=org.apache.log4j.PatternLayout
log4j.appender.A.layout.ConversionPattern=%d %p %c{2}: %m%n
"""


@dataclass(frozen=True)
class HdfsServer:
    """An HDFS: its address, and the folder with its configuration."""

    url: str
    conf: Path
    folder: Path
    processes: dict[str, ExitStack] = field(default_factory=dict)


@contextmanager
def hdfs_server(folder: Path) -> Iterator[HdfsServer]:
    """Format and run an HDFS whose superuser is whoever runs the tests."""
    ports = {name: free_port() for name in ("name", "web", "data", "dataweb", "dataipc")}
    conf = _configure(folder, ports)
    server = HdfsServer(f"hdfs://127.0.0.1:{ports['name']}", conf, folder)
    _run(server, _NAMENODE, "-format", "-force", "-nonInteractive")
    with ExitStack() as stack:
        for name, program in (("namenode", _NAMENODE), ("datanode", _DATANODE)):
            process = stack.enter_context(ExitStack())
            log = folder / f"{name}.log"
            process.enter_context(running(_command(server, program), log, clean_environment()))
            server.processes[name] = process
        _wait(ports["web"], folder)
        yield server


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HdfsServer]:
    """An HDFS for the whole session."""
    check_installed()
    with hdfs_server(tmp_path_factory.mktemp("hdfs")) as server:
        yield server


def check_installed() -> None:
    """Skip the test unless everything is there that an HDFS needs."""
    if shutil.which("java") is None:
        pytest.skip("Java is not installed (Debian: default-jre-headless)")
    if not JARS.is_dir():
        pytest.skip("the jars of Hadoop are not there: make .venv-hdfs/.done fetches them")
    for jar in DEBIAN:
        if not jar.exists():
            pytest.skip(f"{jar} is not installed (Debian: see tests/debian.txt)")


def _configure(folder: Path, ports: Mapping[str, int]) -> Path:
    conf = folder / "conf"
    for name in ("hdfs", "datanode", "secondary"):
        inner = conf / "webapps" / name / "WEB-INF"
        inner.mkdir(parents=True)
        (inner / "web.xml").write_text(
            '<web-app version="2.4" xmlns="http://java.sun.com/xml/ns/j2ee"></web-app>'
        )
    (conf / "log4j.properties").write_text(_LOGGING)
    _write(
        conf / "core-site.xml",
        {
            "fs.defaultFS": f"hdfs://127.0.0.1:{ports['name']}",
            "hadoop.tmp.dir": str(folder / "tmp"),
        },
    )
    _write(
        conf / "hdfs-site.xml",
        {
            "dfs.namenode.name.dir": f"file://{folder}/name",
            "dfs.datanode.data.dir": f"file://{folder}/data",
            "dfs.namenode.http-address": f"127.0.0.1:{ports['web']}",
            "dfs.datanode.address": f"127.0.0.1:{ports['data']}",
            "dfs.datanode.http.address": f"127.0.0.1:{ports['dataweb']}",
            "dfs.datanode.ipc.address": f"127.0.0.1:{ports['dataipc']}",
            "dfs.datanode.hostname": "127.0.0.1",
            "dfs.client.use.datanode.hostname": "true",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.safemode.extension": "0",
            "dfs.replication": "1",
        },
    )
    return conf


def _write(path: Path, properties: Mapping[str, str]) -> None:
    rows = [
        f"<property><name>{name}</name><value>{value}</value></property>"
        for name, value in properties.items()
    ]
    path.write_text("\n".join(("<configuration>", *rows, "</configuration>")))


def _command(server: HdfsServer, *program: str) -> list[str]:
    jars = [path for path in sorted(JARS.iterdir()) if _WANTED.fullmatch(path.name)]
    path = ":".join(map(str, (server.conf, *jars, *DEBIAN)))
    opened = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED]
    return [
        "java",
        "-Xmx512m",
        "-Djava.net.preferIPv4Stack=true",
        f"-Djava.io.tmpdir={server.folder}",
        f"-Dhadoop.log.dir={server.folder}",
        *opened,
        f"--add-opens={_KERBEROS}",
        f"--add-exports={_KERBEROS}",
        "-cp",
        path,
        *program,
    ]


def _run(server: HdfsServer, *program: str) -> None:
    subprocess.run(
        _command(server, *program), check=True, capture_output=True, env=clean_environment()
    )


def _wait(port: int, folder: Path) -> None:
    """Wait until the DataNode has reported to the NameNode."""
    query = "Hadoop:service=NameNode,name=FSNamesystemState"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/jmx?qry={query}") as answer:
                beans = json.load(answer)["beans"]
        except (OSError, urllib.error.URLError):
            beans = []
        if beans and beans[0]["NumLiveDataNodes"] == 1:
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
    pytest.fail(f"HDFS did not start:\n{logs}")
