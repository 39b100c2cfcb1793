"""TensorFlow: tf.function, or MODE=xla (jit_compile) or MODE=eager."""
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import common as c
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(c.THREADS)
tf.config.threading.set_inter_op_parallelism_threads(c.THREADS)
array = tf.constant


def compiled(function):
    return function if c.MODE == "eager" else tf.function(function, jit_compile=c.MODE == "xla")


def run(workload, function, *arguments):
    """Small results are read back; large ones are complete when the call returns on the CPU."""
    if not c.want(workload):
        return
    called = compiled(function)
    done = lambda r: tf.nest.map_structure(lambda t: t.numpy() if t.shape.num_elements() < 100 else t, r)
    c.timeit(workload, lambda: done(called(*arguments)))


def train(workload, model, optimizer, x, y):
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True)))
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    optimizer.build(model.trainable_variables)
    called = compiled(step)
    c.timeit(workload, lambda: called(x, y).numpy())


x10 = array(c.f32(10))
run("call", lambda x: x + 1, x10)
run("call20", lambda *xs: sum(xs), *[array(c.f32(10)) for _ in range(20)])
c.timeit("eager_add", lambda: x10 + x10)

for n in c.CHAIN_SIZES:
    if not c.want("chain"):
        break
    x, y = array(c.f32(n)), array(c.f32(n))
    run(f"chain_gelu_{n}", lambda x: 0.5 * x * (1 + tf.tanh(0.7978845608 * (x + 0.044715 * x * x * x))), x)
    run(f"chain_arith_{n}", lambda x, y: tf.sqrt(tf.abs(x * y + 1) + tf.square(x - y)) * 0.5 + tf.maximum(x, y) / (1 + tf.abs(y)) - x, x, y)
    run(f"chain_softplus_{n}", lambda x: tf.math.log1p(tf.exp(-tf.abs(x))) + tf.nn.relu(x), x)

if c.want("row"):
    x, g, b = array(c.f32(1024, 1024)), array(c.f32(1024)), array(c.f32(1024))

    def layer_norm(x, g, b):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + 1e-5) * g + b

    def layer_norm_grad(x, g, b):
        with tf.GradientTape() as tape:
            tape.watch([x, g, b])
            loss = tf.reduce_sum(layer_norm(x, g, b) ** 2)
        return tape.gradient(loss, [x, g, b])

    run("row_softmax", tf.nn.softmax, x)
    run("row_layernorm", layer_norm, x, g, b)
    run("row_layernorm_grad", layer_norm_grad, x, g, b)
    run("row_colsum", lambda x: tf.reduce_sum(x, 0), x)
    run("row_transpose", lambda x: tf.transpose(x) + 1, x)

for m, k, n in c.MATMULS:
    run(f"matmul_{m}x{k}x{n}", tf.matmul, array(c.f32(m, k)), array(c.f32(k, n)))

keras, layers = tf.keras, tf.keras.layers
if c.want("mlp_step"):
    model = keras.Sequential([keras.Input((784,)), layers.Dense(128, "relu"), layers.Dense(10)])
    train("mlp_step", model, keras.optimizers.SGD(0.01), array(c.f32(32, 784)), array(c.labels(32)))
if c.want("cnn_step"):
    hidden = [layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPool2D(), layers.Flatten(), layers.Dense(256, "relu"), layers.Dense(128, "relu")]
    model = keras.Sequential([keras.Input((28, 28, 1)), *hidden, layers.Dense(10)])
    train("cnn_step", model, keras.optimizers.Adam(), array(c.f32(32, 28, 28, 1)), array(c.labels(32)))


def normalized_conv(x, outputs, size, stride):
    return layers.BatchNormalization()(layers.Conv2D(outputs, size, stride, padding="same", use_bias=False)(x))


if c.want("resnet18_step_b32"):
    image = keras.Input((32, 32, 3))
    h, inputs = layers.ReLU()(normalized_conv(image, 64, 3, 1)), 64
    for outputs, stride in c.RESNET:
        t = normalized_conv(layers.ReLU()(normalized_conv(h, outputs, 3, stride)), outputs, 3, 1)
        if stride != 1 or inputs != outputs:
            h = normalized_conv(h, outputs, 1, stride)
        h, inputs = layers.ReLU()(h + t), outputs
    model = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(h)))
    train("resnet18_step_b32", model, keras.optimizers.SGD(0.1, 0.9), array(c.f32(32, 32, 32, 3)), array(c.labels(32)))
    c.emit_memory("resnet18_step_b32")

if c.want("lstm_step"):
    sequence = keras.Input((c.LSTM["steps"], c.LSTM["inputs"]))
    model = keras.Model(sequence, layers.Dense(10)(layers.LSTM(c.LSTM["hidden"])(sequence)))
    x = array(c.f32(c.LSTM["batch"], c.LSTM["steps"], c.LSTM["inputs"]))
    train("lstm_step", model, keras.optimizers.SGD(0.01), x, array(c.labels(c.LSTM["batch"])))
