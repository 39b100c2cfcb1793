"""Times workloads, alone or beside peers, in alternating rounds of fresh processes.

usage: ./dev bench [PREFIX...] [--threads N] [--eager] [--strict] [--peers [LIST]] [--rounds N] [--json FILE]
       ./dev bench --profile WORKLOAD [--threads N] [--eager] [--strict] [--trace FILE]
       ./dev bench --peers       every workload and peer, at one and at two threads: docs/performance.md
       ./dev bench --report      docs/performance.md from the figures that are there
       ./dev bench PREFIX... --peers [LIST] --page FILE   such a page of some workloads
"""
import argparse
import collections
import json
import os
import pathlib
import sys

import harness
import table

HERE = pathlib.Path(__file__).resolve().parent
# The metric of ours that is set against a peer's `us`.
OURS = ["us", "strict_us", "eager_us"]


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefixes", nargs="*", metavar="PREFIX", help="workloads whose names start so; all if none")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--eager", action="store_true", help="also time eager execution")
    parser.add_argument("--strict", action="store_true", help="also time strict numerics")
    parser.add_argument("--peers", nargs="?", const="all", help="comma-separated, or all: " + ",".join(harness.PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", metavar="FILE", help="with --peers or --report: the page to write (docs/performance.md); then PREFIXes may choose workloads")
    parser.add_argument("--fresh", action="store_true", help="with --peers alone: forget an interrupted run instead of going on with it")
    parser.add_argument("--report", action="store_true", help="write docs/performance.md again")
    parser.add_argument("--profile", metavar="WORKLOAD", help="print the time of each kernel of that workload, and write a trace for Perfetto")
    parser.add_argument("--trace", metavar="FILE", help="with --profile: where the trace goes (default: build/profiles/WORKLOAD-Nt.json)")
    parser.add_argument("--json", metavar="FILE", help="append one JSON line a figure to this file")
    arguments = parser.parse_args()
    check(arguments, parser)
    return arguments


def check(arguments, parser):
    whole = not arguments.prefixes and arguments.threads is None
    arguments.whole_table = arguments.peers is not None and (whole or arguments.page is not None)
    if not whole and arguments.page is None and arguments.report:
        parser.error("docs/performance.md shows all workloads at one and at two threads; for a part of them give --page FILE")
    arguments.peers = list(harness.PEERS) if arguments.peers == "all" else [p for p in (arguments.peers or "").split(",") if p]
    unknown = [p for p in arguments.peers if p not in harness.PEERS]
    if unknown:
        parser.error(f"unknown peer {', '.join(unknown)}; there are {', '.join(harness.PEERS)}")
    if arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: at least one")
    arguments.threads = 1 if arguments.threads is None else arguments.threads
    arguments.all_cpus = sorted(os.sched_getaffinity(0))
    if not 1 <= arguments.threads <= len(arguments.all_cpus):
        parser.error(f"--threads {arguments.threads}: this process may use {len(arguments.all_cpus)} CPUs")
    arguments.cpus = arguments.all_cpus[: arguments.threads]
    if arguments.json:
        try:
            open(arguments.json, "a").close()
        except OSError as error:
            parser.error(f"--json {arguments.json}: {error.strerror}")


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


def number(value):
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def row_of(workload, arguments, metrics, median):
    peers = [median.get((workload, p, "us")) for p in arguments.peers]
    known = [p for p in peers if p is not None]
    ours = median.get((workload, "kiln", "us"), median.get((workload, "kiln", "eager_us")))
    limit = median.get((workload, "kiln", "limit_us"))
    row = [workload] + [number(median.get((workload, "kiln", m))) for m in metrics]
    row.append(f"{100 * limit / ours:.0f} %" if limit and ours else "-")
    row += [number(p) for p in peers]
    if arguments.peers:
        row.append(f"{ours / min(known):.2f}" if known and ours else "-")
    return row + [number(median.get((workload, "kiln", m))) for m in ("first_call_ms", "warm_ms", "load_ms")]


def print_table(arguments, median):
    metrics = [m for m in OURS if any(key[1:] == ("kiln", m) for key in median)]
    header = [f"{arguments.threads} thread" + "s" * (arguments.threads > 1)] + [f"kiln {m}" for m in metrics] + ["of roofline"]
    header += [f"{p} us" for p in arguments.peers] + ["kiln / best peer"] * bool(arguments.peers) + ["first ms", "warm ms", "load ms"]
    workloads = dict.fromkeys(w for w, _, m in median if m == "us" or m in metrics)
    rows = [row_of(w, arguments, metrics, median) for w in workloads]
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))
    peaks = {m: v for (w, _, m), v in median.items() if w == "machine"}
    if peaks:
        print("peaks:", ", ".join(f"{v:.0f} {'GFLOP/s' if m == 'gflops' else 'GB/s ' + m[:-4]}" for m, v in peaks.items()))


def measure(arguments):
    python, peers = harness.python_with(arguments.peers) if arguments.peers else (None, [])
    arguments.peers = peers
    figures = collections.defaultdict(list)
    lines = harness.run_limits(arguments.program, arguments.prefixes, arguments.cpus)
    for index in range(arguments.rounds):
        harness.say(f"round {index + 1} of {arguments.rounds}")
        lines += harness.run_kiln(arguments.program, arguments.prefixes, arguments.cpus, arguments.strict, arguments.eager)
        for peer in peers:
            lines += harness.run_peer(python, peer, arguments.prefixes, arguments.cpus, 1.5)[0]
    for line in lines:
        figures[line["workload"], line["peer"], line["metric"]].append(line)
    return harness.medians(figures)[0]


def main():
    arguments = parse_arguments()
    os.environ["HANDOFF_PROBE"] = str(pathlib.Path(arguments.program).resolve())  # for peers
    if arguments.profile:
        profile(arguments)
    if arguments.report or arguments.whole_table:
        return table.make(arguments)
    names = harness.execute([arguments.program, *arguments.prefixes, "--list"], arguments.cpus, 60)
    if names.problem:
        sys.exit(names.problem.split(": ", 1)[-1])
    median = measure(arguments)
    print_table(arguments, median)
    if arguments.json:
        with open(arguments.json, "a") as out:
            for (workload, peer, metric), value in median.items():
                out.write(json.dumps({"peer": peer, "workload": workload, "metric": metric, "value": value, "threads": arguments.threads}) + "\n")


main()
