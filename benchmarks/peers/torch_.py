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

nn = torch.nn


class Block(nn.Module):
    """A residual block of ResNet-18."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        first = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*first, nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


if c.want("resnet18_step_b32"):
    layers, inputs = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for outputs, stride in c.RESNET:
        layers.append(Block(inputs, outputs, stride))
        inputs = outputs
    resnet = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)).to(memory_format=torch.channels_last)
    x = array(c.f32(32, 3, 32, 32)).to(memory_format=torch.channels_last)
    train("resnet18_step_b32", torch.optim.SGD(resnet.parameters(), 0.1, momentum=0.9), lambda x, y: F.cross_entropy(resnet(x), y), x, array(c.labels(32)).long())
    c.emit_memory("resnet18_step_b32")

if c.want("lm_step"):
    width, heads, hidden = c.LM["width"], c.LM["heads"], c.LM["hidden"]

    class TransformerBlock(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

        def forward(self, h):
            b, t, _ = h.shape
            q, k, v = [u.view(b, t, heads, width // heads).transpose(1, 2) for u in self.qkv(self.norm1(h)).split(width, -1)]
            h = h + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, width))
            return h + self.down(F.gelu(self.up(self.norm2(h)), approximate="tanh"))

    class LanguageModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(c.LM["vocabulary"], width)
            self.positions = nn.Parameter(torch.randn(c.LM["length"], width) * 0.02)
            self.blocks = nn.Sequential(*[TransformerBlock() for _ in range(c.LM["blocks"])])
            self.head = nn.Linear(width, c.LM["vocabulary"], bias=False)

        def forward(self, x):
            return self.head(self.blocks(self.tokens(x) + self.positions))

    lm = LanguageModel()
    x, y = [array(c.integers(c.LM["vocabulary"], c.LM["batch"], c.LM["length"])).long() for _ in range(2)]
    adam = torch.optim.Adam(lm.parameters(), 1e-3, foreach=True)
    train("lm_step", adam, lambda x, y: F.cross_entropy(lm(x).view(-1, c.LM["vocabulary"]), y.view(-1)), x, y)

if c.want("lstm_step"):
    lstm, head = nn.LSTM(c.LSTM["inputs"], c.LSTM["hidden"]), nn.Linear(c.LSTM["hidden"], 10)
    x = array(c.f32(c.LSTM["steps"], c.LSTM["batch"], c.LSTM["inputs"]))
    sgd = torch.optim.SGD([*lstm.parameters(), *head.parameters()], 0.01)
    train("lstm_step", sgd, lambda x, y: F.cross_entropy(head(lstm(x)[0][-1]), y), x, array(c.labels(c.LSTM["batch"])).long())
