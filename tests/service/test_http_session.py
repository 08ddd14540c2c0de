"""The session of docs/service.md, typed by a newcomer into bash: zkgrad serve, and the rest with curl."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys

from tests.service.http_support import ROOT, environment


def test_the_session_of_the_documentation(tmp_path):
    """As it is written, but for the port, which something else may have."""
    page = (ROOT / "docs" / "service.md").read_text()
    session = re.search(r"```shell\n(.*?)```", page, re.DOTALL)[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "zkgrad"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m api.cli "$@"\n')
    command.chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    variables = environment(ZKGRAD_PORT=port, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", no_proxy="*")
    script = "set -euo pipefail\n" + session.replace("8080", port)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"valid"')]
    assert [(verdict["valid"], verdict["pinned"]) for verdict in verdicts] == [(True, True), (False, True)]
    assert "event: succeeded" in done.stdout
