"""A PostgreSQL server and an S3 server of the tests' own, on loopback, gone when the tests are."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import psycopg

_BINARIES = "/usr/lib/postgresql/*/bin"
_numbers = itertools.count()


def free_port() -> int:
    """A port of loopback that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binary(name: str) -> str:
    found = shutil.which(name) or next((str(p) for p in sorted(Path("/").glob(f"{_BINARIES[1:]}/{name}"))), None)
    assert found is not None, f"no {name}: install PostgreSQL 15 or newer"
    return found


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL, without a database's name, of a fresh PostgreSQL server; as root it runs as the user postgres."""
    user = "postgres" if getpass.getuser() == "root" else getpass.getuser()
    prefix = ["runuser", "-u", user, "--"] if getpass.getuser() == "root" else []
    folder, port = Path(tempfile.mkdtemp(prefix="zkgrad-postgres-")), free_port()
    shutil.chown(folder, user)
    server = None
    try:
        made = ["-D", str(folder / "data"), "-U", "zkgrad", "--auth=trust", "--no-sync"]
        subprocess.run([*prefix, _binary("initdb"), *made], check=True, capture_output=True, cwd="/")
        options = ["-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        server = subprocess.Popen(
            [*prefix, _binary("postgres"), *options], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait(lambda: subprocess.run([_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0)
        yield f"postgresql://zkgrad@127.0.0.1:{port}"
    finally:
        if server is not None:
            pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 3)  # SIGQUIT: at once, without waiting for connections
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def s3() -> Iterator[str]:
    """The address of a fresh S3 server with the bucket "zkgrad"."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: _answers(address))
        urlopen(Request(f"{address}/zkgrad", method="PUT")).close()
        yield address
    finally:
        server.kill()
        server.wait()


def settings_on(database: str, objects: str) -> dict[str, str]:
    """Settings with a fresh database of that server, and a prefix of the bucket that nobody has."""
    name = f"zkgrad{next(_numbers)}"
    with psycopg.connect(f"{database}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return {
        "database": f"{database}/{name}",
        "blobs": f"s3://zkgrad/{name}",
        "s3_endpoint": objects,
        "s3_access_key": "test",
        "s3_secret_key": "hush-hush",
        "s3_allow_http": "true",
    }


def _answers(address: str) -> bool:
    try:
        urlopen(f"{address}/moto-api/").close()
    except URLError:
        return False
    return True


def _wait(ready) -> None:
    end = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < end, "the server does not start"
        time.sleep(0.1)
