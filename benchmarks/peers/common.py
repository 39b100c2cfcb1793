"""Workloads shared by the peers' scripts: shapes, timing, output.

Each script runs one library: `[MODE=...] [THREADS=N] [BENCH_SECONDS=S] python jax_.py [PREFIX,PREFIX]` and prints one JSON line a figure:
{"peer": "jax", "workload": "mlp_step", "metric": "us", "value": 125.0}.
"""
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

rng = np.random.default_rng(0)
THREADS = int(os.environ.get("THREADS", "1"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1.5"))
MODE = os.environ.get("MODE", "")
PROBE = os.environ.get("HANDOFF_PROBE", "")  # a program that measures how far the CPUs are from each other
PREFIXES = sys.argv[1].split(",") if len(sys.argv) > 1 else None
_LIBRARY = os.path.basename(sys.argv[0]).split("_")[0]
PEER = {"tf/xla": "tf-xla", "tf/eager": "tf-eager", "torch/compile": "torch-compile"}.get(f"{_LIBRARY}/{MODE}", _LIBRARY)

CHAIN_SIZES = [1_000, 100_000, 1_000_000, 16_000_000]
RESNET = [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]  # outputs and stride of each block
LM = {"vocabulary": 256, "length": 128, "batch": 8, "width": 256, "heads": 4, "hidden": 1024, "blocks": 2}
LSTM = {"steps": 100, "batch": 32, "inputs": 64, "hidden": 128}
MATMULS = [(32, 784, 128), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (37, 53, 71)]


def want(workload):
    """Also of the first word of names: "row" is wanted if "row_softmax" is."""
    return PREFIXES is None or any(workload.startswith(p) or p.startswith(workload + "_") for p in PREFIXES)


def emit(workload, metric, value, **more):
    print(json.dumps({"peer": PEER, "workload": workload, "metric": metric, "value": value, **more}), flush=True)


def handoff_ns():
    """How far the CPUs are from each other; 0 if it does not matter, or nobody says how to measure it."""
    if THREADS < 2 or not PROBE:
        return 0
    return json.loads(subprocess.run([PROBE, "--handoff"], capture_output=True, text=True, check=True).stdout)["value"]


def timeit(workload, step, metric="us"):
    """Emits the first call in ms and the median call in us; step() runs once to completion. Short calls are timed in batches of 5 ms,
    for BENCH_SECONDS and at least seven times; calls above 0.2 s three times."""
    if not want(workload):
        return
    start = time.perf_counter()
    step()
    emit(workload, "first_call_ms", round((time.perf_counter() - start) * 1e3, 2))
    step()
    start = time.perf_counter()
    step()
    once = time.perf_counter() - start
    batch, least = max(1, int(0.005 / max(once, 1e-7))), 7 if once < 0.2 else 3
    handoff = handoff_ns()
    samples, begin = [], time.perf_counter()
    while len(samples) < least or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        for _ in range(batch):
            step()
        samples.append((time.perf_counter() - start) / batch)
    more = {"handoff_ns": max(handoff, handoff_ns())} if handoff else {}
    emit(workload, metric, round(float(np.median(samples)) * 1e6, 3), **more)


def emit_memory(workload):
    emit(workload, "rss_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def integers(limit, *shape):
    return rng.integers(0, limit, shape).astype(np.int32)


def f32(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def labels(n, classes=10):
    return rng.integers(0, classes, n).astype(np.int32)


def zeros(n):
    return np.zeros(n, np.float32)


def glorot(*shape):
    fan = sum(shape) if len(shape) == 2 else int(np.prod(shape[:-2])) * (shape[-2] + shape[-1])
    return f32(*shape, scale=(2.0 / fan) ** 0.5)
