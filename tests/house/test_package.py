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
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)


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


def copy_verifier(folder: Path) -> list[str]:
    """Copies verifier/ and nothing else; returns the names of its modules."""
    (folder / "verifier").mkdir()
    names = []
    for path in (ROOT / "verifier").glob("*.py"):
        (folder / "verifier" / path.name).write_bytes(path.read_bytes())
        names.append("verifier" if path.stem == "__init__" else f"verifier.{path.stem}")
    return names


def test_the_verifier_imports_the_standard_library_only(tmp_path):
    """In a folder that holds only verifier/, without site packages or environment, every module loads."""
    names = copy_verifier(tmp_path)
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


@pytest.fixture(scope="module")
def proof(tmp_path_factory) -> Path:
    """A folder with statement.json and proof.zkp of a small run at 128 bits."""
    folder = tmp_path_factory.mktemp("proof")
    rows = [f"{k % 7},{k % 5},{k % 3},{k % 2}" for k in range(30)]
    (folder / "data.csv").write_text("\n".join(["a,b,c,kind", *rows]) + "\n")
    zkgrad = (sys.executable, "-c", "from api.cli import main; main()")
    options = ("--layers", "3-4-2", "--batch", "4", "--steps", "3", "--lr", "0.25", "--out", folder / "run")
    for arguments in (("train", "--data", folder / "data.csv", *options), ("prove", folder / "run")):
        done = call(*zkgrad, *arguments, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_proof_is_judged_on_the_base_install(base, proof, tmp_path):
    files = [proof / "statement.json", proof / "proof.zkp"]
    done = call(base, "-m", "verifier", *files, cwd=tmp_path)
    assert done.returncode == 0 and "VALID at" in done.stdout, done
    spoiled = bytearray(files[1].read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    (tmp_path / "spoiled.zkp").write_bytes(spoiled)
    done = call(base, "-m", "verifier", files[0], tmp_path / "spoiled.zkp", cwd=tmp_path)
    assert done.returncode in (1, 3) and "NOT VALID" in done.stderr and "Traceback" not in done.stderr, done


def test_a_proof_is_judged_in_a_folder_with_the_verifier_alone(proof, tmp_path):
    copy_verifier(tmp_path)
    for name in ("statement.json", "proof.zkp"):
        (tmp_path / name).write_bytes((proof / name).read_bytes())
    python = ("env", "-i", sys.executable, "-S", "-E", "-s")
    done = call(*python, "-m", "verifier", "statement.json", "proof.zkp", cwd=tmp_path)
    assert done.returncode == 0 and "VALID at" in done.stdout, done


def test_the_command_line_without_its_extra_says_what_to_install(base, tmp_path):
    done = call(base.parent / "zkgrad", "train", cwd=tmp_path)
    assert done.returncode == 2 and "pip install 'zkgrad[prover]'" in done.stderr, done
    assert "Traceback" not in done.stderr
