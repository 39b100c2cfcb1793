"""docs/performance.md: the tables, made from the figures of `./dev bench --peers`, around the remarks that people wrote into it."""
import re

BEGIN, END = "<!-- remarks: kept when this page is made anew -->", "<!-- end of remarks -->"
# What Kiln aims at: its time over that of the best peer, at most. The first pattern that fits counts.
GOALS = [
    (r"call$", 0.2), (r"call20$", 0.25), (r"eager_add$", 0.4), (r"chain_\w+_1000$", 0.15), (r"chain_softplus_(100000|1000000)$", 0.4),
    (r"chain_\w+_(100000|1000000)$", 0.8), (r"chain_\w+_16000000$", 1.0), (r"row_softmax$", 0.6), (r"row_layernorm$", 0.75),
    (r"row_layernorm_grad$", 0.6), (r"row_colsum$", 1.0), (r"row_transpose$", 0.9), (r"matmul_37x53x71$", 0.4), (r"matmul_32x784x128$", 0.75),
    (r"matmul_(512|1024)x", 1.0), (r"matmul_2048x", 1.05), (r"mlp_step$", 0.6), (r"cnn_step$", 0.55), (r"lstm_step$", 0.75), (r"lm_step$", 0.5),
    (r"resnet18_step_b32$", 0.85),
]
# Two threads over one, at most.
THREAD_GOALS = [(r"cnn_step$", 0.75), (r"(lm_step|resnet18_step_b32)$", 0.6), (r".*_step$", 1.0)]
# Steps that run eagerly in at most torch's time.
EAGER_STEPS = ("mlp_step", "cnn_step", "lm_step", "resnet18_step_b32")
# Tracing, loading from disk, ms.
LOAD_GOALS = {"mlp_step": 5, "cnn_step": 8, "lm_step": 15, "resnet18_step_b32": 25}
COMPILE_GOAL = 0.3
NOT_TIMED = ("unrolled", "long_chain")  # workloads that are about the first call


def goal(goals, workload):
    return next((value for pattern, value in goals if re.match(pattern, workload)), None)


