"""The session of docs/service.md, typed by a newcomer into bash: zkgrad serve, and the rest with curl."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.service.http_support import ROOT, environment


def type_session(folder: Path, **settings: str) -> None:
    """The session as it is written, but for the port, which something else may have, and for settings."""
    page = (ROOT / "docs" / "service.md").read_text()
    session = re.search(r"```shell\n(.*?)```", page, re.DOTALL)[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (folder / "bin").mkdir()
    command = folder / "bin" / "zkgrad"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m api.cli "$@"\n')
    command.chmod(0o755)
    (folder / "examples").symlink_to(ROOT / "examples")
    variables = environment(**settings, ZKGRAD_PORT=port, PATH=f"{folder / 'bin'}:{os.environ['PATH']}", no_proxy="*")
    script = "set -euo pipefail\n" + session.replace("8080", port)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=variables, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"valid"')]
    assert [(verdict["valid"], verdict["pinned"]) for verdict in verdicts] == [(True, True), (False, True)]
    assert "event: succeeded" in done.stdout


def test_the_session_of_the_documentation(tmp_path):
    type_session(tmp_path)
