# %% [markdown] needs=["flowers_from_noise"]
# # Many devices
#
# Training outgrows one GPU in one of two ways: it takes too long, or the model doesn't fit. Either way the answer is
# more devices. The package adds nothing of its own for that. Keras has
# [`keras.distribution`](https://keras.io/api/distribution/), on JAX, and everything here works with it.
#
# !!! abstract "What you will learn"
#     - How to share a batch among eight devices, and get the weights that one device would have learned.
#     - How to let eight devices paint together.
#     - How to split a network that is too large for one of them.
#     - What has to divide, and what an error says when it doesn't.
#     - How to join several machines, and work out what that is worth.
#
# ## Eight devices in one processor
#
# JAX can pretend that one processor is several devices. Nothing gets faster that way, but everything else is as on
# eight GPUs: where numbers lie, what is sent, what is refused. If you have eight GPUs, leave out the second line.

# %%
import jax

jax.config.update("jax_num_cpu_devices", 8)

import imagegen

import keras
import matplotlib.pyplot as plt
import numpy as np

devices = keras.distribution.list_devices()
print(*devices)

# %% [markdown]
# ## Sharing a batch
#
# The gradient of a batch of $B$ pictures is the mean of the gradients of its pictures. So $n$ devices can each take $B/n$ of
# them, and afterwards take the mean of what they found:
#
# $$\frac{1}{B} \sum_{i=1}^{B} \nabla \ell_i = \frac{1}{n} \sum_{d=1}^{n} \Big( \frac{n}{B} \sum_{i \in d} \nabla
# \ell_i \Big)$$
#
# This is *data parallelism*. Every device has all weights, and makes the same step with the same gradient. So the
# weights stay equal. Only gradients travel, as many numbers as there are weights, in every step.
#
# `DataParallel` says so to Keras. Set it before the model is built, since it decides where variables lie.


# %%
images, captions, _ = imagegen.datasets.captioned_flowers(
    64, image_size=32, seed=0
)


def train(devices):
    """Trains the same model for two epochs on some devices."""
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices)
    )
    keras.utils.set_random_seed(0)
    network = imagegen.UNet(
        32, [16, 32], block_depth=1, norm="group", embedding_dim=16
    )
    model = imagegen.DiffusionModel(
        network, prediction=imagegen.VelocityPrediction()
    )
    model.normalizer.adapt(images)
    model.compile(keras.optimizers.Adam(2e-3))
    batches = imagegen.ShuffledBatches(images, batch_size=32, seed=1)
    history = model.fit(batches, shuffle=False, epochs=2, verbose=0)
    return history.history["loss"], network.get_weights()


losses, weights = zip(
    *(train(devices[:count]) for count in (1, 8)), strict=True
)
print("losses on one device:   ", *(f"{loss:.6f}" for loss in losses[0]))
print("losses on eight devices:", *(f"{loss:.6f}" for loss in losses[1]))
apart = max(
    np.abs(one - eight).max() for one, eight in zip(*weights, strict=True)
)
print(f"weights differ by at most {apart:.0e}")

# %% tags=["hide"]
np.testing.assert_allclose(*losses, rtol=1e-5)
assert apart < 1e-5

# %% [markdown]
# The last digits differ, since sums are rounded in another order. The noise is the same: it is drawn for the whole
# batch, and each device has the part that belongs to its pictures. No two devices see the same noise.
#
# ## Painting together
#
# Sampling needs no exchange at all. Each device walks from its noise to its pictures. The model below paints sixteen
# pictures, two on each device. The titles name the device.

# %% alt="Sixteen drawn flowers in two rows, under titles from cpu:0 to cpu:7, two pictures each." caption="Sixteen pictures by eight devices."
keras.distribution.set_distribution(
    keras.distribution.DataParallel(devices=devices)
)
model = imagegen.DiffusionModel.from_preset("captioned-32")
colors = ["red", "orange", "yellow", "pink", "purple", "blue", "white", "red"]
prompts = [
    f"a {color} flower with {number} petals"
    for color in colors
    for number in ("five", "eight")
]
pictures = model.generate(prompts, num_steps=10, seed=0)

figure, axes = plt.subplots(2, 8, figsize=(8, 2.4))
for index, axis in enumerate(axes.T.flat):
    axis.imshow(pictures[index])
    axis.axis("off")
