"""MLX on the CPU, compiled."""
from functools import partial

import common as c
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optimizers

mx.set_default_device(mx.cpu)
array = mx.array


def run(workload, function, *arguments):
    if not c.want(workload):
        return
    compiled = mx.compile(function)
    c.timeit(workload, lambda: mx.eval(compiled(*arguments)))


def train(workload, model, optimizer, x, y):
    gradient = nn.value_and_grad(model, lambda x, y: nn.losses.cross_entropy(model(x), y, reduction="mean"))
    mx.eval(model.parameters())
    optimizer.init(model.trainable_parameters())
    state = [model.state, optimizer.state]

    @partial(mx.compile, inputs=state, outputs=state)
    def step(x, y):
        loss, g = gradient(x, y)
        optimizer.update(model, g)
        return loss

    c.timeit(workload, lambda: mx.eval(step(x, y), state))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(1, 32, 3, padding=1), nn.MaxPool2d(2)
        self.dense = [nn.Linear(6272, 256), nn.Linear(256, 128), nn.Linear(128, 10)]

    def __call__(self, x):
        h = self.pool(nn.relu(self.conv(x))).reshape(x.shape[0], -1)
        return self.dense[2](nn.relu(self.dense[1](nn.relu(self.dense[0](h)))))


x10 = array(c.f32(10))
run("call", lambda x: x + 1, x10)
c.timeit("eager_add", lambda: mx.eval(x10 + x10))
for n in c.CHAIN_SIZES:
    if c.want("chain_gelu"):
        run(f"chain_gelu_{n}", lambda x: 0.5 * x * (1 + mx.tanh(0.7978845608 * (x + 0.044715 * x * x * x))), array(c.f32(n)))
for m, k, n in c.MATMULS:
    run(f"matmul_{m}x{k}x{n}", lambda a, b: a @ b, array(c.f32(m, k)), array(c.f32(k, n)))
if c.want("mlp_step"):
    train("mlp_step", nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), optimizers.SGD(0.01), array(c.f32(32, 784)), array(c.labels(32)))
if c.want("cnn_step"):
    train("cnn_step", Cnn(), optimizers.Adam(1e-3), array(c.f32(32, 28, 28, 1)), array(c.labels(32)))
