"""The whole table: every workload and peer at one and at two threads, measured in parts that survive an interruption."""
import collections
import datetime
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

import harness
import report

HERE = pathlib.Path(__file__).resolve().parent
FIGURES = HERE.parent / "build" / "performance"  # a folder for each choice of workloads
PAGE = HERE.parent / "docs" / "performance.md"
MEMORY = "resnet18_step_b32"


def program_hash(program):
    """Of what is measured: the program and Kiln's libraries."""
    digest = hashlib.sha256()
    library = pathlib.Path(program).resolve().parent.parent / "lib"
    for path in [pathlib.Path(program), library / "libkiln.so", library / "libkiln_compiler.so"]:
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    return name + (", AVX-512" if " avx512f" in flags else ", AVX2" if " avx2" in flags else "")


def about(python, peers, cpus):
    """What the figures depend on."""
    modules = sorted({harness.PEERS[p].package.split("[")[0] for p in peers})
    code = "import importlib.metadata as m, sys; print('Python', sys.version.split()[0], *[', ' + p + ' ' + m.version(p) for p in sys.argv[1:]], sep='')"
    commit = output_of("git", "rev-parse", "--short", "HEAD") + (" with changes" if output_of("git", "status", "--porcelain", "-uno") else "")
    return {
        "CPU": f"{cpu_name()}; {len(cpus)} CPUs of it, {platform.system()} {platform.release()}",
        "Date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "Load when it began": f"{os.getloadavg()[0]:.2f}",
        "Kiln": commit,
        "Peers": output_of(python, "-c", code, *modules).replace("Python", "Python ", 1),
    }


class Parts:
    """Figures on disk, a file for each part of the run: finished parts are not run again."""

    def __init__(self, folder):
        self.folder, self.begin = folder, time.monotonic()

    def path(self, threads, name):
        return self.folder / f"{threads}t" / f"{name}.jsonl"

    def run(self, threads, name, produce):
        path = self.path(threads, name)
        if path.exists():
            return
        harness.say(f"[{(time.monotonic() - self.begin) / 60:4.1f} min] {threads} thread{'s' * (threads > 1)}: {name}")
        lines = produce()
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text("".join(json.dumps(line) + "\n" for line in lines))
        unfinished.rename(path)

    def medians(self):
        figures = {}
        for threads in sorted({int(path.name[:-1]) for path in self.folder.glob("*t")}):
            lines = collections.defaultdict(list)
            for path in sorted(self.folder.glob(f"{threads}t/*.jsonl")):
                for line in map(json.loads, path.read_text().splitlines()):
                    # A peer's peak memory counts only from the process that did nothing else.
                    if (line["metric"] == "rss_mb" and line["peer"] != "kiln") == path.name.startswith("memory-"):
                        lines[line["peer"], line["workload"], line["metric"]].append(line)
            medians, handoff = harness.medians(lines)
            figures.update({(threads, *key): value for key, value in medians.items()})
            if handoff:
                figures[threads, "kiln", "machine", "handoff_ns"], figures[threads, "kiln", "machine", "far"] = handoff
        return figures


def folder_of(arguments):
    return FIGURES / ("+".join(arguments.prefixes) or "all")


def stamp(arguments):
    """The folder's description; a run of another Kiln, or one asked for afresh, starts from nothing."""
    path, now = folder_of(arguments) / "stamp.json", {"program": program_hash(arguments.program), "peers": arguments.peers}
    known = json.loads(path.read_text()) if path.exists() else None
    if known and (arguments.fresh or any(known[k] != now[k] for k in now)):
        harness.say(f"the figures in {path.parent} are dropped" + ("" if arguments.fresh else ": they are of another Kiln or of other peers"))
        for old in path.parent.glob("*t"):
            shutil.rmtree(old)
        known = None
    return path, now, known


def measure(arguments, python, peers):
    parts, broken = Parts(folder_of(arguments)), collections.defaultdict(list)

    prefixes, program = arguments.prefixes, arguments.program

    def peer_part(peer, cpus):
        lines, failed = harness.run_peer(python, peer, prefixes, cpus, broken=broken[peer])
        broken[peer] += failed
        return lines

    counts = [n for n in (1, 2) if n <= len(arguments.all_cpus)]
    everyone = ["kiln", *peers]
    for index in range(arguments.rounds):
        for threads in counts:
            cpus = arguments.all_cpus[:threads]
            if index == 0:
                parts.run(threads, "limits", lambda: harness.run_limits(program, prefixes, cpus))
            for who in everyone[index % len(everyone):] + everyone[: index % len(everyone)]:
                name = f"round{index + 1}-{who}"
                if who == "kiln":
                    parts.run(threads, name, lambda: harness.run_kiln(program, prefixes, cpus, eager=True, repetitions=7, once=index < 3))
                else:
                    parts.run(threads, name, lambda: peer_part(who, cpus))
            if index < 3:
                parts.run(threads, f"start{index + 1}", lambda: harness.start_times(program, python, peers, cpus))
    for threads in counts:
        for peer in (p for p in peers if harness.group_of(MEMORY) not in broken[p] and harness.chosen(MEMORY, prefixes)):
            parts.run(threads, f"memory-{peer}", lambda: harness.run_peer(python, peer, [MEMORY], arguments.all_cpus[:threads], 0)[0])


def make(arguments):
    """Measures what is not there yet, unless --report, and writes the page."""
    folder, page = folder_of(arguments), pathlib.Path(arguments.page or PAGE)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        page.open("a").close()
    except OSError as error:
        sys.exit(f"bench: cannot write {page}: {error.strerror}")
    if arguments.report:
        path = folder / "stamp.json"
        if not path.exists():
            sys.exit(f"bench: no figures in {folder}; ./dev bench --peers measures them")
        known = json.loads(path.read_text())
    else:
        python, arguments.peers = harness.python_with(arguments.peers)
        path, now, known = stamp(arguments)
        if known is None:
            if os.getloadavg()[0] > 0.5:
                harness.say(f"the load of this machine is {os.getloadavg()[0]:.1f}: something else runs, so the figures will be unsteady")
            known = {**now, "about": about(python, arguments.peers, arguments.all_cpus)}
            path.write_text(json.dumps(known, indent=1))
        measure(arguments, python, arguments.peers)
    missed = report.write(page, Parts(folder).medians(), known["about"], known["peers"])
    harness.say(f"wrote {page}; {len(missed)} goal{'s' * (len(missed) != 1)} missed")
