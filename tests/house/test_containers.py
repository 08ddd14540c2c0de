"""The images without an engine: what their Dockerfile says is laid out in a folder, and their commands run there as
bare processes. What compose grants each service is read from the file."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OWN = ("api", "worker", "verifier-http", "verifier")


@dataclass
class Stage:
    """What one target of the Dockerfile says. `copies` are (source, destination) from the build context."""

    base: str
    copies: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    folder: str = "/"
    user: str = "root"


def stages() -> dict[str, Stage]:
    """The Dockerfile's targets by name."""
    found: dict[str, Stage] = {}
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stage = found[name] = Stage(base)
        elif word == "COPY" and not rest.startswith("--from="):
            *sources, target = shlex.split(rest)
            stage.copies += [(source, target) for source in sources]
        elif word == "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "HEALTHCHECK":
            stage.health = json.loads(rest.partition(" CMD ")[2])
        elif word in ("ENTRYPOINT", "CMD"):
            setattr(stage, "entrypoint" if word == "ENTRYPOINT" else "command", json.loads(rest))
        elif word in ("RUN", "WORKDIR", "USER"):
            stage.runs += [rest] if word == "RUN" else []
            stage.folder = rest if word == "WORKDIR" else stage.folder
            stage.user = rest if word == "USER" else stage.user
    return found


STAGES = stages()
LEFT_OUT = ("__pycache__", "*.pyc", "node_modules")


