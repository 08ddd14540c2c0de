"""The wheel as a stranger installs it: no dependency in the base, and a verifier that runs there and
alone."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.services


def call(*command, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the files git knows, so that nothing lying about in the checkout gets in or is leant on."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in call("git", "ls-files", "--cached", cwd=ROOT).stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    done = call(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", out, source)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def base(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel alone; the path of its python."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = call(python, "-m", "pip", "install", "--no-index", wheel)
    assert done.returncode == 0, done.stderr
    return python


def test_the_base_install_has_no_dependencies(wheel, base):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        text = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    needs = [need for need in Parser().parsestr(text).get_all("Requires-Dist", []) if "extra ==" not in need]
    assert needs == []
    assert {name.split("/")[0] for name in names if name.endswith(".py")} == {
        "api",
        "fhe",
        "prover",
        "verifier",
    }
    listed = call(base, "-m", "pip", "list", "--format=freeze").stdout.split()
    assert {line.split("==")[0] for line in listed} <= {"zkgrad", "pip", "setuptools"}


def test_the_verifier_runs_on_the_base_install(base, tmp_path):
    done = call(base, "-m", "verifier", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "statement" in (done.stdout + done.stderr).lower(), done


def test_the_verifier_imports_the_standard_library_only(tmp_path):
    """In a folder that holds only verifier/, without site packages or environment, every module loads."""
    (tmp_path / "verifier").mkdir()
    names = []
    for path in (ROOT / "verifier").glob("*.py"):
        (tmp_path / "verifier" / path.name).write_bytes(path.read_bytes())
        names.append("verifier" if path.stem == "__init__" else f"verifier.{path.stem}")
    script = "".join(f"import {name}\n" for name in names if not name.endswith("__main__"))
    done = call(
        "env",
        "-i",
        sys.executable,
        "-S",
        "-E",
        "-s",
        "-c",
        "import sys; sys.path.insert(0, '.')\n" + script,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_the_command_line_without_its_extra_says_what_to_install(base, tmp_path):
    done = call(base.parent / "zkgrad", "train", cwd=tmp_path)
    assert done.returncode == 2 and "pip install 'zkgrad[prover]'" in done.stderr, done
    assert "Traceback" not in done.stderr
