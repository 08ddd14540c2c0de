"""An environment of its own with PyTorch, since the product neither needs nor imports it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def torch_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a python that imports torch, numpy and safetensors."""
    folder = tmp_path_factory.mktemp("torch")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    needed = ("torch==2.13.0", "numpy", "safetensors")
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", *needed], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python