def lay_out(stage: Stage, root: Path) -> dict[str, str]:
    """Copies into `root` what the image copies, without what .dockerignore keeps out; the image's environment there."""
    ignored = shutil.ignore_patterns(*LEFT_OUT)
    for source, target in stage.copies:
        there = root / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, there, ignore=ignored, dirs_exist_ok=True)
        else:
            (there if target.endswith("/") else there.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, there)
    (root / stage.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    return {
        name: str(root) + value if value.startswith("/") else value for name, value in stage.environment.items()
    }


def python(command: list[str]) -> list[str]:
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


# --- the verifier ---


@pytest.fixture(scope="module")
def proof(tmp_path_factory) -> Path:
    """statement.json and proof.zkp of a small run at 128 bits; a rate so low that no batch order leaves its ranges."""
    from api.app import run

    folder = tmp_path_factory.mktemp("proof")
    rows = [f"{k % 7},{k % 5},{k % 3},{k % 2}" for k in range(30)]
    (folder / "data.csv").write_text("\n".join(["a,b,c,kind", *rows]) + "\n")
    options = ("--layers", "3-4-2", "--batch", "4", "--steps", "2", "--lr", "0.0009765625")
    assert run(["train", "--data", str(folder / "data.csv"), *options, "--out", str(folder / "run")]) == 0
    assert run(["prove", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def image(tmp_path, proof) -> tuple[Path, dict[str, str]]:
    """The verifier's image with the two files mounted, and its environment."""
    stage = STAGES["verifier"]
    environment = lay_out(stage, tmp_path)
    for name in stage.command:
        shutil.copy(proof / name, tmp_path / stage.folder.lstrip("/") / name)
    return tmp_path, environment


def judge(image: tuple[Path, dict[str, str]]) -> subprocess.CompletedProcess[str]:
    root, environment = image
    stage = STAGES["verifier"]
    given = [f"{name}={value}" for name, value in environment.items()]
    command = ["env", "-i", *given, *python(stage.entrypoint + stage.command)]
    return subprocess.run(
        command, cwd=root / stage.folder.lstrip("/"), capture_output=True, text=True, timeout=120, check=False
    )


def test_the_verifier_image_holds_the_verifier_alone(image):
    root, _ = image
    held = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    sources = {f"zkgrad/verifier/{path.name}" for path in (ROOT / "verifier").glob("*.py")}
    assert held == sources | {"files/statement.json", "files/proof.zkp"}
    assert STAGES["verifier"].runs == []


def test_the_verifier_image_judges(image):
    done = judge(image)
    assert done.returncode == 0 and "VALID at 1" in done.stdout, done
    proof = image[0] / "files" / "proof.zkp"
    proof.write_bytes(proof.read_bytes()[:-1])
    done = judge(image)
    assert done.returncode == 3 and "NOT VALID" in done.stderr and "Traceback" not in done.stderr, done


def test_a_verdict_writes_nothing(image):
    """The image and what is mounted are read-only."""
    before = sorted(image[0].rglob("*"))
    assert judge(image).returncode == 0 and sorted(image[0].rglob("*")) == before


def test_what_is_mounted_is_not_imported(image):
    """A prover's folder may hold a verifier that always agrees."""
    files = image[0] / "files"
    (files / "verifier").mkdir()
    for name in ("verifier/__init__.py", "verifier/__main__.py", "json.py", "hashlib.py", "sitecustomize.py"):
        (files / name).write_text("print('VALID')\nraise SystemExit(0)\n")
    (files / "proof.zkp").write_bytes(b"")
    done = judge(image)
    assert done.returncode == 3 and "VALID" not in done.stdout, done


# --- the verifier over HTTP ---


def needed(packages: list[str]) -> set[str]:
    """The distributions that pip installs for these: them, and what they require without extras."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            parsed = [Requirement(line) for line in distribution(name).requires or ()]
            waiting += [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def site(packages: list[str], folder: Path) -> Path:
    """A folder of packages with those that an image installs and no others."""
    folder.mkdir()
    for name in needed(packages):
        for file in distribution(name).files or ():
            top = folder / file.parts[0]
            if file.parts[0] != ".." and not top.exists():
                top.symlink_to(distribution(name).locate_file(file.parts[0]))
    return folder


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def isolated(environment: dict[str, str], command: list[str]) -> list[str]:
    return ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]


@contextmanager
def running(command: list[str], folder: Path, log: Path):
    """A server while the block lasts; it is asked to end, and its status is kept."""
    with log.open("wb") as stream, subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream) as server:
        try:
            yield server
        finally:
            server.terminate()


def healthy(check: list[str], port: int, environment: dict[str, str]) -> bool:
    """Whether a health check says so, asked at `port` instead of the image's."""
    command = [re.sub(r":\d+/", f":{port}/", part) for part in python(check)]
    return subprocess.run(isolated(environment, command), capture_output=True, check=False).returncode == 0


def wait_for(ready, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90
    while not ready():
        assert server.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of verifier-http's very command, on a free port, with what its image copies and installs alone."""
    root, stage, port = tmp_path_factory.mktemp("http"), STAGES["verifier-http"], free_port()
    environment = lay_out(stage, root)
    (install,) = stage.runs
    packages = site(install.partition("constraints.txt ")[2].split(), root / "packages")
    environment["PYTHONPATH"] += f":{packages}"
    assert stage.command == ["--host", "0.0.0.0", "--port", "8080"]
    interpreter, *rest = python(stage.entrypoint)
    command = [interpreter, "-S", *rest, "--host", "127.0.0.1", "--port", str(port)]
    folder = root / stage.folder.lstrip("/")
    with running(isolated(environment, command), folder, root / "log") as server:
        wait_for(lambda: healthy(stage.health, port, environment), server, root / "log")
        yield f"http://127.0.0.1:{port}"


def post(address: str, files: dict[str, bytes]) -> dict:
    """A form with files, by the standard library."""
    lines = b""
    for name, data in files.items():
        head = f'--limit\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        lines += head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    request = urllib.request.Request(f"{address}/v1/verify", lines + b"--limit--\r\n", headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def test_verifier_http_judges(served, proof):
    files = {"statement": (proof / "statement.json").read_bytes(), "proof": (proof / "proof.zkp").read_bytes()}
    assert post(served, files)["valid"] is True
    files["proof"] = files["proof"][:-1] + bytes([files["proof"][-1] ^ 1])
    assert post(served, files)["valid"] is False


def test_verifier_http_has_its_packages_pinned():
    """Every package that the image installs stands in constraints.txt."""
    (install,) = STAGES["verifier-http"].runs
    packages = install.partition("constraints.txt ")[2].split()
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert packages and set(packages) <= pinned


# --- the service ---

ZKGRAD = [sys.executable, "-c", "from api.cli import main; main()"]


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The folders that compose mounts, and the service's environment there; the code is this checkout's."""
    root, stage = tmp_path_factory.mktemp("service"), STAGES["service"]
    environment = {name: str(root) + value for name, value in stage.environment.items() if value.startswith("/")}
    environment |= {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(root)}
    for mount in SERVICES["api"]["volumes"]:
        (root / mount.partition(":/")[2]).mkdir(mode=0o700)
    return root, environment


def test_the_service_runs_as_compose_starts_it(service):
    """It refuses to let others in without a key, as the image's address asks; with one, API and worker are healthy."""
    root, environment = service
    port, stage = free_port(), STAGES["service"]
    assert stage.entrypoint == ["zkgrad"]
    command = [str(port) if part == "8000" else part for part in SERVICES["api"]["command"]]
    done = subprocess.run(isolated(environment, ZKGRAD + command), capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "there is no key yet" in done.stderr, done
    create = isolated(environment, [*ZKGRAD, "keys", "create", "operator"])
    subprocess.run(create, check=True, capture_output=True)
    with running(isolated(environment, ZKGRAD + command), root, root / "api.log") as api:
        wait_for(lambda: healthy(SERVICES["api"]["healthcheck"]["test"][1:], port, environment), api, root / "api.log")
        work = isolated(environment, ZKGRAD + SERVICES["worker"]["command"])
        with running(work, root, root / "worker.log") as worker:
            check = SERVICES["worker"]["healthcheck"]["test"][1:]
            wait_for(lambda: healthy(check, port, environment), worker, root / "worker.log")
            assert not healthy(check, port, environment | {"ZKGRAD_DATA": str(root / "elsewhere")})
    assert {path.name for path in (root / "keys").iterdir()} >= {"wrapping-key"}
    assert any((root / "data").iterdir())


# --- what the files grant ---


def test_no_image_runs_as_root():
    for name in ("verifier", "verifier-http", "service"):
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", STAGES[name].user), name


def test_the_build_context_is_a_list_of_what_images_copy():
    """Run folders hold secrets: nothing enters an image that is not named."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*" and {line for line in lines[1:] if line[0] != "!"} == {f"**/{name}" for name in LEFT_OUT}
    allowed = {line[1:] for line in lines if line[0] == "!"}
    used = {source.split("/")[0] for stage in STAGES.values() for source, _ in stage.copies}
    assert used == allowed
    assert all((ROOT / source).exists() for stage in STAGES.values() for source, _ in stage.copies)


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_confined(name):
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"] and not service.get("privileged")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert "cap_add" not in service and "pid" not in service
    if name == "verifier":
        assert service["network_mode"] == "none" and all(mount.endswith(":ro") for mount in service["volumes"])
    else:
        assert service["healthcheck"]["test"][0] == "CMD" and set(service["networks"]) <= set(COMPOSE["networks"])
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_storage_is_out_of_reach_and_optional():
    assert COMPOSE["networks"]["back"]["internal"] is True
    for name in ("postgres", "s3"):
        assert SERVICES[name]["profiles"] == [name] and SERVICES[name]["networks"] == ["back"]
        assert SERVICES["api"]["depends_on"][name]["required"] is False
    assert {name for name in SERVICES if "profiles" not in SERVICES[name]} == {"api", "worker", "verifier-http"}


def test_there_are_no_default_secrets():
    """What is secret is passed on from outside, or a file from outside; nothing stands in for it."""
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|DATABASE", variable):
                assert value is None, f"{name}: {variable}"
    for secret in COMPOSE["secrets"].values():
        assert set(secret) == {"file"}
    assert not [name for stage in STAGES.values() for name in stage.environment if re.search("PASSWORD|SECRET", name)]


def test_compose_and_images_agree():
    for name in OWN:
        target = SERVICES[name]["build"]["target"]
        assert target in STAGES and SERVICES[name]["user"] == STAGES[target].user
    for name in ("verifier", "verifier-http"):
        assert SERVICES[name].get("command", STAGES[name].command) == STAGES[name].command
    assert SERVICES["verifier-http"]["healthcheck"]["test"] == ["CMD", *STAGES["verifier-http"].health]
    assert SERVICES["api"]["command"][: len(STAGES["service"].command)] == STAGES["service"].command
    places = {mount.partition(":")[2] for mount in SERVICES["api"]["volumes"]}
    assert places == {"/data", "/keys", "/cache"} and all(place in STAGES["service"].runs[0] for place in places)
