"""Einsum on CKKS: operations, bytes, seconds and error per expression, beside TenSEAL's own products.

`python -m bench fhe`; one process, one core for the evaluation. The floor of a product is TenSEAL's `dot` or
`matmul`.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import fhe

Part = tuple[bool, tuple[int, ...]]
TABLE: list[tuple[str, list[Part], str]] = [
    ("bi,ij->bj", [(True, (32, 64)), (False, (64, 10))], ""),
    ("ij->ji", [(True, (128, 128))], ""),
    ("ik,k->i", [(True, (128, 128)), (True, (128,))], ""),
    ("ik,kj->ij", [(True, (16, 32)), (True, (32, 32))], ""),
    ("ijk,ikl->ijl", [(True, (16, 8, 8)), (True, (16, 8, 8))], ""),
    ("ik,jkl,il->ij", [(True, (8, 16)), (True, (8, 16, 16)), (True, (8, 16))], ""),
    ("bthd,bThd->bhtT", [(True, (2, 8, 4, 16)), (True, (2, 8, 4, 16))], ""),
    ("bhqd,bhkd->bhqk", [(True, (1, 2, 16, 32)), (True, (1, 2, 16, 32))], ""),
    ("i,i->", [(True, (1024,)), (True, (1024,))], "dot"),
    ("i,ij->j", [(True, (64,)), (False, (64, 64))], "matmul"),
    ("ik,kj->ij", [(True, (64, 64)), (True, (64, 64))], ""),
]


def best_of(repeats: int, call: Callable[[], Any]) -> float:
    """Least seconds of several calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def timed(repeats: int, call: Callable[[], Any]) -> tuple[float, float]:
    """Least wall seconds of several calls, and the processor seconds of one more."""
    wall, start = best_of(repeats, call), time.process_time()
    call()
    return wall, time.process_time() - start


def measure(text: str, parts: list[Part], replicate: str, repeats: int) -> dict[str, Any]:
    """One expression on the real backend."""
    specs = {f"x{k}": (fhe.Encrypted if s else fhe.Plain)(shape) for k, (s, shape) in enumerate(parts)}
    rng = np.random.default_rng(0)
    data = {n: rng.uniform(-1, 1, s.shape) for n, s in specs.items()}
    plan = fhe.plan(text, specs, replicate=replicate)
    start = time.perf_counter()
    client = fhe.Client.for_plans([plan])
    bundle = client.server_bundle()
    keygen = time.perf_counter() - start
    server = fhe.Server(bundle)
    secret = {n: v for n, v in data.items() if isinstance(specs[n], fhe.Encrypted)}
    plain = {n: v for n, v in data.items() if n not in secret}
    cts = client.encrypt(plan, **secret)
    start = time.perf_counter()
    prepared = server.prepare(plan, plain)
    encode = time.perf_counter() - start
    inputs = server.load(plan, cts)
    seconds, cpu = timed(repeats, lambda: server.compute(plan, inputs, prepared, plan.graph.outputs))
    got = client.decrypt(plan, plan.run(server, **cts, **plain))
    error = float(np.abs(got - np.einsum(text, *data.values())).max())
    return {
        "expression": text,
        "shapes": [list(s.shape) for s in specs.values()],
        "replicate": replicate,
        "rotations": plan.counts["rotate"],
        "products": plan.counts["multiply"],
        "levels": plan.levels,
        "plain_products": plan.counts["multiply_plain"],
        "relinearisations": plan.counts["relinearize"],
        "ring": plan.params.ring,
        "key_bytes": plan.key_bytes,
        "upload_bytes": sum(plan.upload.values()),
        "keygen_seconds": keygen,
        "seconds": seconds,
        "seconds_with_encoding": seconds + encode,
        "cpu_seconds": cpu,
        "predicted_seconds": plan.seconds,
        "error": error,
        "relative_error": error / plan.bound,
        "predicted_error": plan.error,
    }


