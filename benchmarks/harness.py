"""Runs kiln_bench and peers' scripts in processes of their own, on chosen CPUs, with time limits."""
import collections
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
Peer = collections.namedtuple("Peer", "script mode package module")
PEERS = {
    "jax": Peer("jax_.py", "", "jax", "jax"),
    "tf": Peer("tf_.py", "", "tensorflow", "tensorflow"),
    "tf-xla": Peer("tf_.py", "xla", "tensorflow", "tensorflow"),
    "torch": Peer("torch_.py", "", "torch", "torch"),
    "torch-compile": Peer("torch_.py", "compile", "torch", "torch"),
    "mlx": Peer("mlx_.py", "", "mlx[cpu]", "mlx.core"),
}
# Prefixes of workloads that are run alone where a process that runs all of them fails.
GROUPS = ["call", "eager_add", "chain", "row", "matmul", "mlp_step", "cnn_step", "lstm_step", "lm_step", "resnet18", "unrolled", "long_chain"]
Done = collections.namedtuple("Done", "lines problem")
FAR = 1.6  # times a short round trip between two CPUs: then they share no cache


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def python_with(peers, install=True):
    """(interpreter, the peers among those given that it can import). The virtual environment is made, and filled, at the first use."""
    home = pathlib.Path(os.environ.get("KILN_PEERS_VENV", HERE.parent / "build" / "peers"))
    python = home / "bin" / "python"
    if not python.exists():
        say(f"making the virtual environment {home}")
        venv.create(home, with_pip=True)
    usable = []
    for peer in peers:
        if not importable(python, PEERS[peer].module) and install:
            say(f"installing {PEERS[peer].package}")
            subprocess.run([python, "-m", "pip", "install", "-q", PEERS[peer].package])
        if importable(python, PEERS[peer].module):
            usable.append(peer)
        else:
            say(f"{peer} is left out: {python} cannot import {PEERS[peer].module}")
    return python, usable


def importable(python, module):
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def execute(command, cpus, limit, extra=None):
    """The JSON lines that the command prints within `limit` seconds, run on those CPUs only, and what went wrong, if anything."""
    threads = str(len(cpus))
    environment = {**os.environ, "THREADS": threads, "KILN_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, **(extra or {})}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)  # inherited
        try:
            child = subprocess.Popen([str(c) for c in command], env=environment, stdout=out, stderr=err, start_new_session=True)
        except OSError as error:
            return Done([], f"cannot run {command[0]}: {error.strerror}")
        finally:
            os.sched_setaffinity(0, before)
        problem = None
        try:
            if child.wait(limit) != 0:
                err.seek(0)
                problem = f"exit status {child.returncode}: " + "\n".join(err.read()[-1500:].strip().splitlines()[-5:])
        except subprocess.TimeoutExpired:
            problem = f"took more than {limit:g} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)  # its own session: the child and what it started
                child.wait()
        out.seek(0)
        lines = [line for line in map(parse, out.read().splitlines()) if line]
    return Done(lines, problem)


def parse(line):
    try:
        value = json.loads(line) if line.startswith("{") else None
    except json.JSONDecodeError:  # cut off
        return None
    return value if value and {"peer", "workload", "metric", "value"} <= value.keys() else None


def medians(lines_of):
    """Of the values of the lines of each key. The CPUs of a virtual machine change places: figures taken while they were far from each other
    count only where there are no others. Also returns a short round trip in ns, and the share of figures that do not count; or None."""
    trips = sorted(line["handoff_ns"] for lines in lines_of.values() for line in lines if "handoff_ns" in line)
    short = trips[len(trips) // 10] if trips else 0  # a single one may be measured wrong
    far = FAR * short
    result = {}
    for key, lines in lines_of.items():
        near = [line["value"] for line in lines if line.get("handoff_ns", 0) <= far]
        result[key] = statistics.median(near or [line["value"] for line in lines])
    return result, (short, sum(t > far for t in trips) / len(trips)) if trips else None


def peer_command(python, peer, prefixes):
    return [python, HERE / "peers" / PEERS[peer].script, *([",".join(prefixes)] if prefixes else [])]


def peer_environment(peer, seconds):
    cache = HERE.parent / "build" / "performance" / "inductor"  # torch.compile's own cache: its rounds would take minutes each
    return {"MODE": PEERS[peer].mode, "BENCH_SECONDS": str(seconds), "TORCHINDUCTOR_CACHE_DIR": str(cache)}


def group_of(workload):
    return next((g for g in GROUPS if workload.startswith(g)), workload)


def chosen(workload, prefixes):
    return not prefixes or any(workload.startswith(p) for p in prefixes)


def run_peer(python, peer, prefixes, cpus, seconds=0.3, broken=(), limit=420):
    """All workloads of a peer in one process; where that fails, those that are missing, a group a process.
    Returns the lines and the groups that failed alone too; `broken` ones are not tried."""
    groups = prefixes or [g for g in GROUPS if g not in broken]
    extra = peer_environment(peer, seconds)
    done = execute(peer_command(python, peer, groups), cpus, limit, extra)
    if done.problem is None:
        return done.lines, []
    say(f"{peer}: {done.problem}")
    last = group_of(done.lines[-1]["workload"]) if done.lines else None
    complete = {group_of(line["workload"]) for line in done.lines} - {last}
    lines, failed = [line for line in done.lines if group_of(line["workload"]) in complete], []
    for group in groups:
        if group in complete:
            continue
        alone = execute(peer_command(python, peer, [group]), cpus, limit / 3, extra)
        lines += alone.lines
        if alone.problem:
            say(f"{peer}, {group} alone: {alone.problem}")
            failed.append(group)
    return lines, failed


def run_kiln(program, prefixes, cpus, strict=False, eager=False, repetitions=15, once=True, limit=600):
    """Lines of kiln_bench: first calls with an empty cache and with a filled one, then steady calls."""
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as cache:
        modes = [["--first-call"], ["--warm-call"], ["--load"]] if once else []
        modes.append(["--repetitions", str(repetitions)])
        if strict:
            modes.append(["--strict", "--repetitions", str(repetitions)])
        if eager:
            modes.append(["--eager", "--repetitions", str(max(3, repetitions // 2))])
        lines = []
        for mode in modes:
            done = execute([program, *prefixes, *mode], cpus, limit, {"KILN_CACHE_DIR": cache})
            lines += done.lines
            if done.problem:
                say(f"kiln_bench {' '.join(mode)}: {done.problem}")
        return lines


def run_limits(program, prefixes, cpus, limit=300):
    """The least times of Kiln's kernels by the machine's peaks, and the peaks."""
    done = execute([program, *prefixes, "--limits"], cpus, limit)
    if done.problem:
        say(f"kiln_bench --limits: {done.problem}")
    return done.lines


def start_times(program, python, peers, cpus):
    """From the start of a process to the first result of a compiled x + 1, in ms: Kiln with an empty and a filled cache, and peers."""
    lines = []

    def once(who, command, extra=None):
        done = execute([*command, str(time.monotonic_ns())], cpus, 120, extra)
        if done.problem:
            say(f"start of {who}: {done.problem}")
        lines.extend({**line, "peer": who} for line in done.lines)

    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as cache:
        for who in ("kiln", "kiln-warm"):
            once(who, [program, "--start"], {"KILN_CACHE_DIR": cache})
    for peer in peers:
        once(peer, [python, HERE / "peers" / "start.py", peer], peer_environment(peer, 0))
    return lines
