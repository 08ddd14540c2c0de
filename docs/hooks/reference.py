"""A hook of MkDocs: the reference pages are written from the code each time the site is built.

`reference/cli.md` comes from the Typer application, `reference/http.md` from docs/openapi.json, if it is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from markdown.extensions.toc import slugify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.testing import CliRunner

from api.app import app

OPENAPI = Path(__file__).parents[1] / "openapi.json"
METHODS = ("get", "head", "put", "post", "patch", "delete")
WIDTH = 96


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    for path, text in (("reference/cli.md", cli()), ("reference/http.md", http(OPENAPI))):
        files.append(File.generated(config, path, content=text))
    return files


def cli() -> str:
    """The help of every verb."""
    parts = ["# Command line", "What `--help` prints, verb by verb. Exit codes are [below](#exit-codes)."]
    for path in _verbs(app, ()):
        shown = CliRunner().invoke(app, [*path, "--help"], prog_name="zkgrad", env={"COLUMNS": str(WIDTH)})
        if shown.exit_code:
            raise RuntimeError(f"zkgrad {' '.join(path)} --help failed: {shown.output}")
        parts.append(f"## zkgrad {' '.join(path)}\n\n```text\n{shown.output.strip()}\n```")
    return "\n\n".join([*parts, EXITS])


EXITS = """## Exit codes

| code | meaning |
|---|---|
| 0 | done; the proof is valid |
| 1 | invalid proof, unsatisfied constraint, unsafe parameters |
| 2 | usage |
| 3 | malformed file |
| 4 | a limit or an overflow |
| 5 | not the expected parameters or statement |
| 69 | the service cannot be reached |
| 70 | a fault of the program |
| 130 | interrupted |

With `--json` every verb prints one object on standard output; people are spoken to on standard error.
"""


def _verbs(group: typer.Typer, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        name = command.name or (command.callback.__name__.replace("_", "-") if command.callback else "")
        yield (*path, name)
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from _verbs(inner.typer_instance, (*path, str(inner.name)))


def http(schema: Path) -> str:
    """Every route of the schema with its parameters, bodies and answers, then the objects and the problems."""
    if not schema.exists():
        return "# HTTP interface\n\nThis build has no `docs/openapi.json`, from which this page is made.\n"
    document = json.loads(schema.read_text())
    parts = [f"# HTTP interface\n\n{document['info'].get('description', '').strip()}"]
    routes: dict[str, list[str]] = {}
    problems: dict[str, tuple[str, str]] = {}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                tag = (methods[method].get("tags") or ["other"])[0]
                routes.setdefault(tag, []).append(_route(method, path, methods[method]))
                problems |= _problems(methods[method])
    for tag, texts in routes.items():
        parts += [f"## {tag.capitalize()}", *texts]
    schemas = document.get("components", {}).get("schemas", {})
    parts += ["## Objects", *(_object(name, fields) for name, fields in schemas.items())]
    rows = [f"| `{code}` | {status} | {title} |" for code, (status, title) in sorted(problems.items())]
    parts.append("\n".join(["## Problems", "", "| code | status | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"### `{method.upper()} {path}`", operation.get("summary", "") + "."]
    if operation.get("description", "").strip():
        lines.append(operation["description"].strip())
    lines.append(_table("parameter", [(p, p.get("required", False), p["in"]) for p in operation.get("parameters", [])]))
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        lines.append(f"Body: {_contents(bodies)}.")
    for code, answer in operation.get("responses", {}).items():
        if int(code) < 400:
            contents = f"{_contents(answer['content'])}. " if "content" in answer else ""
            said = answer.get("description", "").strip()
            more = f"{contents}{'' if said == 'Successful Response' else _line(said)}".strip()
            lines.append(f"Answer {code}{f': {more}' if more else '.'}")
    codes = ", ".join(f"[`{code}`](#problems)" for code in _problems(operation))
    return "\n\n".join(line for line in [*lines, f"Problems: {codes}." if codes else ""] if line)


def _problems(operation: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and title of each problem that an operation may answer with, by its code."""
    found = {}
    for status, answer in operation.get("responses", {}).items():
        for title, code in re.findall(r"([^;(]+) \(`(\w+)`\)", answer.get("description", "")):
            found[code] = (status, title.strip())
    return found


def _object(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    fields = [({"name": f, "schema": s, **s}, f in required, "") for f, s in schema.get("properties", {}).items()]
    said = schema.get("description", "").strip()
    return "\n\n".join(line for line in (f"### {name}", said, _table("field", fields)) if line)


def _table(title: str, fields: list[tuple[dict[str, Any], bool, str]]) -> str:
    if not fields:
        return ""
    rows = [
        f"| `{field['name']}` | {_kind(field.get('schema', {}))}{f', in the {where}' if where else ''}"
        f"{'' if required else ', optional'} | {_line(field.get('description', ''))} |"
        for field, required, where in fields
    ]
    return "\n".join([f"| {title} | | |", "|---|---|---|", *rows])


def _contents(contents: dict[str, Any]) -> str:
    return ", ".join(f"`{media}` {_kind(body.get('schema', {}))}".strip() for media, body in contents.items())


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{slugify(name, '-')})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {})) or 'anything'}"
    return str(schema.get("const", schema.get("type", "")))


def _line(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