def tenseal_floor(kind: str, parts: list[Part], repeats: int) -> tuple[float, float]:
    """Wall and processor seconds of TenSEAL's own product on the same shapes (ring 8192, one level)."""
    import tenseal

    rng = np.random.default_rng(0)
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 60])
    context.global_scale = 2.0**40
    context.generate_galois_keys()
    vector = tenseal.ckks_vector(context, rng.uniform(-1, 1, parts[0][1]).tolist())
    if kind == "dot":
        other = tenseal.ckks_vector(context, rng.uniform(-1, 1, parts[1][1]).tolist())
        return timed(repeats, lambda: vector.dot(other))
    matrix = rng.uniform(-1, 1, parts[1][1]).tolist()
    return timed(repeats, lambda: vector.matmul(matrix))


def digits_batch(batch: int = 128) -> dict[str, Any]:
    """Seconds for one batch of a 64-128-64-10 network with random weights and polynomials of degree 7."""
    rng = np.random.default_rng(1)
    sizes = (64, 128, 64, 10)
    layers = [(rng.normal(0, np.sqrt(2 / a), (a, b)), np.zeros(b)) for a, b in pairwise(sizes)]
    x = rng.uniform(0, 1, (batch, 64))
    network = fhe.compile(layers, calibration=x, batch=batch)
    client = fhe.Client.for_plans([network.plan])
    server = fhe.Server(client.server_bundle())
    start = time.perf_counter()
    prepared = server.prepare(network.plan, network.operands)
    encode = time.perf_counter() - start
    inputs = server.load(network.plan, client.encrypt(network.plan, x=x))
    seconds = best_of(1, lambda: server.compute(network.plan, inputs, prepared, network.plan.graph.outputs))
    return {
        "network": "64-128-64-10",
        "batch": batch,
        "seconds": seconds,
        "encode_seconds": encode,
        "predicted_seconds": network.plan.seconds,
        "ring": network.plan.params.ring,
        "key_bytes": network.plan.key_bytes,
        "levels": network.plan.levels,
    }


def run(json: bool = False, *, repeats: int = 3, network: bool = True, **options: Any) -> dict[str, Any]:
    """Measure the whole table; a dictionary, printed as one JSON object on stdout when `json`, as a table
    otherwise.
    """
    rows = []
    for text, parts, kind in TABLE:
        floor = tenseal_floor(kind, parts, repeats) if kind else None
        for replicate in ("server", "client"):
            row = measure(text, parts, replicate, repeats)
            if floor is not None:
                row |= {
                    "floor": f"TenSEAL {kind}",
                    "floor_seconds": floor[0],
                    "floor_cpu_seconds": floor[1],
                    "ratio": floor[0] / row["seconds"],
                    "cpu_ratio": floor[1] / row["cpu_seconds"],
                }
            rows.append(row)
            show(row)
    report: dict[str, Any] = {
        "benchmark": "fhe",
        "machine": platform.processor() or platform.machine(),
        "rows": rows,
    }
    if network:
        report["inference"] = digits_batch()
        print(f"inference: {report['inference']}", file=sys.stderr)
    if json:
        dump(report)
    return report


def dump(report: dict[str, Any]) -> None:
    print(json.dumps(report))


def show(row: dict[str, Any]) -> None:
    """One line for people."""
    floor = (
        f"  {row['floor']} {row['floor_seconds'] * 1e3:.1f} ms = {row['ratio']:.1f}× ({row['cpu_ratio']:.1f}×"
        " in processor time)"
        if "floor" in row
        else ""
    )
    print(
        f"{row['expression']:16} {row['replicate']:6} {row['rotations']:3} rot {row['products']:2} mul"
        f" {row['levels']} lev  keys {row['key_bytes'] / 1e6:6.1f} MB  up {row['upload_bytes'] / 1e6:5.1f} MB"
        f"  {row['seconds'] * 1e3:7.1f} ms ({row['seconds_with_encoding'] * 1e3:.1f} with encoding,"
        f" {row['cpu_seconds'] * 1e3:.1f} of one core, {row['predicted_seconds'] * 1e3:.1f} predicted)  error"
        f" {row['relative_error']:.1e} of bound{floor}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run("--json" in sys.argv[1:])
