"""start.py PEER NANOSECONDS: prints the time since then, on the monotonic clock, at which the first result of a compiled x + 1 is there."""
import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
peer = sys.argv[1]
if peer == "jax":
    import jax
    import jax.numpy as jnp

    jax.jit(lambda x: x + 1)(jnp.ones(10)).block_until_ready()
elif peer in ("tf", "tf-xla"):
    import tensorflow as tf

    tf.function(lambda x: x + 1, jit_compile=peer == "tf-xla")(tf.ones(10)).numpy()
elif peer in ("torch", "torch-compile"):
    import torch

    function = lambda x: x + 1
    (torch.compile(function) if peer == "torch-compile" else function)(torch.ones(10))
elif peer == "mlx":
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    mx.eval(mx.compile(lambda x: x + 1)(mx.ones(10)))
else:
    sys.exit(f"unknown peer {peer}")
milliseconds = (time.monotonic_ns() - int(sys.argv[2])) / 1e6
print(json.dumps({"peer": peer, "workload": "start", "metric": "start_ms", "value": round(milliseconds, 3)}), flush=True)
