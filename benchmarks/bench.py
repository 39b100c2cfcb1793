"""Runs kiln_bench, and peers beside it, in alternating rounds of fresh processes; prints a table and writes JSON lines.

usage: ./dev bench [PREFIX...] [--threads N] [--eager] [--strict] [--peers jax,tf,tf-xla,torch,torch-compile,mlx] [--rounds N] [--json FILE]
       ./dev bench --profile WORKLOAD [--threads N] [--eager] [--strict] [--trace FILE]
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
# peer -> (script, MODE, packages)
PEERS = {
    "jax": ("jax_.py", "", ["jax"]),
    "tf": ("tf_.py", "", ["tensorflow"]),
    "tf-xla": ("tf_.py", "xla", ["tensorflow"]),
    "torch": ("torch_.py", "", ["torch"]),
    "torch-compile": ("torch_.py", "compile", ["torch"]),
    "mlx": ("mlx_.py", "", ["mlx[cpu]"]),
}
# The metric of ours that is set against a peer's `us`.
OURS = ["us", "strict_us", "eager_us"]


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description="Times workloads, alone or beside peers.")
    parser.add_argument("prefixes", nargs="*", metavar="PREFIX", help="workloads whose names start so; all if none")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--eager", action="store_true", help="also time eager execution")
    parser.add_argument("--strict", action="store_true", help="also time strict numerics")
    parser.add_argument("--peers", default="", help="comma-separated: " + ",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", metavar="WORKLOAD", help="print the time of each kernel of that workload, and write a trace for Perfetto")
    parser.add_argument("--trace", metavar="FILE", help="with --profile: where the trace goes (default: build/profiles/WORKLOAD-Nt.json)")
    parser.add_argument("--json", help="append one JSON line a figure to this file")
    arguments = parser.parse_args()
    arguments.peers = [p for p in arguments.peers.split(",") if p]
    unknown = [p for p in arguments.peers if p not in PEERS]
    if unknown:
        parser.error(f"unknown peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    cpus = sorted(os.sched_getaffinity(0))
    if not 1 <= arguments.threads <= len(cpus):
        parser.error(f"--threads {arguments.threads}: this process may use {len(cpus)} CPUs")
    arguments.cpus = cpus[: arguments.threads]
    return arguments


def python_with(peers):
    """The interpreter of a virtual environment that holds the peers; made at the first use."""
    home = pathlib.Path(os.environ.get("KILN_PEERS_VENV", HERE.parent / "build" / "peers"))
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
    packages = sorted({package for peer in peers for package in PEERS[peer][2]})
    missing = [p for p in packages if subprocess.run([python, "-c", f"import {p.split('[')[0]}.core" if "mlx" in p else f"import {p}"], capture_output=True).returncode]
    if missing:
        print("bench: installing", *missing, file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", *missing], check=True)
    return python


def run(command, cpus, threads, extra=None):
    """The JSON lines that the command prints, run on those CPUs only."""
    environment = {**os.environ, "THREADS": str(threads), "KILN_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), **(extra or {})}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    if done.returncode:
        print(f"bench: {command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def profile(arguments):
    """Runs kiln_bench --profile on the chosen CPUs."""
    name, threads = arguments.profile, arguments.threads
    trace = pathlib.Path(arguments.trace or HERE.parent / "build" / "profiles" / f"{name}-{threads}t.json")
    try:
        trace.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"bench: cannot make the folder of {trace}: {error.strerror}")
    command = [arguments.program, name, "--profile", "--trace", str(trace)]
    command += ["--eager"] * arguments.eager + ["--strict"] * arguments.strict
    os.sched_setaffinity(0, arguments.cpus)
    os.environ["KILN_NUM_THREADS"] = str(threads)
    os.execv(command[0], command)


def one_round(arguments, python, figures):
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as cache:
        base = [arguments.program, *arguments.prefixes]
        extra = {"KILN_CACHE_DIR": cache}
        runs = [lambda: run(base + ["--first-call"], arguments.cpus, arguments.threads, extra),
                lambda: run(base + ["--warm-call"], arguments.cpus, arguments.threads, extra),
                lambda: run(base, arguments.cpus, arguments.threads, extra)]
        if arguments.strict:
            runs.append(lambda: run(base + ["--strict"], arguments.cpus, arguments.threads, extra))
        if arguments.eager:
            runs.append(lambda: run(base + ["--eager"], arguments.cpus, arguments.threads, extra))
        for peer in arguments.peers:
            script, mode, _ = PEERS[peer]
            command = [str(python), str(HERE / "peers" / script)] + ([",".join(arguments.prefixes)] if arguments.prefixes else [])
            runs.append(lambda command=command, mode=mode: run(command, arguments.cpus, arguments.threads, {"MODE": mode}))
        for each in runs:
            for line in each():
                figures[line["workload"], line["peer"], line["metric"]].append(line["value"])


def number(value):
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def print_table(arguments, median):
    workloads = list(dict.fromkeys(w for w, _, _ in median))
    metrics = [m for m in OURS if any(key[1:] == ("kiln", m) for key in median)]
    columns = [f"kiln {m}" for m in metrics] + [f"{p} us" for p in arguments.peers] + (["kiln / best peer"] if arguments.peers else []) + ["first ms", "warm ms"]
    rows = []
    for workload in workloads:
        peers = [median.get((workload, p, "us")) for p in arguments.peers]
        known = [p for p in peers if p is not None]
        ours = median.get((workload, "kiln", "us"), median.get((workload, "kiln", "eager_us")))
        row = [workload] + [number(median.get((workload, "kiln", m))) for m in metrics] + [number(p) for p in peers]
        if arguments.peers:
            row.append(f"{ours / min(known):.2f}" if known and ours else "-")
        rows.append(row + [number(median.get((workload, "kiln", m))) for m in ("first_call_ms", "warm_ms")])
    header = [f"{arguments.threads} thread" + "s" * (arguments.threads > 1)] + columns
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))


def main():
    arguments = parse_arguments()
    if arguments.profile:
        profile(arguments)
    python = python_with(arguments.peers) if arguments.peers else None
    figures = collections.defaultdict(list)
    for index in range(arguments.rounds):
        print(f"bench: round {index + 1} of {arguments.rounds}", file=sys.stderr)
        one_round(arguments, python, figures)
    median = {key: statistics.median(values) for key, values in figures.items()}
    print_table(arguments, median)
    if arguments.json:
        with open(arguments.json, "a") as out:
            for (workload, peer, metric), value in median.items():
                out.write(json.dumps({"peer": peer, "workload": workload, "metric": metric, "value": value, "threads": arguments.threads}) + "\n")


main()