for column, axis in enumerate(axes[0]):
    axis.set_title(devices[column], fontsize=9)

# %% [markdown]
# If eight doesn't divide the number of pictures, they are painted all the same: then every device paints all of them.
#
# ## Splitting a network
#
# When a model doesn't fit into one device, its weights are divided, too. That is *model parallelism*. We arrange our eight
# devices as two rows of four. The two rows share the batch. The four devices of a row share each kernel: a quarter of
# its output channels for each. A `LayoutMap` says so. Its keys are patterns for the names of weights. Its values have
# an entry for each axis of such a weight: along which axis of the devices it is divided, or `None`.
#
# The map covers the convolutions of the U-Net, its attention, and the words of the text encoder.

# %%
mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"), devices)
layout = keras.distribution.LayoutMap(mesh)
layout[".*conv2d.*kernel"] = (None, None, None, "model")
layout[".*attention.*(query|key|value).*kernel"] = (None, None, "model")
layout[".*word_vectors"] = (None, "model")
keras.distribution.set_distribution(
    keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
)
split = imagegen.DiffusionModel.from_preset("captioned-32")


def megabytes(model):
    """All weights of a model, and those that lie on its first device."""
    values = [
        weight.value
        for weight in [*model.averaged.weights, *model.averaged_encoder.weights]
    ]
    parts = [value.addressable_shards[0].data.nbytes for value in values]
    return sum(value.nbytes for value in values) / 1e6, sum(parts) / 1e6


for name, each in (("data parallel", model), ("split", split)):
    everything, here = megabytes(each)
    print(f"{name}: {here:.1f} of {everything:.1f} MB on each device")
again = split.generate(prompts, num_steps=10, seed=0)
difference = np.abs(again.astype(int) - pictures).max()
print(f"the pictures differ by at most {difference} of 255 levels")

# %% tags=["hide"]
assert megabytes(split)[1] < 0.5 * megabytes(model)[1]
assert difference <= 2

# %% [markdown]
# The same pictures, with less than half of the memory on each device. The price is traffic: in every layer, the devices
# of a row have to exchange what they computed. So split a network only when it doesn't fit, and only between devices with fast links.
#
# ## What has to divide
#
# The devices take equal shares. So the size of a batch must be a multiple of their number, and that of the last batch of an
# epoch, too. `fit` looks before the first step.

# %%
keras.distribution.set_distribution(
    keras.distribution.DataParallel(devices=devices)
)
small = imagegen.DiffusionModel(imagegen.UNet(32, [8], block_depth=1))
small.normalizer.adapt(images)
small.compile("adam")
try:
    small.fit(images[:50], batch_size=32)
except ValueError as error:
    print(error)

# %% [markdown]
# Cut the data to a multiple, or pick a batch size that leaves a multiple at the end. A [Checkpoint][imagegen.Checkpoint]
# knows nothing of devices: what eight have learned goes on with one, and the other way round.
#
# ## Several machines
#
# On several machines the same program runs once on each. They find each other by the address of the first one:
#
# ```python
# # On each machine another `process_id`: 0, 1, 2 or 3.
# keras.distribution.initialize("10.0.0.1:1234", num_processes=4, process_id=0)
# by_batch = keras.distribution.DataParallel(auto_shard_dataset=False)
# keras.distribution.set_distribution(by_batch)
# ```
#
# From then on `list_devices` lists the devices of all machines. [ShuffledBatches][imagegen.ShuffledBatches] and the batches of
# [datasets.folder][imagegen.datasets.folder] give each process its share of every batch, and so no picture is
# loaded twice. `auto_shard_dataset=False` says that this is settled. Every process saves and paints, because all of
# them have to take part. The first one keeps the checkpoint, in a folder that all can read.
#
# When a machine fails, the others can't go on: their next exchange ends in an error, and so does the program. The error
# is that of the library that exchanges. It speaks of connections or of the sizes of messages, and rarely names the
# machine: that is the one whose output ended first. Start all of them again, and they go on after the last finished
# epoch.
#
# ## What it is worth
#
# How much faster are $n$ devices? Two times decide. Computing a step takes
#
# $$t_\text{compute} = \frac{b F}{R},$$
#
# with $b$ pictures on each device, $F$ operations for a picture, and $R$ operations a second. Then the gradients travel. In a
# ring, each device sends to its neighbour, until all have the sum. For $P$ bytes of gradients over links of $W$ bytes
# a second that takes
#
# $$t_\text{exchange} = \frac{2 (n - 1)}{n} \cdot \frac{P}{W}.$$
#
# Let us work it out for NVIDIA's H100, from the maker's figures: $989 \cdot 10^{12}$ operations a second in bfloat16, of
# which we assume that 35% are reached; links of 450 GB/s each way within a machine of eight, and of 50 GB/s between machines. Nothing
# overlaps here, although frameworks do let gradients travel while others are computed. So this is the worse case.
#
# We take two models. One is the U-Net of [*Deep Learning with Python*](sources.md) for flowers of 128 x 128 pixels. The
# other is the transformer of Stable Diffusion 3. It has 2 of the model's 3 billion weights. At 1024 x 1024 pixels there
# are 4,096 places of a picture and 333 of a prompt. Each place meets every weight, and in 24 layers every other place.

