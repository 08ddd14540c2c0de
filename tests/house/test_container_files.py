"""The Compose file against its schema, and the Dockerfile under a linter, both of others and downloaded."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def linters(tmp_path_factory) -> Path:
    """dclint, which holds the schema of the Compose specification, and dockerfile-utils."""
    folder = tmp_path_factory.mktemp("linters")
    packages = ("dclint@3.1.0", "dockerfile-utils@0.16.3")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "node_modules" / ".bin"


def schema_errors(linters: Path, file: Path) -> list[str]:
    """What is wrong by the schema; the linter's other rules are of taste."""
    done = subprocess.run([linters / "dclint", "--formatter", "json", file], capture_output=True, check=False)
    found = [message for report in json.loads(done.stdout) for message in report["messages"]]
    return [str(message) for message in found if message["rule"] == "invalid-schema"]


def test_compose_follows_its_schema(linters, tmp_path):
    assert schema_errors(linters, ROOT / "docker-compose.yml") == []
    spoilt = tmp_path / "docker-compose.yml"
    spoilt.write_text((ROOT / "docker-compose.yml").read_text().replace("cap_drop:", "cap_drp:"))
    assert schema_errors(linters, spoilt)


def test_the_dockerfile_passes_a_linter(linters, tmp_path):
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text((ROOT / "Dockerfile").read_text().replace("HEALTHCHECK", "HEALTHCHEK"))
    for file, status in ((ROOT / "Dockerfile", 0), (spoilt, 1)):
        done = subprocess.run([linters / "dockerfile-utils", "lint", file], capture_output=True, check=False)
        assert done.returncode == status, done
