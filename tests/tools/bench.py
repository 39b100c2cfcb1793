"""The tools behind ./dev bench: time limits, peers that fail, runs that go on after an interruption, pages that keep their remarks."""
import json
import os
import pathlib
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import harness
import report
import table

CPUS = sorted(os.sched_getaffinity(0))[:1]
# A peer that prints a figure for each wanted group, dies in "row", and hangs in "matmul".
FAKE = """
import json, os, sys, time
for name in ("call", "chain_gelu_1000", "row_softmax", "matmul_2", "mlp_step"):
    if any(name.startswith(p) for p in sys.argv[1].split(",")):
        if name == "row_softmax": sys.exit("no rows here")
        if name == "matmul_2": time.sleep(60)
        print(json.dumps({"peer": "fake", "workload": name, "metric": "us", "value": 2.0}), flush=True)
"""


def line(who, workload, metric, value):
    return {"peer": who, "workload": workload, "metric": metric, "value": value}


class Harness(unittest.TestCase):
    def test_execute(self):
        done = harness.execute([sys.executable, "-c", "print('{\"peer\": 1}'); print('{\"cut'); print('noise')"], CPUS, 20)
        self.assertEqual(done, harness.Done([], None))
        code = "import json, os; print(json.dumps(dict(peer='p', workload=os.environ['KILN_NUM_THREADS'], metric='us', value=len(os.sched_getaffinity(0)))))"
        self.assertEqual(harness.execute([sys.executable, "-c", code], CPUS, 20).lines, [line("p", "1", "us", 1)])

    def test_problems(self):
        self.assertIn("exit status 3", harness.execute([sys.executable, "-c", "raise SystemExit(3)"], CPUS, 20).problem)
        self.assertEqual(harness.execute([sys.executable, "-c", "import time; time.sleep(60)"], CPUS, 0.3).problem, "took more than 0.3 s")
        self.assertEqual(harness.execute(["/nonexistent"], CPUS, 1).problem, "cannot run /nonexistent: No such file or directory")

    def test_a_peer_that_fails_keeps_its_other_workloads(self):
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "fake.py"
            script.write_text(FAKE)
            harness.PEERS["fake"] = harness.Peer(str(script), "", "fake", "fake")
            try:
                lines, failed = harness.run_peer(sys.executable, "fake", ["call", "chain", "row", "matmul", "mlp_step"], CPUS, limit=3)
            finally:
                del harness.PEERS["fake"]
        self.assertEqual(sorted(entry["workload"] for entry in lines), ["call", "chain_gelu_1000", "mlp_step"])
        self.assertEqual(failed, ["row", "matmul"])


class Page(unittest.TestCase):
    FIGURES = {(1, "kiln", "mlp_step", "us"): 50.0, (1, "jax", "mlp_step", "us"): 125.0, (1, "torch", "mlp_step", "us"): 280.0,
               (1, "kiln", "mlp_step", "limit_us"): 40.0, (1, "kiln", "mlp_step", "first_call_ms"): 90.0, (1, "jax", "mlp_step", "first_call_ms"): 200.0}

    def test_tables(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "page.md"
            missed = report.write(path, self.FIGURES, {"CPU": "a"}, ["jax", "torch"])
            text = path.read_text()
            self.assertIn("| `mlp_step` | 50 | 80 % | - | **125** | 280 | 0.40 | 0.6 |", text)
            self.assertEqual(missed, ["first call of `mlp_step`, 1 thread, against jax: 0.45, goal 0.3"])
            path.write_text(text.replace(report.BEGIN + "\n", report.BEGIN + "\nA remark.\n"))
            for _ in range(2):
                report.write(path, self.FIGURES, {"CPU": "b"}, ["jax", "torch"])
            self.assertIn(f"{report.BEGIN}\nA remark.\n{report.END}", path.read_text())
            self.assertIn("- CPU: b", path.read_text())

    def test_goals_fit_the_names(self):
        wanted = {"call": 0.2, "call20": 0.25, "chain_gelu_1000": 0.15, "chain_softplus_100000": 0.4, "chain_arith_1000000": 0.8, "chain_gelu_16000000": 1.0,
                  "row_layernorm": 0.75, "row_layernorm_grad": 0.6, "matmul_2048x2048x2048": 1.05, "lm_step": 0.5, "unrolled_100": None}
        self.assertEqual({name: report.goal(report.GOALS, name) for name in wanted}, wanted)


class Parts(unittest.TestCase):
    def test_a_finished_part_is_not_run_again(self):
        with tempfile.TemporaryDirectory() as folder:
            parts, runs = table.Parts(pathlib.Path(folder)), []
            for value in (1.0, 2.0):
                parts.run(1, "round1-jax", lambda: runs.append(value) or [line("jax", "call", "us", value), line("jax", "call", "rss_mb", 5000)])
            parts.run(1, "round2-jax", lambda: [line("jax", "call", "us", 4.0)])
            parts.run(1, "memory-jax", lambda: [line("jax", "call", "us", 100.0), line("jax", "call", "rss_mb", 700)])
            self.assertEqual(runs, [1.0])
            self.assertEqual(parts.medians(), {(1, "jax", "call", "us"): 2.5, (1, "jax", "call", "rss_mb"): 700})

    def test_figures_of_another_kiln_are_dropped(self):
        with tempfile.TemporaryDirectory() as folder:
            saved, table.FIGURES = table.FIGURES, pathlib.Path(folder)
            program = pathlib.Path(folder) / "bin" / "kiln_bench"
            program.parent.mkdir()
            program.write_bytes(b"one")
            arguments = types.SimpleNamespace(prefixes=[], program=program, peers=["jax"], fresh=False)
            try:
                path, now, known = table.stamp(arguments)
                self.assertIsNone(known)
                table.Parts(path.parent).run(1, "limits", lambda: [])
                path.write_text(json.dumps({**now, "about": {}}))
                self.assertIsNotNone(table.stamp(arguments)[2])
                self.assertTrue((path.parent / "1t" / "limits.jsonl").exists())
                program.write_bytes(b"two")
                self.assertIsNone(table.stamp(arguments)[2])
                self.assertFalse((path.parent / "1t").exists())
            finally:
                table.FIGURES = saved


unittest.main()
