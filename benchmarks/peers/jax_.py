"""JAX: jit with donated state, as its documentation recommends."""
import common as c
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

array = jnp.asarray


def run(workload, function, *arguments):
    """Times jit(function)(*arguments), result awaited."""
    if not c.want(workload):
        return
    compiled = jax.jit(function)
    c.timeit(workload, lambda: jax.block_until_ready(compiled(*arguments)))


def train(workload, function, state, *data):
    """function(state, *data) -> (state, loss); the state is donated."""
    if not c.want(workload):
        return
    compiled = jax.jit(function, donate_argnums=0)
    box = [state]

    def step():
        box[0], loss = compiled(box[0], *data)
        jax.block_until_ready((loss, box[0]))

    c.timeit(workload, step)


def relu(x):
    return jnp.maximum(x, 0)


def cross_entropy(logits, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))


def adam(p, g, m, v, t, rate=1e-3):
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    a = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return jax.tree.map(lambda p, m, v: p - a * m / (jnp.sqrt(v) + 1e-7), p, m, v), m, v, t


x10 = array(c.f32(10))
run("call", lambda x: x + 1, x10)
run("call20", lambda *xs: sum(xs), *[array(c.f32(10)) for _ in range(20)])
c.timeit("eager_add", lambda: (x10 + x10).block_until_ready())

for n in c.CHAIN_SIZES:
    if not c.want("chain"):
        break
    x, y = array(c.f32(n)), array(c.f32(n))
    run(f"chain_gelu_{n}", lambda x: 0.5 * x * (1 + jnp.tanh(0.7978845608 * (x + 0.044715 * x * x * x))), x)
    run(f"chain_arith_{n}", lambda x, y: jnp.sqrt(jnp.abs(x * y + 1) + jnp.square(x - y)) * 0.5 + jnp.maximum(x, y) / (1 + jnp.abs(y)) - x, x, y)
    run(f"chain_softplus_{n}", lambda x: jnp.log1p(jnp.exp(-jnp.abs(x))) + jnp.maximum(x, 0), x)

if c.want("row"):
    x, g, b = array(c.f32(1024, 1024)), array(c.f32(1024)), array(c.f32(1024))

    def layer_norm(x, g, b):
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        return (x - mean) * lax.rsqrt(variance + 1e-5) * g + b

    run("row_softmax", jax.nn.softmax, x)
    run("row_layernorm", layer_norm, x, g, b)
    run("row_layernorm_grad", jax.grad(lambda x, g, b: (layer_norm(x, g, b) ** 2).sum(), (0, 1, 2)), x, g, b)
    run("row_colsum", lambda x: x.sum(0), x)
    run("row_transpose", lambda x: x.T + 1, x)

for m, k, n in c.MATMULS:
    run(f"matmul_{m}x{k}x{n}", lambda a, b: a @ b, array(c.f32(m, k)), array(c.f32(k, n)))

if c.want("mlp_step"):
    p = [array(c.glorot(784, 128)), jnp.zeros(128), array(c.glorot(128, 10)), jnp.zeros(10)]

    def mlp_loss(p, x, y):
        return cross_entropy(relu(x @ p[0] + p[1]) @ p[2] + p[3], y)

    def mlp_step(p, x, y):
        loss, g = jax.value_and_grad(mlp_loss)(p, x, y)
        return [a - 0.01 * b for a, b in zip(p, g)], loss

    train("mlp_step", mlp_step, p, array(c.f32(32, 784)), array(c.labels(32)))