# %%
network = imagegen.UNet(128, [32, 64, 96, 128], block_depth=2)
inputs = [
    np.zeros((1, 128, 128, 3), "float32"),
    np.zeros((1, 1, 1, 1), "float32"),
]
costs = (
    jax.jit(lambda *inputs: network(list(inputs)))
    .lower(*inputs)
    .compile()
    .cost_analysis()
)
tokens = 4096 + 333
# A training step computes about three times as much as a forward pass.
models = {
    "flowers, 128 pixels": (
        3 * costs["flops"],
        4 * network.count_params(),
        64,
        4096,
    ),
    "Stable Diffusion 3": (
        3 * (2 * 2.0e9 * tokens + 24 * 4 * tokens**2 * 1536),
        2 * 2.0e9,
        4,
        1024,
    ),
}
for name, (operations, size, _, _) in models.items():
    print(
        f"{name}: {operations:.1e} operations a picture, {size / 1e6:,.0f} MB "
        "of gradients"
    )

# %% alt="Two charts over 1 to 1,024 devices. Left, weak scaling: both models stay near 1. Right, strong scaling: the speed-up grows with the devices, and at 1,024 is half of the ideal line." caption="What more devices are worth: for a batch that grows with them, and for one that doesn't."
rate, within, between = 0.35 * 989e12, 450e9, 50e9


def step_seconds(operations, size, batch, count):
    """Seconds of a step, with so many pictures on each of `count` devices."""
    link = within if count <= 8 else between
    return batch * operations / rate + 2 * (count - 1) / count * size / link


counts = 2 ** np.arange(11)
figure, (weak, strong) = plt.subplots(1, 2, figsize=(8, 3))
table = []
for name, (operations, size, each, together) in models.items():
    alone = step_seconds(operations, size, each, 1)
    efficiency = [
        alone / step_seconds(operations, size, each, count) for count in counts
    ]
    weak.plot(
        counts,
        efficiency,
        marker="o",
        markersize=3,
        label=f"{name}, {each} on each",
    )
    alone = step_seconds(operations, size, together, 1)
    speedup = [
        alone / step_seconds(operations, size, together / count, count)
        for count in counts
    ]
    strong.plot(
        counts,
        speedup,
        marker="o",
        markersize=3,
        label=f"{name}, {together:,} in all",
    )
    table.append((name, efficiency, speedup))
strong.plot(counts, counts, color="grey", linestyle="dotted", label="ideal")
weak.set(
    xscale="log",
    ylim=(0, 1.05),
    xlabel="devices",
    ylabel="share of the ideal speed",
)
strong.set(
    xscale="log", yscale="log", xlabel="devices", ylabel="times faster than one"
)
for axis in (weak, strong):
    axis.set_xticks([1, 8, 64, 1024], ["1", "8", "64", "1,024"])
    axis.minorticks_off()
    axis.legend(fontsize=8)
for name, efficiency, speedup in table:
    for index in (3, 6, 10):
        print(
            f"{name}, {counts[index]:5,} devices: {efficiency[index]:.0%} of "
            "the ideal speed when "
            f"the batch grows with them, {speedup[index]:.0f} times faster "
            "when it doesn't"
        )

