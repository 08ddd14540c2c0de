"""python -m api.service.http: prints the OpenAPI document of the service, as docs/openapi.json holds it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from api.service.store import open_store

from .app import create_app
from .settings import HttpSettings


def document() -> str:
    """The document as text: it depends on the code alone, not on any setting."""
    with tempfile.TemporaryDirectory(prefix="zkgrad-openapi-") as name:
        settings = HttpSettings(data=Path(name) / "data", database=None, blobs=None, wrapping_key=None)
        store = open_store(settings, migrate=True)
        try:
            return json.dumps(create_app(store, settings).openapi(), indent=1, ensure_ascii=False) + "\n"
        finally:
            store.close()


if __name__ == "__main__":
    sys.stdout.write(document())
