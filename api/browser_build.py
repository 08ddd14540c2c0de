"""python -m api.browser_build: what the page /verify needs beside its own files, copied into its folder `runtime`.

    verifier.zip    the folder verifier/, byte for byte the same from the same sources
    pyodide.*       CPython for WebAssembly with its standard library, as installed from `api/service/browser`
    bundle.json     format, version, license and source of the runtime, SHA-256 of every file

The folder is made anew or not at all, and is not kept under version control. `--digest` prints the digest of
verifier.zip and builds nothing: that is how to check a page against a checkout that one trusts.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import verifier

FORMAT = "zkgrad-browser/1"
HERE = Path(__file__).resolve().parent / "service"
PACKAGE = HERE / "browser" / "node_modules" / "pyodide"
RUNTIME = HERE / "static" / "verify" / "runtime"
FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
ARCHIVE = "verifier.zip"
# The earliest time an archive can hold: the digest must depend on names and contents alone.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class BuildError(Exception):
    """The runtime is not installed, or a file of it is missing."""


def verifier_archive() -> bytes:
    """verifier/*.py as a ZIP archive: sorted, uncompressed, without times, so that it is the same everywhere."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(Path(verifier.__file__).parent.glob("*.py")):
            entry = zipfile.ZipInfo(f"verifier/{path.name}", _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def verifier_digest() -> str:
    """SHA-256 of `verifier_archive`, as the page shows it."""
    return hashlib.sha256(verifier_archive()).hexdigest()


def build(package: Path = PACKAGE, target: Path = RUNTIME) -> dict[str, Any]:
    """Makes `target` from the installed package; returns bundle.json. BuildError when a file is missing."""
    try:
        about = json.loads((package / "package.json").read_text())
        contents = {name: (package / name).read_bytes() for name in FILES} | {ARCHIVE: verifier_archive()}
    except OSError as error:
        raise BuildError(f"{error.filename} is missing: npm ci in {package.parent.parent}, or make browser") from None
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    bundle = {"format": FORMAT, "pyodide": about["version"], "license": about["license"], "source": about["homepage"]}
    bundle["sha256"] = digests
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".runtime.", dir=target.parent) as scratch:
        staging = Path(scratch) / "new"
        staging.mkdir()
        for name, data in contents.items():
            (staging / name).write_bytes(data)
        (staging / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n")
        if target.exists():
            target.rename(Path(scratch) / "old")
        shutil.move(staging, target)
    return bundle


def main(arguments: list[str] | None = None) -> int:
    """Builds, or prints the digest; returns 0, or 1 with a message when the runtime is not installed."""
    parser = argparse.ArgumentParser(prog="python -m api.browser_build", description="Builds the page /verify.")
    parser.add_argument("--digest", action="store_true", help="print the verifier bundle's digest and build nothing")
    options = parser.parse_args(arguments)
    if options.digest:
        print(f"sha256:{verifier_digest()}")
        return 0
    try:
        bundle = build()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {RUNTIME} with Pyodide {bundle['pyodide']}")
    print(f"verifier bundle sha256:{bundle['sha256'][ARCHIVE]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