if c.want("cnn_step"):
    shapes = [(3, 3, 1, 32), (6272, 256), (256, 128), (128, 10)]
    p = [array(a) for s in shapes for a in (c.glorot(*s), c.zeros(s[-1]))]

    def cnn_loss(p, x, y):
        h = lax.conv_general_dilated(x, p[0], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        h = lax.reduce_window(relu(h + p[1]), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID").reshape(x.shape[0], -1)
        h = relu(h @ p[2] + p[3])
        h = relu(h @ p[4] + p[5])
        return cross_entropy(h @ p[6] + p[7], y)

    def cnn_step(state, x, y):
        loss, g = jax.value_and_grad(cnn_loss)(state[0], x, y)
        return adam(state[0], g, *state[1:]), loss

    state = (p, [jnp.zeros_like(a) for a in p], [jnp.zeros_like(a) for a in p], jnp.float32(0))
    train("cnn_step", cnn_step, state, array(c.f32(32, 28, 28, 1)), array(c.labels(32)))


def conv(x, w, stride=1):
    return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def conv_weights(inputs, outputs, size):
    return [c.glorot(size, size, inputs, outputs), np.ones(outputs, np.float32), c.zeros(outputs)]


def normalized_conv(p, x, stride=1):
    """Convolution, then batch normalization by the statistics of the batch."""
    kernel, scale, shift = p
    y = conv(x, kernel, stride)
    mean = y.mean((0, 1, 2))
    variance = jnp.square(y).mean((0, 1, 2)) - mean * mean
    return (y - mean) * (lax.rsqrt(variance + 1e-5) * scale) + shift


if c.want("resnet18_step_b32"):
    p, inputs = [conv_weights(3, 64, 3)], 64
    for outputs, stride in c.RESNET:
        shortcut = [conv_weights(inputs, outputs, 1)] if stride != 1 or inputs != outputs else []
        p.append([conv_weights(inputs, outputs, 3), conv_weights(outputs, outputs, 3), *shortcut])
        inputs = outputs
    p = jax.tree.map(array, [*p, [c.glorot(512, 10), c.zeros(10)]])

    def resnet_loss(p, x, y):
        h = relu(normalized_conv(p[0], x))
        for (_, stride), block in zip(c.RESNET, p[1:-1]):
            t = normalized_conv(block[1], relu(normalized_conv(block[0], h, stride)))
            h = relu((normalized_conv(block[2], h, stride) if len(block) == 3 else h) + t)
        return cross_entropy(h.mean((1, 2)) @ p[-1][0] + p[-1][1], y)

    def resnet_step(state, x, y):
        p, momentum = state
        loss, g = jax.value_and_grad(resnet_loss)(p, x, y)
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, g)
        return (jax.tree.map(lambda p, m: p - 0.1 * m, p, momentum), momentum), loss

    train("resnet18_step_b32", resnet_step, (p, jax.tree.map(jnp.zeros_like, p)), array(c.f32(32, 32, 32, 3)), array(c.labels(32)))
    c.emit_memory("resnet18_step_b32")

if c.want("lm_step"):
    width, heads, hidden = c.LM["width"], c.LM["heads"], c.LM["hidden"]

    def norm_weights():
        return [np.ones(width, np.float32), c.zeros(width)]

    def block_weights():
        attention = [*norm_weights(), c.glorot(width, 3 * width), c.glorot(width, width)]
        return attention + [*norm_weights(), c.glorot(width, hidden), c.zeros(hidden), c.glorot(hidden, width), c.zeros(width)]

    embeddings = [c.f32(c.LM["vocabulary"], width, scale=0.02), c.f32(c.LM["length"], width, scale=0.02)]
    p = jax.tree.map(array, [*embeddings, [block_weights() for _ in range(c.LM["blocks"])], c.glorot(width, c.LM["vocabulary"])])

    def normalize(x, scale, shift):
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift

    def attend(x, causal):
        b, t, _ = x.shape
        q, k, v = [u.reshape(b, t, heads, width // heads).transpose(0, 2, 1, 3) for u in jnp.split(x, 3, -1)]
        scores = jnp.where(causal, q @ k.transpose(0, 1, 3, 2) / (width // heads) ** 0.5, -1e9)
        return (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(b, t, width)

    def lm_loss(p, x, y):
        h = p[0][x] + p[1]
        causal = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
        for q in p[2]:
            h = h + attend(normalize(h, q[0], q[1]) @ q[2], causal) @ q[3]
            h = h + jax.nn.gelu(normalize(h, q[4], q[5]) @ q[6] + q[7]) @ q[8] + q[9]
        return cross_entropy((h @ p[3]).reshape(-1, c.LM["vocabulary"]), y.reshape(-1))

    def lm_step(state, x, y):
        loss, g = jax.value_and_grad(lm_loss)(state[0], x, y)
        return adam(state[0], g, *state[1:]), loss

    zeros = jax.tree.map(jnp.zeros_like, p)
    x, y = [array(c.integers(c.LM["vocabulary"], c.LM["batch"], c.LM["length"])) for _ in range(2)]
    train("lm_step", lm_step, (p, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0)), x, y)

if c.want("lstm_step"):
    hidden = c.LSTM["hidden"]
    p = [c.glorot(c.LSTM["inputs"], 4 * hidden), c.glorot(hidden, 4 * hidden), c.zeros(4 * hidden), c.glorot(hidden, 10), c.zeros(10)]

    def lstm_loss(p, x, y):
        def cell(state, step_input):
            h, memory = state
            i, f, g, o = jnp.split(step_input @ p[0] + h @ p[1] + p[2], 4, -1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(memory), memory), None

        start = jnp.zeros((x.shape[1], hidden))
        (h, _), _ = lax.scan(cell, (start, start), x)
        return cross_entropy(h @ p[3] + p[4], y)

    def lstm_step(p, x, y):
        loss, g = jax.value_and_grad(lstm_loss)(p, x, y)
        return [a - 0.01 * b for a, b in zip(p, g)], loss

    train("lstm_step", lstm_step, [array(a) for a in p], array(c.f32(c.LSTM["steps"], c.LSTM["batch"], c.LSTM["inputs"])), array(c.labels(c.LSTM["batch"])))

for layers in (100, 400, 1600):
    if not c.want("unrolled"):
        break

    def unrolled(x, weights):
        for w in weights:
            x = jnp.tanh(x @ w) + 0.1 * x
        return x

    run(f"unrolled_{layers}", unrolled, array(c.f32(32, 64)), [array(c.f32(64, 64, scale=0.1)) for _ in range(layers)])

for ops in (400, 1600):

    def long_chain(x):
        for _ in range(0, ops, 4):
            x = jnp.maximum(jnp.tanh(x * 1.25) + 0.125, -0.5)
        return x

    run(f"long_chain_{ops}", long_chain, array(c.f32(1000)))
