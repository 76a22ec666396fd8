# %% [markdown] needs=["noise_and_signal"]
# # Training on flowers
#
# How does a machine that only learns to *remove* noise come to *make* pictures? In this chapter we train one. The
# [chapter before](noise_and_signal.py) explains how noise is mixed in, and the network that sees through it. The
# [next one](flowers_from_noise.py) turns pure noise into flowers.
#
# !!! abstract "What you will learn"
#     - How to train a diffusion model on pictures, and what each of its parts does.
#     - What to look at while it learns.
#     - How to keep a model, and go on with its training another day.
#     - What full training takes.
#
# ## The flowers
#
# [Oxford Flowers 102](https://www.robots.ox.ac.uk/~vgg/data/flowers/102/) is a collection of 8,189
# photographs of flowers, of 102 species that are common in Britain. The model will paint such flowers. We keep
# 500 pictures out of training, to see later how it does on what it has never seen.

# %% alt="Eighteen flowers in three rows." caption="Eighteen of the flowers."
import imagegen

import numpy as np

training = imagegen.datasets.flowers(image_size=64, split="train")
images, labels, names = training
held_out = imagegen.datasets.flowers(image_size=64, split="test").images
num_species = len(np.unique(labels))
print(
    f"{len(images):,} flowers of {num_species} species for training, "
    f"{len(held_out)} held out"
)
imagegen.show(images[:: len(images) // 18][:18], columns=6)

# %% tags=["hide"]
assert images.shape[1:] == (64, 64, 3)
assert len(held_out) == 500
assert len(names) == 102

# %% [markdown]
# Photographs come in all shapes, and the network wants squares of one size. Pressing a wide
# photograph into a square would make round flowers oval. So of each photograph the largest square in
# the middle is cut out, and then made smaller. [center_square][imagegen.center_square] does it with this
# function, in which `ImageOps.fit` of the library Pillow cuts and resizes:
#
# ```source
# imagegen.images.resized_to
# ```
#
# `LANCZOS` resizes with *antialiasing*: each new pixel is a weighted mean of all the old ones that it
# stands for. Does that matter? Here is a flower at a quarter of its size: once by
# keeping every fourth pixel, once by taking the means of 4 x 4 pixels.


# %% alt="A flower, a jagged small copy with every fourth pixel, and a smooth small copy with means." caption="Smaller with and without antialiasing."
def shrink(pictures):
    """Make pictures a quarter as high and wide, by means of 4 x 4 pixels."""
    count, height, width, channels = pictures.shape
    blocks = pictures.reshape(count, height // 4, 4, width // 4, 4, channels)
    return blocks.mean(axis=(2, 4), dtype="float32").astype("uint8")


flower = images[list(labels).index(names.index("oxeye daisy"))]
every_fourth = flower[::4, ::4]
(means,) = shrink(flower[None])

enlarged = [
    small.repeat(4, axis=0).repeat(4, axis=1) for small in (every_fourth, means)
]
imagegen.show(
    [flower, *enlarged],
    titles=["64 x 64", "every fourth", "means"],
    columns=3,
    scale=2,
)

# %% [markdown]
# Without antialiasing, edges are jagged, and a single bright pixel counts for sixteen. A model would learn to
# draw that too.
#
# ## The model
#
# A `DiffusionModel` is a Keras model around a network. On this page it has to learn within seconds, so
# everything is small: the pictures are shrunk to 16 x 16, and the U-Net has few channels, two
# stages and one block in each.

# %%
import keras

keras.utils.set_random_seed(0)
small, small_held_out = shrink(images), shrink(held_out)

network = imagegen.UNet(image_size=16, widths=[32, 64], block_depth=1)
model = imagegen.DiffusionModel(network)
print(f"{network.count_params():,} parameters")

# %% [markdown]
# ### The normalizer
#
# Picture and noise are to be mixed on equal terms: mean 0, variance 1. The model brings a
# `Normalization` layer of Keras. It has to see the pictures once, to measure them. From then on it is
# part of the model, and is saved with it.

# %%
model.normalizer.adapt(small)
normalized = keras.ops.convert_to_numpy(model.normalizer(small))
print(f"mean {abs(normalized.mean()):.2f}, variance {normalized.var():.2f}")

# %% tags=["hide"]
assert abs(normalized.mean()) < 0.01
np.testing.assert_allclose(normalized.var(), 1, atol=0.01)

# %% [markdown]
# ### One training step: `call`
#
# What happens to a batch of pictures in training?
#
# ```source
# imagegen.DiffusionModel.attempt
# ```
#
# ```source
# imagegen.DiffusionModel.mixed
# ```
#
# The model's `call` normalizes the pictures, and lets the network attempt to find the noise. The first line
# of `attempt` calls `mixed`, which does the first three of these things.
#
# 1. Noise of the pictures' shape is drawn.
# 2. Each picture gets a diffusion time of its own, drawn evenly from 0 to 1, and the schedule turns it
#    into rates. So a batch has pictures of all kinds, nearly clean ones and nearly drowned ones.
# 3. Signal and noise are mixed.
# 4. The network sees the mixture and the noise rate, and answers. `training` tells it whether this is
#    training, because batch normalization then measures its batch and keeps running averages. The
#    averages are used when pictures are generated.
# 5. From the answer follows the estimated clean picture. And the *target* is what the answer should
#    have been: for `NoisePrediction`, the noise mask.
# 6. The weights say how much each picture counts in the loss. Here they are all 1.

# %%
estimate, output, target, weights = (
    keras.ops.convert_to_numpy(tensor) for tensor in model(small[:64])
)
print(f"it says:       mean {output.mean():.2f}, variance {output.var():.2f}")
print(
    f"it should say: mean {abs(target.mean()):.2f}, variance {target.var():.2f}"
)

# %% tags=["hide"]
assert estimate.shape == output.shape == target.shape == (64, 16, 16, 3)
assert not output.any()
assert (weights == 1).all()
assert abs(target.mean()) < 0.02
np.testing.assert_allclose(target.var(), 1, atol=0.02)

# %% [markdown]
# Untrained, it says 0: no noise.
#
# ### The loss
#
# How wrong is an answer? That is the *loss*, and training makes it small. [*Deep
# Learning with Python*](sources.md), the book that this chapter follows, takes the *mean absolute error*. Others
# take the *mean squared error*:
#
# $$\text{MAE} = \operatorname{mean} |\text{output} - \text{target}|, \quad
# \text{MSE} = \operatorname{mean} (\text{output} - \text{target})^2$$
#
# Does it matter? Take a target that nobody can know: 0 seven times out of ten, and 1 otherwise. What is the
# best constant answer?

# %% tags=["fold"] alt="Two curves over the answer from 0 to 1: the absolute error is a line with its lowest point at 0, the squared error a bowl with its lowest point at 0.3." caption="The absolute error asks for the median, the squared one for the mean."
import matplotlib.pyplot as plt

targets = np.array([0] * 7 + [1] * 3)
answers = np.linspace(0, 1, 101)
differences = np.abs(answers[:, None] - targets)
losses = {
    "mean absolute error": (differences.mean(axis=1), "tab:blue"),
    "mean squared error": ((differences**2).mean(axis=1), "tab:orange"),
}

figure, axes = plt.subplots(figsize=(5.2, 3.2))
for name, (loss, color) in losses.items():
    best = loss.argmin()
    axes.plot(
        answers, loss, color=color, label=f"{name}, best at {answers[best]:.1f}"
    )
    axes.plot(answers[best], loss[best], "o", color=color)
axes.set(
    title="Two losses, two best answers",
    xlabel="the answer",
    ylabel="loss",
    ylim=(0, 0.8),
)
axes.legend()
plt.show()

# %% tags=["hide"]
best_answers = [answers[loss.argmin()] for loss, _ in losses.values()]
np.testing.assert_allclose(
    best_answers, [np.median(targets), targets.mean()], atol=0.006
)

# %% [markdown]
# The absolute error wants the *median*, the value in the middle. The squared error wants the *mean*,
# and it is harder on large errors than on small ones. The theory of diffusion asks for the mean.
# Noise isn't lopsided like that: its median and its mean agree, so in practice both losses work. The absolute
# error is the default here, as in the book. The model of the next chapter uses the squared one.
#
# Keras asks a model for its loss here:
#
# ```source
# imagegen.DiffusionModel.compute_loss
# ```
#
# It moves the averages, which come next, and takes the weighted mean over all pictures:
#
# ```source
# imagegen.DiffusionModel.loss_of
# ```
#
# The two methods `call` and `compute_loss` are all that the model changes in Keras's training.
# It has no training loop of its own. So `compile`, `fit`, `evaluate`, `save` and callbacks work as they do
# with any Keras model, on any backend.
#
# ### Averaged weights
#
# Each training step pulls the weights towards what one batch wants, so they never come to rest. Their average
# over many steps is calmer, and papers report much better pictures with it. After each step, a second copy of
# the network, `model.averaged`, moves a little towards the first:
#
# $$\text{average} \leftarrow k \cdot \text{average} + (1 - k) \cdot \text{weights}$$
#
# ```source
# imagegen.move_averages
# ```
#
# At $k = 0.999$, the average looks back over about 1,000 steps. Only the first copy learns, and only the
# second one generates.
#
# ??? note "What the book's listing does, and why this package does it otherwise"
#     The book lets the optimizer average, with $k = 0.99$, and every 100 steps the averages overwrite
#     the weights that learn. An epoch there has 255 steps. So a file that is saved at the end of an epoch
#     holds weights that have learnt for 55 more steps since: neither averaged nor left alone. On JAX,
#     Keras 3.15 also fails when such a model is trained a second time. A separate copy has neither problem.
#
#     Two more differences. The book's `call` does not tell the network that it is being trained, so
#     the running averages of its batch normalization never move. And it wants every batch to have 32
#     pictures, so the last, smaller one is dropped. Here, the batch's own size counts, and no picture
#     is dropped. [Sources](sources.md#where-we-differ-and-why) lists all such differences.
#
# ## Training for a moment
#
# Four things are left to choose.
#
# **How fast to learn.** The optimizer is *AdamW*: Adam, which gives each weight a step size of its own,
# with *weight decay*, which pulls all weights gently towards 0. The learning rate falls with the inverse
# of time. After $s$ steps it is
#
# $$\text{rate}(s) = \frac{0.001}{1 + 0.1 \cdot s / 1000}$$

# %%
learning_rate = keras.optimizers.schedules.InverseTimeDecay(
    1e-3, decay_steps=1_000, decay_rate=0.1
)
for step in (0, 1_000, 10_000, 25_000):
    print(f"after {step:6,} steps: {float(learning_rate(step)):.6f}")

# %% tags=["hide"]
np.testing.assert_allclose(float(learning_rate(10_000)), 1e-3 / 2, rtol=1e-5)

# %% [markdown]
# **What to look at.** The loss says how well the network finds noise. It doesn't say how good a flower looks,
# and no simple number does. So we look: `ShowGenerated` is a *callback*, which Keras calls after each
# *epoch*, each pass over all pictures. It draws 3 x 6 pictures, in 20 steps, always from the same noise. Here
# it draws after the last epoch only, and a second callback keeps six pictures from each stage.
#
# **What to keep.** `ModelCheckpoint` saves the model after an epoch. With `monitor="loss"` and
# `save_best_only=True`, it does so only if the loss is the lowest so far. By default it would watch the loss on
# held-out pictures.
#
# **How long.** Here, for a moment.

# %% alt="Eighteen generated pictures in three rows: soft blotches of colour, some with a bright disc on a darker ground." caption="What the callback draws after the last epoch."
keras.utils.set_random_seed(0)
model.compile(
    optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=1e-4)
)

# Noise of 64 x 64 from afar: means of 16 numbers deviate a quarter as much.
noise = np.array(imagegen.samplers.initial_noise(6, (64, 64, 3), seed=1))
coarse = 4 * noise.reshape(6, 16, 4, 16, 4, 3).mean(axis=(2, 4))
stages = {"untrained": model.generate(6, noise=coarse, num_steps=20)}


def keep(epoch, logs):
    if epoch in (0, 1, 3):
        stages[f"epoch {epoch + 1}"] = model.generate(
            6, noise=coarse, num_steps=20
        )


epochs = 4
history = model.fit(
    small,
    batch_size=32,
    epochs=epochs,
    verbose=2,
    callbacks=[
        imagegen.ShowGenerated(every=epochs),
        keras.callbacks.LambdaCallback(on_epoch_end=keep),
        keras.callbacks.ModelCheckpoint(
            "flowers.keras", monitor="loss", save_best_only=True
        ),
    ],
)

# %% [markdown]
# From static to flowers: all pictures in a row begin with the same noise. The last column is a model of the same kind
# that learned for hours, the preset of the [next chapter](flowers_from_noise.py). Its pictures are four times as wide,
# and so is its noise: the small models get the means of 4 x 4 of its numbers, scaled to variance 1. The colours are
# settled first, and early in the training. Shapes take the hours.

# %% tags=["hero"] alt="Six rows. On the left coloured static, then grainy blotches that grow smooth, and on the right sharp flowers in the same colours as the blotches." caption="Six pictures while the network learns, and from the finished preset."
preset = imagegen.DiffusionModel.from_preset("flowers-64")
columns = {
    name: pictures.repeat(4, axis=1).repeat(4, axis=2)
    for name, pictures in stages.items()
}
columns["the preset"] = preset.generate(6, noise=noise)
rows = np.stack(list(columns.values()), axis=1).reshape(-1, 64, 64, 3)
imagegen.show(rows, titles=list(columns) * 6, columns=len(columns), scale=2)

# %%
loss = model.evaluate(small_held_out, verbose=0)
print(f"loss on held-out pictures, with averaged weights: {loss:.3f}")

# %% tags=["hide"]
untrained_loss = np.sqrt(2 / np.pi)
assert history.history["loss"][-1] < history.history["loss"][0] < untrained_loss

# %% [markdown]
# The network that knew nothing had a loss of 0.80. The loss falls fast, and yet the pictures are still blotches
# of colour. Most of the noise is easy to find. What makes a flower is in the rest.
#
# The file has everything that the model needs, including what the normalizer has measured:

# %%
again = keras.saving.load_model("flowers.keras")
print(type(again).__name__, f"with {again.network.count_params():,} parameters")

# %% tags=["hide"]
assert isinstance(again, imagegen.DiffusionModel)
np.testing.assert_allclose(
    keras.ops.convert_to_numpy(again.normalizer.mean),
    keras.ops.convert_to_numpy(model.normalizer.mean),
)

# %% [markdown]
# ### Going on another day
#
# A second `fit` goes on where the first one ended: with the weights, their averages, the optimizer's memory and its
# count of steps. The file has all of these. So don't call `compile` on a loaded model: it would make a new optimizer,
# which remembers nothing. Five calls of one epoch are a training of five epochs, and a call may take its data from
# elsewhere. Here are five calls, on one picture in ten. The last one is given a `tf.data.Dataset`, TensorFlow's form of a
# pipeline that reads from a disk.

# %%
import tensorflow as tf

steps_before = int(again.optimizer.iterations)
some = small[::10]
dataset = (
    tf.data.Dataset.from_tensor_slices(some)
    .shuffle(len(some), seed=0)
    .batch(32)
)
chained = []
for data in (some, some, some, some, dataset):
    chained += again.fit(
        data, batch_size=None if data is dataset else 32, verbose=0
    ).history["loss"]
print("loss of five fits:", *(f"{loss:.3f}" for loss in chained))
print(f"steps: {steps_before} before, {int(again.optimizer.iterations)} now")

# %% tags=["hide"]
steps = -(-len(some) // 32)
assert steps_before >= -(-len(small) // 32)
assert int(again.optimizer.iterations) == steps_before + 5 * steps
assert max(chained) < 0.5

# %% [markdown]
# A long training may be killed at any moment. [Checkpoint][imagegen.Checkpoint] is a callback for that: it saves
# everything after each epoch, and the same program, started again, goes on after the last epoch that was finished.
#
# Some scripts keep the weights alone, in a file `weights.h5`. Such a file holds numbers and no model: whoever reads it
# has to build the same model first. It is the right form for weights that go into a model of your own code.

# %%
again.save_weights("flowers.weights.h5")
network = imagegen.UNet(image_size=16, widths=[32, 64], block_depth=1)
rebuilt = imagegen.DiffusionModel(network)
rebuilt.build(small.shape)
rebuilt.load_weights("flowers.weights.h5")
pair = [one.generate(2, num_steps=4, seed=0) for one in (again, rebuilt)]
print("the same pictures:", np.array_equal(*pair))

# %% tags=["hide"]
assert np.array_equal(*pair)

# %% [markdown]
# ## What full training looks like, and costs
#
# The code is the same as above, with larger numbers. This is the book's training, in this package:
#
# ```python
# images = imagegen.datasets.flowers(image_size=128).images
# network = imagegen.UNet(128, [32, 64, 96, 128], block_depth=2)
# model = imagegen.DiffusionModel(network)
# model.normalizer.adapt(images)
#
# learning_rate = keras.optimizers.schedules.InverseTimeDecay(
#     1e-3, decay_steps=1_000, decay_rate=0.1
# )
# model.compile(optimizer=keras.optimizers.AdamW(learning_rate))
# model.fit(
#     images,
#     batch_size=32,
#     epochs=100,
#     callbacks=[
#         imagegen.ShowGenerated(),
#         keras.callbacks.ModelCheckpoint(
#             "flowers.keras", monitor="loss", save_best_only=True
#         ),
#     ],
# )
# ```
#
# On a GPU, keep JAX, the default backend. What `pip` installs with the package runs on the processor. For a GPU by
# NVIDIA, also install `"jax[cuda13]"`, or what [JAX's own page](https://docs.jax.dev/en/latest/installation.html) says
# for yours. Then `jax.devices()` lists it, and nothing in the code changes. Without a GPU, install TensorFlow and set
# `KERAS_BACKEND=tensorflow` before Python starts: a long training is faster there, and the weights serve every backend.
#
# The preset was made by the script `recipes/flowers_64.py` in the repository. This is what it took, beside what others
# report of theirs:

# %% tags=["fold"]
from IPython.display import Markdown

# The preset's own record: hours, and the held-out loss after each epoch.
HOURS = 5
# fmt: off
HELD_OUT_LOSSES = [
    0.368, 0.312, 0.285, 0.284, 0.272, 0.267, 0.255, 0.257, 0.248, 0.249,
    0.237, 0.238, 0.236, 0.252, 0.243, 0.233, 0.236, 0.228, 0.230, 0.237,
    0.233, 0.219, 0.223, 0.221, 0.230, 0.233, 0.222, 0.225, 0.227, 0.223,
    0.209, 0.220, 0.233, 0.222, 0.221, 0.220, 0.220, 0.219, 0.220, 0.236,
    0.218, 0.224, 0.222, 0.209, 0.209, 0.217, 0.220, 0.211, 0.213, 0.220,
    0.223, 0.225, 0.220, 0.224, 0.227, 0.222, 0.214, 0.225, 0.221, 0.211,
    0.214, 0.209, 0.211, 0.211, 0.216, 0.214, 0.207, 0.209, 0.208, 0.214,
    0.214, 0.217, 0.208, 0.212, 0.216, 0.202, 0.207, 0.210, 0.211, 0.209,
    0.211, 0.205, 0.221, 0.201, 0.210, 0.209, 0.208,
]
# fmt: on

Markdown(f"""
| training | pixels | epochs | time |
|---|---|---|---|
| the book's | 128 | 100 | 90 min, T4 |
| Keras's | 64 | 50 | 2 h, T4 |
| Keras's | 64 | 50 | 30 min, A100 |
| the preset | 64 | {len(HELD_OUT_LOSSES)} | {HOURS} h, CPU |
""")

# %% [markdown]
# The first line is the book's figure. The next two are those of
# [Keras's example](https://keras.io/examples/generative/ddim/), with much the same network. A T4 is a
# GPU that some services lend free of charge, and an A100 one for data centres. The preset was trained on
# two busy cores of an ordinary processor. An epoch of it shows each of 4,500 photographs twice, once
# mirrored. The learning rate falls to nothing over the last 28 epochs. This is how the loss on the
# held-out photographs fell:

# %% tags=["fold"] alt="The loss on held-out pictures falls steeply at first, then slowly, and a little more at the end." caption="The preset's 87 epochs."
figure, axes = plt.subplots(figsize=(5.2, 3))
axes.plot(
    np.arange(1, len(HELD_OUT_LOSSES) + 1),
    HELD_OUT_LOSSES,
    "-",
    color="tab:blue",
)
axes.set(
    title="The preset's training",
    xlabel="epoch",
    ylabel="held-out loss",
    ylim=(0, 0.4),
)
plt.show()

# %% tags=["hide"]
assert HELD_OUT_LOSSES[-1] < HELD_OUT_LOSSES[0]

# %% [markdown]
# ### Epoch by epoch
#
# What a falling loss means for the pictures, the callback's grids show best. These come from the training of another
# model, which paints 128 x 128 pixels and takes prompts: that of [Latent diffusion](latent_diffusion.py), by the script
# `recipes/flowers_128.py`. Each of the eighteen places has its own noise and its own prompt, the same in every grid. The
# first row asks for a sunflower, a yellow rose, a red rose, a white rose on a dark background, a passion flower and an
# oxeye daisy. An epoch shows a quarter of the photographs there.
#
# <div class="grid" markdown>
#
# <figure markdown>
# ![Eighteen pictures of coloured static, some with a bright blotch](../assets/training-epoch_0001.webp){ width=778 height=388 loading=lazy }
# <figcaption>After 1 epoch: static, and here and there a blotch of colour.</figcaption>
# </figure>
#
# <figure markdown>
# ![The same static, a little softer, on darker green](../assets/training-epoch_0003.webp){ width=778 height=388 loading=lazy }
# <figcaption>After 3 epochs: the ground is darker, and flowers stand out from it.</figcaption>
# </figure>
#
# <figure markdown>
# ![Soft blotches of pink, red and orange on green, with frayed edges](../assets/training-epoch_0010.webp){ width=778 height=388 loading=lazy }
# <figcaption>After 10: something with petals. The prompts mean little yet: the yellow rose is pink.</figcaption>
# </figure>
#
# <figure markdown>
# ![Frayed flowers in yellow, red, blue and white](../assets/training-epoch_0030.webp){ width=778 height=388 loading=lazy }
# <figcaption>After 30: the colours are those of the prompts.</figcaption>
# </figure>
#
# <figure markdown>
# ![Flowers in the same colours and places, with clearer edges and petals](../assets/training-epoch_0060.webp){ width=778 height=388 loading=lazy }
# <figcaption>After 60: flowers and their ground are two things, and a dark background is dark.</figcaption>
# </figure>
#
# </div>
#
# This training was stopped soon afterwards. The preset `flowers-128` comes from the same script, after 350 such epochs.
# From the same noise, and moved towards the prompts by guidance, it paints:

# %% alt="Eighteen flowers, most of them with clear petals, in the colours that their prompts name." caption="The preset's answers to the same prompts, from the same noise."
prompts = [
    "a photo of a sunflower",
    "a yellow rose",
    "a red rose",
    "a white rose on a dark background",
    "a photo of a passion flower",
    "an oxeye daisy on a green background",
    "a purple clematis",
    "a pink lotus",
    "a photo of a bishop of llandaff",
    "a dandelion",
    "a blue morning glory",
    "an orange dahlia",
    "a white flower on a dark background",
    "a red flower on a green background",
    "a yellow iris",
    "a pink hibiscus",
    "a close-up of a gazania",
    "a flower",
]
painter = imagegen.LatentDiffusion.from_preset("flowers-128")
imagegen.show(painter.generate(prompts, num_steps=20, seed=0), columns=6)

# %% [markdown]
# ## What we have learnt
#
# - A diffusion model is trained on an easy question: which noise was mixed in?
# - Pictures are cut square, resized with antialiasing and normalized, so that they and the noise have
#   mean 0 and variance 1.
# - The loss compares the network's answer with the noise. It says little about how good pictures look, so we
#   look at them while the model learns.
# - One copy of the network learns. The other, an average of its weights, generates.
# - A saved model goes on where it stopped.
#
# ## Exercises
#
# **1.** Most of the noise is easy to find. Where is it hard? Measure the error on held-out pictures at five times.

# %% tags=["solution"]
rng = np.random.default_rng(0)
clean = keras.ops.convert_to_numpy(model.normalizer(small_held_out))
mask = rng.standard_normal(clean.shape).astype("float32")
errors = {}
for time in (0.05, 0.25, 0.5, 0.75, 0.95):
    noise_rate, signal_rate = map(float, model.schedule(time))
    noisy = signal_rate * clean + noise_rate * mask
    estimate = keras.ops.convert_to_numpy(model.denoise(noisy, time))
    guess = (noisy - signal_rate * estimate) / noise_rate
    errors[time] = np.abs(guess - mask).mean()
    print(
        f"time {time:4}: noise rate {noise_rate:.2f}, error {errors[time]:.3f}"
    )

# %% [markdown] tags=["solution"]
# At small times. There the noise is faint, and what looks like noise may be texture. At time 0.95 the picture is
# nearly all noise, and copying the input comes close. What is easy there says little about the picture.

# %% tags=["hide", "solution"]
assert errors[0.05] > 2 * errors[0.95]

# %% [markdown]
# **2.** After how many steps is the learning rate half of what it was, and how many epochs of all photographs are
# that?

# %% tags=["solution"]
half = 1_000 / 0.1
print(
    f"{half:,.0f} steps, {half / -(-len(small) // 32):.0f} epochs of "
    f"{len(small):,} pictures"
)

# %% tags=["hide", "solution"]
np.testing.assert_allclose(float(learning_rate(half)), 1e-3 / 2, rtol=1e-5)

# %% [markdown]
# **3.** Give a picture that has a flower in it, and one of pure noise, to `model.denoise` at time 0.6. What does it make
# of each?

# %% tags=["solution"] alt="A flower under noise, and what the network sees in it: the flower, softer. Pure noise, and what it sees there: a blotch."
noise_rate, signal_rate = map(float, model.schedule(0.6))
mixed = np.stack([signal_rate * clean[3] + noise_rate * mask[3], mask[3]])
seen = keras.ops.convert_to_numpy(model.denoise(mixed, 0.6))
pictures = model.to_images(np.stack([mixed[0], seen[0], mixed[1], seen[1]]))
imagegen.show(pictures, columns=4, scale=6)

# %% [markdown] tags=["solution"]
# It finds a flower in both. Of pure noise it takes some for signal, because at that time there has always been some.

# %% [markdown]
# Next: [Flowers from noise](flowers_from_noise.py), where the trained model paints. In the reference:
# [DiffusionModel][imagegen.DiffusionModel], [ShowGenerated][imagegen.ShowGenerated] and
# [flowers][imagegen.datasets.flowers].
