"""PyTorch: eager, or torch.compile with MODE=compile."""
import common as c
import torch
import torch.nn.functional as F

torch.set_num_threads(c.THREADS)
array = torch.from_numpy
COMPILE = c.MODE == "compile"


def run(workload, function, *arguments):
    if not c.want(workload):
        return
    called = torch.compile(function) if COMPILE else function
    c.timeit(workload, lambda: called(*arguments))


def train(workload, optimizer, loss, x, y):
    called = torch.compile(loss) if COMPILE else loss
    update = torch.compile(optimizer.step) if COMPILE else optimizer.step

    def step():
        optimizer.zero_grad(set_to_none=True)
        called(x, y).backward()
        update()

    c.timeit(workload, step)


x10 = array(c.f32(10))
run("call", lambda x: x + 1, x10)
run("call20", lambda *xs: sum(xs), *[array(c.f32(10)) for _ in range(20)])
c.timeit("eager_add", lambda: x10 + x10)


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def arith(x, y):
    return torch.sqrt(torch.abs(x * y + 1) + (x - y) ** 2) * 0.5 + torch.maximum(x, y) / (1 + torch.abs(y)) - x


def softplus(x):
    return torch.log1p(torch.exp(-torch.abs(x))) + torch.relu(x)


for n in c.CHAIN_SIZES:
    if not c.want("chain"):
        break
    x, y = array(c.f32(n)), array(c.f32(n))
    run(f"chain_gelu_{n}", gelu, x)
    run(f"chain_arith_{n}", arith, x, y)
    run(f"chain_softplus_{n}", softplus, x)

if c.want("row"):
    x, g, b = array(c.f32(1024, 1024)), array(c.f32(1024)), array(c.f32(1024))
    run("row_softmax", lambda x: torch.softmax(x, -1), x)
    run("row_layernorm", lambda x, g, b: F.layer_norm(x, (1024,), g, b), x, g, b)
    leaves = [t.clone().requires_grad_() for t in (x, g, b)]
    square_sum = lambda x, g, b: (F.layer_norm(x, (1024,), g, b) ** 2).sum()
    square_sum = torch.compile(square_sum) if COMPILE else square_sum
    c.timeit("row_layernorm_grad", lambda: torch.autograd.grad(square_sum(*leaves), leaves))
    run("row_colsum", lambda x: x.sum(0), x)
    run("row_transpose", lambda x: (x.t() + 1).contiguous(), x)

for m, k, n in c.MATMULS:
    run(f"matmul_{m}x{k}x{n}", lambda a, b: a @ b, array(c.f32(m, k)), array(c.f32(k, n)))

if c.want("mlp_step"):
    net = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    train("mlp_step", torch.optim.SGD(net.parameters(), 0.01), lambda x, y: F.cross_entropy(net(x), y), array(c.f32(32, 784)), array(c.labels(32)).long())

if c.want("cnn_step"):
    nn = torch.nn
    net = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6272, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    adam = torch.optim.Adam(net.parameters(), 1e-3, eps=1e-7, foreach=True)
    train("cnn_step", adam, lambda x, y: F.cross_entropy(net(x), y), array(c.f32(32, 1, 28, 28)), array(c.labels(32)).long())