def number(value):
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def ratio(a, b):
    return a / b if a is not None and b else None


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("---" if i == 0 else "---:" for i in range(len(header))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


class Report:
    """figures: (threads, who, workload, metric) -> median."""

    def __init__(self, figures, about, peers):
        self.figures, self.about, self.peers = figures, about, peers
        self.counts = sorted({threads for threads, *_ in figures})
        self.workloads = list(dict.fromkeys(w for _, who, w, m in figures if who == "kiln" and m in ("us", "first_call_ms")))
        self.missed = []

    def get(self, threads, who, workload, metric):
        return self.figures.get((threads, who, workload, metric))

    def best(self, threads, workload, metric="us"):
        known = {p: self.get(threads, p, workload, metric) for p in self.peers}
        return min(((value, p) for p, value in known.items() if value is not None), default=(None, None))

    def judged(self, value, limit, what):
        """The ratio and its goal as two cells; remembers a miss."""
        if value is None:
            return ["-", number(limit)]
        if limit is not None and value > limit * 1.005:
            self.missed.append(f"{what}: {value:.2f}, goal {limit:g}")
        return [f"{value:.2f}", number(limit)]

    def steady_row(self, threads, workload):
        ours, limit = self.get(threads, "kiln", workload, "us"), self.get(threads, "kiln", workload, "limit_us")
        best, whose = self.best(threads, workload)
        share = ratio(limit, ours)
        row = [f"`{workload}`", number(ours), "-" if share is None else f"{100 * share:.0f} %", number(self.get(threads, "kiln", workload, "eager_us"))]
        for peer in self.peers:
            text = number(self.get(threads, peer, workload, "us"))
            row.append(f"**{text}**" if peer == whose else text)
        row += self.judged(ratio(ours, best), goal(GOALS, workload), f"`{workload}`, {threads} thread{'s' * (threads > 1)}, against {whose}")
        eager, torch = self.get(threads, "kiln", workload, "eager_us"), self.get(threads, "torch", workload, "us")
        if workload in EAGER_STEPS and eager and torch and eager > torch * 1.005:
            self.missed.append(f"`{workload}` run eagerly, {threads} thread{'s' * (threads > 1)}, against torch: {eager / torch:.2f}, goal 1")
        if threads > 1:
            limit = goal(THREAD_GOALS, workload)
            row += self.judged(ratio(ours, self.get(1, "kiln", workload, "us")), limit, f"`{workload}`, {threads} threads against one")
        return row

    def steady(self, threads):
        header = ["us a call", "Kiln", "of roofline", "Kiln eager", *self.peers, "Kiln / best", "goal"]
        header += [f"{threads} threads / 1", "goal"] if threads > 1 else []
        rows = [self.steady_row(threads, w) for w in self.workloads if not w.startswith(NOT_TIMED)]
        return f"## {'One thread' if threads == 1 else f'{threads} threads'}\n\n{markdown(header, rows)}\n"

    def compile_table(self, threads):
        chosen = [w for w in self.workloads if w.endswith("_step") or "_step_" in w or w.startswith(NOT_TIMED)]
        peers = [p for p in self.peers if p != "torch" and any(self.get(threads, p, w, "first_call_ms") for w in chosen)]
        header = [f"ms, {threads} thread{'s' * (threads > 1)}", "Kiln, first call", *peers, "Kiln / jax", "goal", "Kiln, filled cache", "tracing and loading", "goal"]
        rows = []
        for w in chosen:
            cold, load, limit = self.get(threads, "kiln", w, "first_call_ms"), self.get(threads, "kiln", w, "load_ms"), LOAD_GOALS.get(w)
            row = [f"`{w}`", number(cold), *[number(self.get(threads, p, w, "first_call_ms")) for p in peers]]
            row += self.judged(ratio(cold, self.get(threads, "jax", w, "first_call_ms")), COMPILE_GOAL, f"first call of `{w}`, {threads} thread{'s' * (threads > 1)}, against jax")
            row += [number(self.get(threads, "kiln", w, "warm_ms")), number(load), number(limit)]
            if load and limit and load > limit:
                self.missed.append(f"tracing and loading `{w}`: {load:.1f} ms, goal {limit}")
            rows.append(row)
        return markdown(header, rows) + "\n"

    def start_and_memory(self):
        threads = self.counts[-1]
        known = [w for w in ("kiln", "kiln-warm", *self.peers) if self.get(threads, w, "start", "start_ms")]
        title = {"kiln": "Kiln, empty cache", "kiln-warm": "Kiln, filled cache"}
        start = markdown(["", *[title.get(w, w) for w in known]], [["ms", *[number(self.get(threads, w, "start", "start_ms")) for w in known]]])
        for who, limit in (("kiln", 100), ("kiln-warm", 15)):
            value = self.get(threads, who, "start", "start_ms")
            if value and value > limit:
                self.missed.append(f"start of a process, {title[who]}: {value:.0f} ms, goal {limit}")
        rows = []
        for t in self.counts:
            ours = [self.get(t, "kiln", "resnet18_step_b32", m) for m in ("rss_mb", "warm_rss_mb")]
            rows.append([f"MB, {t} thread{'s' * (t > 1)}", *map(number, ours), *[number(self.get(t, p, "resnet18_step_b32", "rss_mb")) for p in self.peers]])
            if ours[1] and ours[1] > 450:
                self.missed.append(f"memory of `resnet18_step_b32`, {t} thread{'s' * (t > 1)}: {ours[1]:.0f} MB, goal 450")
        memory = markdown(["", "Kiln, empty cache", "Kiln, filled cache", *self.peers], rows)
        return (f"## Start and memory\n\nFrom the start of a process to the first result of a compiled `x + 1` ({threads} threads; goals 100 and 15 ms):\n\n{start}\n\n"
                f"Peak resident size of a process that trains `resnet18_step_b32` (goal 450 MB):\n\n{memory}\n")

    def machine(self):
        lines = [f"- {key}: {value}" for key, value in self.about.items()]
        for t in self.counts:
            peaks = [(m, self.get(t, "kiln", "machine", m)) for m in ("gflops", "L2_gbs", "L3_gbs", "memory_gbs")]
            if all(v for _, v in peaks):
                text = ", ".join(f"{v:,.0f} {'GFLOP/s' if m == 'gflops' else 'GB/s ' + m[:-4]}" for m, v in peaks)
                lines.append(f"- Peaks of {t} thread{'s' * (t > 1)}, measured: {text}")
            trip, far = (self.get(t, "kiln", "machine", m) for m in ("handoff_ns", "far"))
            if trip:
                lines.append(f"- Round trip of a cache line between {t} threads' CPUs: {trip:.0f} ns; {100 * far:.0f} % of the figures do not count, because the "
                             "host had moved these CPUs apart, so that they shared no cache")
        return "## Machine and versions\n\n" + "\n".join(lines) + "\n"

    def text(self, remarks):
        compiling = "\n".join(self.compile_table(t) for t in self.counts)
        tables = [self.steady(t) for t in self.counts]
        tables.append(f"## First calls\n\nFrom the first call to its result: tracing, compiling and one run, in a process of its own.\n\n{compiling}")
        tables.append(self.start_and_memory())
        missed = "\n".join(f"- {m}" for m in self.missed) or "None."
        return "\n".join([INTRODUCTION, self.machine(), *tables, f"## Goals missed\n\n{missed}\n", f"## Remarks\n\n{BEGIN}\n{remarks}\n{END}\n"])


INTRODUCTION = """# Performance

Made by `./dev bench --peers`; `./dev bench --report` lays the same figures out again. Only the remarks at the end are written by hand.

Medians of alternating rounds of fresh processes on the same CPUs, float32, default numerics, data in memory, results awaited. Each peer runs in
its best documented mode: `jax.jit` with donated state, `tf.function` without and with XLA, torch eager and `torch.compile`. **Bold**: the best peer.
Of roofline: the least time in which this machine could run the kernels that Kiln launches, by their floating-point operations at the peak of
multiply-adds and their bytes at the bandwidth of the cache or memory that holds them (the larger of the two for each kernel), over the time of a call.
Transcendental functions count as one operation, so kernels full of them stay far below it.
"""


def remarks_in(path):
    """What stands between the markers of an earlier page; empty if there is none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ""
    begin, end = text.find(BEGIN), text.find(END)
    return text[begin + len(BEGIN):end].strip("\n") if 0 <= begin < end else ""


def write(path, figures, about, peers):
    """Writes the page; returns the goals that are missed."""
    report = Report(figures, about, peers)
    path.write_text(report.text(remarks_in(path)))
    return report.missed