# %% tags=["hide"]
flowers, sd3 = table
assert all(0 < share <= 1 for _, efficiency, _ in table for share in efficiency)
assert all(
    np.less_equal(speedup, counts * (1 + 1e-9)).all() for _, _, speedup in table
)
# What the text below says.
assert flowers[1][-1] > 0.8
assert flowers[2][-1] < 512
assert sd3[1][3] > 0.9
assert sd3[1][6] > 0.7

# %% [markdown]
# When the batch grows with the number of devices, that is *weak scaling*. Both models fare well, since a step computes much for every
# byte that it sends. The drop after eight devices is the slower link between machines.
#
# When the batch stays as it is, each device gets less to do, while the gradients are as many as before. That is *strong scaling*, and it
# ends: in the end a step is nothing but traffic. Of 4,096 flowers, 1,024 devices have four each. A real
# device would do worse still, since so few pictures leave most of it idle.
#
# So much for speed. What does it cost? You also pay for a device that waits. The hours of all devices
# together are those of one, divided by the share of the ideal speed.

# %%
operations, size, each, _ = models["Stable Diffusion 3"]
pictures_seen = 100_000
for count in (1, 8, 64, 1024):
    seconds = (
        pictures_seen
        / (each * count)
        * step_seconds(operations, size, each, count)
    )
    print(
        f"{count:5,} devices: {seconds / 60:7.1f} minutes, "
        f"{seconds * count / 3600:.1f} hours of a device"
    )

# %% [markdown]
# Fine-tuning on a hundred thousand pictures takes hours on one such device, if it fits there: the weights, their gradients and
# the two moments of Adam are 16 bytes for each weight in single precision, 32 GB for this model, before a single picture. That is a reason to split it.
# For time alone, eight devices of one machine are the best bargain.
#
# These figures are worked out, not measured. The share of 35% is the one that varies most between models. Measure yours
# on one device first: a step's operations, divided by its seconds. The rest follows from the two formulas.
#
# ## What we have learnt
#
# - Sharing a batch changes only the time. Weights, losses and pictures stay the same.
# - Splitting a network saves memory and costs traffic.
# - The number of devices must divide every batch.
# - Many devices pay off when each has much to compute for every byte that it sends.
#
# ## Exercises
#
# **1.** A step of 4,096 flowers is shared among ever more devices. From how many on does it spend more time
# exchanging gradients than computing?

# %% tags=["solution"]
operations, size, _, together = models["flowers, 128 pixels"]
for count in counts:
    computing = together / count * operations / rate
    exchanging = (
        step_seconds(operations, size, together / count, count) - computing
    )
    print(
        f"{count:5,} devices: {computing * 1e3:8.2f} ms computing, "
        f"{exchanging * 1e3:.3f} ms exchanging"
    )

# %% [markdown] tags=["solution"]
# The exchange hardly depends on the number of devices, once it goes over the slower link. The computing is halved
# each time. So sooner or later the exchange wins.

# %% [markdown]
# **2.** What would half precision for the gradients of the flowers be worth there?

# %% tags=["solution"]
for bytes_each in (4, 2):
    light = size * bytes_each / 4
    seconds = step_seconds(operations, light, together / 1024, 1024)
    faster = step_seconds(operations, light, together, 1) / seconds
    print(f"{bytes_each} bytes: {faster:.0f} times faster")

# %% tags=["hide", "solution"]
assert seconds < step_seconds(operations, size, together / 1024, 1024)

# %% [markdown]
# **3.** How are the weights of `split` divided? Count the kernels by the axes over which they lie.

# %% tags=["solution"]
import collections

specs = [
    str(weight.value.sharding.spec)
    for weight in split.network.weights
    if weight.ndim == 4
]
for spec, count in collections.Counter(specs).items():
    print(f"{count:3} kernels: {spec}")

# %% [markdown] tags=["solution"]
# The last axis of a kernel counts its output channels. That one is divided, and the others are whole on every device.

# %% [markdown]
# Next: [Stable Diffusion 3](stable_diffusion_3.py). In the reference: [Checkpoint][imagegen.Checkpoint],
# [ShuffledBatches][imagegen.ShuffledBatches], [datasets.folder][imagegen.datasets.folder].
