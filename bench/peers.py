"""Proofs of inference beside EZKL's, on the same networks, the same machine, the same number of samples.

Needs the extra `peers` (ezkl, onnx), which nothing else uses; without it only our figures are printed. Options:
--layers 64-128-64-10 (again and again), --samples N (default 1).

What differs: EZKL proves one evaluation of a circuit with the weights inside it, under a structured reference string
(here a local one, of no security) and with a setup for every circuit; values are rounded to its scale. Ours proves how
many committed samples a committed model classifies correctly, under SHA-256 alone and without setup, 128 bits, zero
knowledge for samples and model. EZKL's proofs are smaller and quicker to verify.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import itertools
import json as text
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prover.backends import cpu
from prover.evaluation import accuracy_job
from prover.prove import prove
from verifier import verify

from .headline import Network, build_run

NETWORKS = ("64-128-64-10", "784-256-256-10")


def ours(widths: Sequence[int], samples: int) -> dict[str, Any]:
    """Seconds and bytes of a proof of accuracy on so many samples; the model was trained for one step."""
    network = Network(layers=tuple(widths))
    built = build_run(network, 1, cpu.BACKEND, lambda stage: None)
    for _ in range(2):  # kernels are compiled in the first turn
        start = time.perf_counter()
        shown = built.inputs[:samples], built.targets[:samples]
        job = accuracy_job(cpu.BACKEND, built.statement, built.final, built.blinding, *shown, 128)
        proof = prove(job, cpu.BACKEND)
        proven = time.perf_counter()
    verify(job.statement.to_bytes(), proof)
    return {
        "setup_seconds": 0.0,
        "prove_seconds": proven - start,
        "verify_seconds": time.perf_counter() - proven,
        "proof_bytes": len(proof),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def ezkl_figures(widths: Sequence[int], samples: int) -> dict[str, Any] | None:
    """The same of EZKL, with its own defaults and calibration; None where it is not installed."""
    try:
        import ezkl
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _model(widths, samples, place)
        here = os.getcwd()
        os.chdir(place)
        try:
            return asyncio.run(_ezkl(ezkl))
        finally:
            os.chdir(here)


async def _ezkl(ezkl: Any) -> dict[str, Any]:
    async def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        done = function(*args, **options)
        return await done if inspect.isawaitable(done) else done

    begin = time.perf_counter()
    await call(ezkl.gen_settings, "model.onnx", "settings.json")
    await call(ezkl.calibrate_settings, "input.json", "model.onnx", "settings.json", "resources")
    await call(ezkl.compile_circuit, "model.onnx", "model.ezkl", "settings.json")
    rows = text.loads(Path("settings.json").read_text())["run_args"]["logrows"]
    await call(ezkl.gen_srs, "kzg.srs", rows)
    await call(ezkl.gen_witness, "input.json", "model.ezkl", "witness.json")
    await call(ezkl.setup, "model.ezkl", "vk.key", "pk.key", "kzg.srs", "witness.json")
    start = time.perf_counter()
    await call(ezkl.gen_witness, "input.json", "model.ezkl", "witness.json")
    await call(ezkl.prove, "witness.json", "model.ezkl", "pk.key", "proof.json", srs_path="kzg.srs")
    proven = time.perf_counter()
    await call(ezkl.verify, "proof.json", "settings.json", "vk.key", "kzg.srs")
    return {
        "setup_seconds": start - begin,
        "prove_seconds": proven - start,
        "verify_seconds": time.perf_counter() - proven,
        "proof_bytes": len(text.loads(Path("proof.json").read_text())["proof"]),
        "logrows": rows,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _model(widths: Sequence[int], samples: int, place: Path) -> None:
    """model.onnx, full layers with ReLU between them, and input.json."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, weights, last = np.random.default_rng(0), [], [], "x"
    for layer, (d_in, d_out) in enumerate(itertools.pairwise(widths)):
        matrix = rng.uniform(-1, 1, (d_in, d_out)) * np.sqrt(6 / d_in)
        for name, values in ((f"W{layer}", matrix), (f"b{layer}", np.zeros(d_out))):
            weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        nodes.append(helper.make_node("Gemm", [last, f"W{layer}", f"b{layer}"], [f"z{layer}"]))
        last = f"z{layer}"
        if layer < len(widths) - 2:
            nodes.append(helper.make_node("Relu", [last], [f"a{layer}"]))
            last = f"a{layer}"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [samples, widths[0]])]
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, [samples, widths[-1]])]
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(place / "model.onnx"))
    values = rng.uniform(-0.5, 0.5, samples * widths[0]).tolist()
    (place / "input.json").write_text(text.dumps({"input_data": [values]}))


def run(json: bool = False, argv: Sequence[str] = ()) -> dict[str, Any]:
    """{network: {"zkgrad": figures, "ezkl": figures}}; EZKL's are missing where it is not installed."""
    del json
    parser = argparse.ArgumentParser(prog="python -m bench peers")
    parser.add_argument("--layers", action="append", help="widths, as 64-128-64-10")
    parser.add_argument("--samples", type=int, default=1)
    options = parser.parse_args(argv)
    report: dict[str, Any] = {"samples": options.samples}
    for layers in options.layers or NETWORKS:
        widths = [int(width) for width in layers.split("-")]
        found = {"zkgrad": ours(widths, options.samples), "ezkl": ezkl_figures(widths, options.samples)}
        report[layers] = {name: figures for name, figures in found.items() if figures is not None}
    return report
