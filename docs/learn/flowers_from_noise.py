# %% [markdown]
# # Flowers from noise
#
# How does a machine that only learns to *remove* noise come to *make* pictures? In this chapter we
# let one learn, take it apart, and watch noise turn into flowers. At its end you can
#
# - train a diffusion model on pictures of your own,
# - say what each of its parts does,
# - generate pictures in few steps or many, and the same ones again,
# - judge what a small model can do, and what not.
#
# The [chapter before](noise_and_signal.py) explains how noise is mixed in, and the network that sees
# through it.
#
# ## The flowers
#
# [Oxford Flowers 102](https://www.robots.ox.ac.uk/~vgg/data/flowers/102/) is a collection of 8,189
# photographs of flowers, of 102 species that are common in Britain. The model is to paint such flowers.
# We keep 500 pictures out of training, to see later how it does on what it has never seen.

# %% alt="Eighteen flowers in three rows."
import imagegen

import numpy as np

training = imagegen.datasets.flowers(image_size=64, split="train")
images, labels, names = training
held_out = imagegen.datasets.flowers(image_size=64, split="test").images
num_species = len(np.unique(labels))
print(f"{len(images):,} flowers of {num_species} species for training, {len(held_out)} held out")
imagegen.show(images[:: len(images) // 18][:18], columns=6)

# %% tags=["hide"]
assert images.shape[1:] == (64, 64, 3)
assert len(held_out) == 500
assert len(names) == 102

# %% [markdown]
# Photographs come in all shapes, and the network wants squares of one size. Pressing a wide
# photograph into a square would make round flowers oval. So of each photograph the largest square in
# the middle is cut out, and then made smaller:

# %%
import inspect
import textwrap

from IPython.display import Markdown


def show_source(function):
    """Show how the package does it."""
    source = textwrap.dedent(inspect.getsource(function))
    return Markdown(f"```python\n{source}```")


show_source(imagegen.center_square)

# %% [markdown]
# `LANCZOS` is a way to resize with *antialiasing*: each new pixel is a weighted mean of all the old
# ones that it stands for. Does that matter? Let us shrink a flower to a quarter of its size: once by
# keeping every fourth pixel, once by taking the means of 4 x 4 pixels.


# %% alt="A flower, a jagged small copy with every fourth pixel, and a smooth small copy with means."
def shrink(pictures):
    """Make pictures a quarter as high and wide: each new pixel is the mean of 4 x 4 old ones."""
    count, height, width, channels = pictures.shape
    blocks = pictures.reshape(count, height // 4, 4, width // 4, 4, channels)
    return blocks.mean(axis=(2, 4), dtype="float32").astype("uint8")


flower = images[list(labels).index(names.index("oxeye daisy"))]
every_fourth = flower[::4, ::4]
(means,) = shrink(flower[None])

enlarged = [small.repeat(4, axis=0).repeat(4, axis=1) for small in (every_fourth, means)]
imagegen.show([flower, *enlarged], titles=["64 x 64", "every fourth", "means"], columns=3, scale=2)

# %% [markdown]
# Without antialiasing, edges are jagged, and single bright pixels count for sixteen. A model would
# learn to draw that, too.
#
# ## The model
#
# A `DiffusionModel` is a Keras model around a network. On this page it has to learn within seconds. So
# we make everything small: the pictures are shrunk to 16 x 16, and the U-Net has few channels, two
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

# %%
show_source(imagegen.DiffusionModel.attempt)

# %% [markdown]
# The model's `call` normalizes the pictures, and lets the network attempt to find the noise. Read it
# from top to bottom.
#
# 1. Noise of the pictures' shape is drawn.
# 2. Each picture gets a diffusion time of its own, drawn evenly from 0 to 1, and the schedule turns it
#    into rates. So a batch has pictures of all kinds, nearly clean ones and nearly drowned ones.
# 3. Signal and noise are mixed.
# 4. The network sees the mixture and the noise rate, and answers. In training it is told so with
#    `training`, because batch normalization then measures its batch and keeps running averages. The
#    averages are used when pictures are generated.
# 5. From the answer follows the estimated clean picture. And the *target* is what the answer should
#    have been: for `NoisePrediction`, the noise mask.
# 6. The weights say how much each picture counts in the loss. Here they are all 1.

# %%
estimate, output, target, weights = (
    keras.ops.convert_to_numpy(tensor) for tensor in model(small[:64])
)
print(f"it says:       mean {output.mean():.2f}, variance {output.var():.2f}")
print(f"it should say: mean {abs(target.mean()):.2f}, variance {target.var():.2f}")

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
# How wrong is an answer? That is the *loss*, and training makes it small. The book takes the *mean
# absolute error*, others the *mean squared error*:
#
# $$\text{MAE} = \operatorname{mean} |\text{output} - \text{target}|, \quad
# \text{MSE} = \operatorname{mean} (\text{output} - \text{target})^2$$
#
# Does it matter? Take a target that can't be known: 0 seven times out of ten, and 1 otherwise. What is
# the best constant answer?

# %% tags=["fold"] alt="Two curves over the answer from 0 to 1: the absolute error is a line with its lowest point at 0, the squared error a bowl with its lowest point at 0.3."
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
    axes.plot(answers, loss, color=color, label=f"{name}, best at {answers[best]:.1f}")
    axes.plot(answers[best], loss[best], "o", color=color)
axes.set(title="Two losses, two best answers", xlabel="the answer", ylabel="loss", ylim=(0, 0.8))
axes.legend()
plt.show()

# %% tags=["hide"]
best_answers = [answers[loss.argmin()] for loss, _ in losses.values()]
np.testing.assert_allclose(best_answers, [np.median(targets), targets.mean()], atol=0.006)

# %% [markdown]
# The absolute error wants the *median*, the value in the middle. The squared error wants the *mean*,
# and it is harder on large errors than on small ones. The theory of diffusion asks for the mean.
# Noise has no such lopsided choices, its median and its mean agree, and so in practice both losses
# work. The absolute error is the default here, as in the book. The trained model further down uses the
# squared one.
#
# Keras asks a model for its loss here:

# %%
show_source(imagegen.DiffusionModel.compute_loss)

# %% [markdown]
# It moves the averages, which come next, and takes the mean over all pictures, weighed:

# %%
show_source(imagegen.DiffusionModel.loss_of)

# %% [markdown]
# The two methods `call` and `compute_loss` are all that the model changes in Keras's training.
# There is no training loop of its own. So `compile`, `fit`, `evaluate`, `save` and callbacks work as
# with any Keras model, on each of its backends.
#
# ### Averaged weights
#
# Each training step pulls the weights towards what one batch wants, and so they never come to rest.
# Their average over many steps is calmer, and papers report much better pictures with it. After each step, a second copy of the network,
# `model.averaged`, moves a little towards the first:
#
# $$\text{average} \leftarrow k \cdot \text{average} + (1 - k) \cdot \text{weights}$$

# %%
show_source(imagegen.move_averages)

# %% [markdown]
# At $k = 0.999$, the average looks back over about 1,000 steps. Only the first copy learns, and only the
# second generates.
#
# ??? note "What the book's listing does, and why this package does it otherwise"
#     The book lets the optimizer average, with $k = 0.99$, and every 100 steps the averages overwrite
#     the weights that learn. An epoch there has 255 steps. So a file that is saved at the end of an epoch
#     holds weights that have learnt for 55 steps since: neither averaged nor left alone. On JAX,
#     Keras 3.15 also fails when such a model is trained a second time. A copy of its own has neither
#     trouble.
#
#     Two more differences. The book's `call` does not tell the network that it is being trained, so
#     the running averages of its batch normalization never move. And it wants every batch to have 32
#     pictures, so the last, smaller one is dropped. Here, the batch's own size counts, and no picture
#     is dropped.
#
# ### Back to a picture: `denoise`
#
# The other way round: given something noisy and its time, what is the clean picture? The network
# predicts the noise, and the prediction object solves for the picture. For `NoisePrediction`, that is
# (noisy - noise rate x mask) / signal rate. (`_output` calls the network. Where a schedule does not preserve
# the variance, it brings the input to variance 1 first.)

# %%
show_source(imagegen.DiffusionModel.denoise)

# %% [markdown]
# ### From noise to a picture: `generate`
#
# At time 1, the estimate is a poor one: a blur. But it is better than nothing. So we don't jump to it.
# We walk a little towards it, and ask again. `generate` starts with pure noise. Then, for each of a number
# of times from 1 towards 0:
#
# 1. *Denoise*: estimate the clean picture. The package also clips it to what a picture can be.
# 2. Take the noise that is left over.
# 3. *Remix* both with the rates of the next time, where there is a little less noise.
#
# $$\text{next} = \text{next signal rate} \cdot \text{clean} + \text{next noise rate} \cdot \text{noise}$$
#
# Such a step is the work of a *sampler*. This one is called
# [DDIM](https://arxiv.org/abs/2010.02502):

# %%
show_source(imagegen.DDIM.step)

# %% [markdown]
# The first four lines are the three points above. What follows them is for `eta` above 0, which draws some of
# the noise anew; here it is 0. The last step goes to no noise at all, and so it gives the clean estimate itself. Then the normalizing
# is undone, and the numbers are clipped to 0 to 255 and rounded. All the steps run in one compiled
# program.
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
learning_rate = keras.optimizers.schedules.InverseTimeDecay(1e-3, decay_steps=1_000, decay_rate=0.1)
for step in (0, 1_000, 10_000, 25_000):
    print(f"after {step:6,} steps: {float(learning_rate(step)):.6f}")

# %% tags=["hide"]
np.testing.assert_allclose(float(learning_rate(10_000)), 1e-3 / 2, rtol=1e-5)

# %% [markdown]
# **What to look at.** The loss says how well noise is found. It does not say how good a flower looks, and
# no simple number does. So we look: `ShowGenerated` is a *callback*, which Keras calls after each
# *epoch*, each pass over all pictures. It draws 3 x 6 pictures, in 20 steps, always from the same noise.
#
# **What to keep.** `ModelCheckpoint` saves the model after an epoch. With `monitor="loss"` and
# `save_best_only=True`, it does so only if the loss is the lowest so far. It would watch the loss on held-out
# pictures otherwise.
#
# **How long.** Here, for a moment.

# %% alt="Eighteen generated pictures in three rows, after an epoch: blotches of colour."
model.compile(optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=1e-4))
history = model.fit(
    small,
    batch_size=32,
    epochs=2,
    verbose=2,
    callbacks=[
        imagegen.ShowGenerated(),
        keras.callbacks.ModelCheckpoint("flowers.keras", monitor="loss", save_best_only=True),
    ],
)

# %%
loss = model.evaluate(small_held_out, verbose=0)
print(f"loss on held-out pictures, with averaged weights: {loss:.3f}")

# %% tags=["hide"]
untrained_loss = np.sqrt(2 / np.pi)
assert history.history["loss"][-1] < history.history["loss"][0] < untrained_loss

# %% [markdown]
# The network that knew nothing had a loss of 0.80. The loss falls fast, and the pictures are still blotches of
# colour. Both are true: most of the noise is easy to find, and what makes a flower is in the rest.
#
# The file has everything that the model needs, the normalizer's measurements among it:

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
# ## Trained for hours
#
# The package brings a model that has seen 4,500 photographs of flowers many times. Its pictures have
# 64 x 64 pixels. It samples in a way of its own, in 15 steps. The next chapter, [Samplers](samplers.py),
# tells how.

# %% alt="Eighteen generated pictures of flowers in three rows."
model = imagegen.DiffusionModel.from_preset("flowers-64")
flowers = model.generate(18, seed=1)
imagegen.show(flowers, columns=6)

# %% tags=["hide"]
assert flowers.shape == (18, 64, 64, 3)
assert flowers.dtype == np.uint8
assert flowers.std() > 25

# %% [markdown]
# Nobody has taken these pictures. They are not the best of many either, but the first eighteen of one
# seed.
#
# ## Watch them appear
#
# `generate_steps` gives the pictures after each step: the noisy ones, and the clean ones that the network
# believed in. Here are three flowers after steps 1, 3, 6, 9, 12 and 15. The row above is what is
# there, the row below what the network sees in it.

# %% alt="Three flowers, each in a row of noise that clears up and a row of estimates that begin as a blur and gain detail."
steps = list(model.generate_steps(3, seed=1))
noisy, clean = (np.stack(pictures, axis=1) for pictures in zip(*steps, strict=True))

chosen = [0, 2, 5, 8, 11, 14]
rows = np.stack([noisy[:, chosen], clean[:, chosen]], axis=1)
imagegen.show(rows.reshape(-1, 64, 64, 3), columns=len(chosen), scale=2)

# %% tags=["hide"]
assert noisy.shape == clean.shape == (3, 15, 64, 64, 3)
np.testing.assert_array_equal(noisy[:, -1], clean[:, -1])


def roughness(pictures):
    """Mean difference between neighbours."""
    return np.abs(np.diff(pictures.astype("float32"), axis=-2)).mean()


assert roughness(noisy[:, 0]) > 2 * roughness(noisy[:, -1])
assert roughness(clean[:, 0]) < roughness(clean[:, -1])

# %% [markdown]
# The first estimate is a blur: of pure noise, only the colours of an average flower can be guessed. With
# each step the noise clears a little, and the guess becomes bolder. First come colours, then shapes,
# and edges last. The same as a film of the estimates:

# %%
frames = [imagegen.grid(pictures, columns=3) for pictures in clean.swapaxes(0, 1)]
imagegen.Animation(
    [*frames, *frames[-1:] * 6],
    alt="Three blurs that turn into flowers",
    frames_per_second=6,
    scale=3,
)

# %% [markdown]
# ## How many steps does it take?
#
# More steps cost more time, as each asks the network once. We start from the same noise, five times:

# %% alt="Three flowers in five rows. One step gives blurs, a few give soft shapes; fifteen and fifty are crisp and alike."
import time

sweep, seconds = [], []
step_counts = [1, 3, 6, 15, 50]
for num_steps in step_counts:
    start = time.perf_counter()
    sweep.append(model.generate(3, num_steps=num_steps, seed=1))
    seconds.append(time.perf_counter() - start)

titles = [f"{num_steps} step{'s' * (num_steps > 1)}" for num_steps in step_counts for _ in range(3)]
imagegen.show(np.concatenate(sweep), titles=titles, columns=3, scale=2)

for num_steps, duration in zip(step_counts, seconds, strict=True):
    print(f"steps: {num_steps:2}, seconds: {duration:.2f}")

# %% tags=["hide"]
np.testing.assert_array_equal(sweep[3], noisy[:, -1])
differences = [np.abs(np.float32(pictures) - sweep[-1]).mean() for pictures in sweep]
assert differences == sorted(differences, reverse=True)
assert differences[0] > 2 * differences[3]
assert roughness(sweep[0]) < roughness(sweep[4])

# %% [markdown]
# One step is a leap: it gives the mean of all flowers that the noise might hide, and that is a blur.
# Fifteen are enough: fifty add a little contrast. The number of steps changes the
# detail, but the noise decides which flower it is.
#
# ## The same seed, the same pictures
#
# The noise comes from the seed. Picture number 2 of a seed is the same, however many are
# asked for:

# %%
few, many = model.generate(3, seed=1), flowers[:3]
print("largest difference of a pixel:", np.abs(few.astype(int) - many).max(), "of 255")

# %% tags=["hide"]
assert np.abs(few.astype(int) - many).max() <= 2
np.testing.assert_array_equal(few, model.generate(3, seed=1))
assert np.abs(few.astype(int) - model.generate(3, seed=2)).mean() > 10

# %% [markdown]
# A difference of 1 can remain, because arithmetic on batches of different sizes is rounded
# differently.
#
# ## What full training looks like, and costs
#
# The code is that of above, with larger numbers. This is the book's training, in this package:
#
# ```python
# images = imagegen.datasets.flowers(image_size=128).images
# model = imagegen.DiffusionModel(imagegen.UNet(128, [32, 64, 96, 128], block_depth=2))
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
#         keras.callbacks.ModelCheckpoint("flowers.keras", monitor="loss", save_best_only=True),
#     ],
# )
# ```
#
# On a GPU it takes JAX, the default. Without one, set `KERAS_BACKEND=tensorflow` before Python starts: a long training
# is faster there, and the weights serve every backend.
#
# The preset was made by the script `recipes/flowers_64.py` in the repository. What it takes:

# %% tags=["fold"]
# The preset's own record: hours of training, and the loss on held-out pictures after each epoch.
HOURS = 5
# fmt: off
HELD_OUT_LOSSES = [
    0.368, 0.312, 0.285, 0.284, 0.272, 0.267, 0.255, 0.257, 0.248, 0.249, 0.237, 0.238,
    0.236, 0.252, 0.243, 0.233, 0.236, 0.228, 0.230, 0.237, 0.233, 0.219, 0.223, 0.221,
    0.230, 0.233, 0.222, 0.225, 0.227, 0.223, 0.209, 0.220, 0.233, 0.222, 0.221, 0.220,
    0.220, 0.219, 0.220, 0.236, 0.218, 0.224, 0.222, 0.209, 0.209, 0.217, 0.220, 0.211,
    0.213, 0.220, 0.223, 0.225, 0.220, 0.224, 0.227, 0.222, 0.214, 0.225, 0.221, 0.211,
    0.214, 0.209, 0.211, 0.211, 0.216, 0.214, 0.207, 0.209, 0.208, 0.214, 0.214, 0.217,
    0.208, 0.212, 0.216, 0.202, 0.207, 0.210, 0.211, 0.209, 0.211, 0.205, 0.221, 0.201,
    0.210, 0.209, 0.208,
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

# %% tags=["fold"] alt="The loss on held-out pictures falls steeply at first, then slowly, and a little more at the end."
figure, axes = plt.subplots(figsize=(5.2, 3))
axes.plot(np.arange(1, len(HELD_OUT_LOSSES) + 1), HELD_OUT_LOSSES, "-", color="tab:blue")
axes.set(title="The preset's training", xlabel="epoch", ylabel="held-out loss", ylim=(0, 0.4))
plt.show()

# %% tags=["hide"]
assert HELD_OUT_LOSSES[-1] < HELD_OUT_LOSSES[0]

# %% [markdown]
# ## What is different in the preset
#
# The plain network of the book needs its hundred epochs. With less, it
# paints colours and textures, and few shapes. The preset has to go further on less. It differs in seven
# things, six of them in the training. [How good is it?](how_good_is_it.py) shows what the two recipes reach
# at equal cost; not each change was measured alone:
#
# - **Velocity instead of noise.** Where there is little signal, an error in the noise mask weighs heavily
#   in the picture. The *velocity* is a mixture of noise and picture, in which no time is favoured.
#   [VelocityPrediction][imagegen.VelocityPrediction] has the formula.
# - **The mean squared error**, which goes with it.
# - **Patches of 2 x 2 pixels.** The network takes four pixels as one, and returns four for one. So 64 x 64
#   costs what 32 x 32 costs.
# - **Group normalization.** Each picture is normalized by itself, in groups of channels. Nothing
#   depends on the batch, so training and generating see the same.
# - **The noise rate in every block.** It is expanded into sines and cosines, an *embedding*, and tells
#   each block how to scale and shift its channels.
# - **Attention at 8 x 8.** Each of the 64 places looks at all others. So the left petals can know about
#   the right ones.
#
# And its schedule goes up to a signal rate of 0.999, so that the cleanest pictures are nearly clean. When it
# samples, it stops at even log signal-to-noise ratios.

# %%
print(model.prediction)
print(model.schedule)
print(f"{model.network.count_params():,} parameters")
for name, value in model.network.config.items():
    print(f"{name}: {value}")

# %% tags=["hide"]
assert isinstance(model.prediction, imagegen.VelocityPrediction)
assert model.schedule.schedule.max_signal_rate == 0.999
assert model.network.config["patch_size"] == 2
assert model.network.config["norm"] == "group"
assert model.network.config["embedding_dim"]
assert model.network.config["attention_resolutions"] == [8]
assert model.guiding_network.count_params() < model.network.count_params() / 5

# %% [markdown]
# The seventh change costs next to no training at all. The preset carries a second network, an eighth of
# the size, that was trained for six epochs only. It makes the same mistakes as the large one, and worse
# ones. So where the two disagree, the better answer lies on the far side of the large one's. At each
# step of sampling, the estimate moves on in that direction:
#
# $$\hat x = \hat x_\text{poorer} + g \, (\hat x_\text{network} - \hat x_\text{poorer}).$$
#
# This is *autoguidance*. The model's attribute `autoguidance_scale` is $g$. At 1 the poorer network plays no
# part. The rows below begin with the same noise:

# %% alt="Six flowers in four rows. At a scale of 1 they are ragged; from 1.5 on, petals close up to whole flowers; at 3 outlines are hard, and there are patterns of dots."
own_scale = model.autoguidance_scale
rows, scales = [], [1.0, 1.5, 2.0, 3.0]
for model.autoguidance_scale in scales:
    rows.append(model.generate(6, seed=11))
model.autoguidance_scale = own_scale
titles = [f"g = {scale:g}" for scale in scales for _ in range(6)]
imagegen.show(np.concatenate(rows), titles=titles, columns=6)

# %% tags=["hide"]
assert own_scale == 1.5

# %% [markdown]
# Ragged petals close up, and flowers come clear of the green behind. Too much of it paints surfaces flat
# and outlines hard, and draws patterns that no flower has. The preset takes 1.5.

# %% [markdown]
# ## An honest look
#
# How good are these pictures? As thumbnails, they pass for flowers. Colours, light and the green
# behind are right, and no two are alike. At a second look, most are *one* flower with petals around a
# middle. Some are tufts of petals without order, and the symmetry that makes a daisy a daisy is rare.
# A hundred of them, none left out, are in the [gallery](gallery.py).
#
# The reasons are plain. The training was short. The network is small. And 4,500 photographs of some
# ninety species are about fifty of each. A GPU and a larger network go much further, with the same
# code.
#
# At least, does it make something of its own? A model can also cheat, and learn pictures by heart. Let us
# shrink everything to 16 x 16 and look for the training picture that is nearest to a generated one. For
# comparison, we do the same with held-out pictures, which nobody can have learnt by heart.

# %% tags=["output"]
note = """
The photographs that the preset learnt from are not at hand here. The search below is among painted
flowers. It shows how one looks for copies, and not whether this model makes any.
"""
Markdown(note) if training.source == "painted" else None

# %%
known = small.reshape(len(small), -1).astype("float32")


def distances_to_nearest(pictures):
    """Mean difference to the most similar training picture, in levels of 255."""
    flat = shrink(pictures).reshape(len(pictures), -1)
    return [np.abs(known - picture).mean(axis=1).min() for picture in flat]


generated_distances = distances_to_nearest(flowers)
held_out_distances = distances_to_nearest(held_out[:: len(held_out) // 18][:18])
print(f"generated: nearest {min(generated_distances):.0f}, mean {np.mean(generated_distances):.0f}")
print(f"held out:  nearest {min(held_out_distances):.0f}, mean {np.mean(held_out_distances):.0f}")

# %% tags=["hide"]
assert min(generated_distances) > 8
assert min(distances_to_nearest(images[:3])) == 0

# %% [markdown]
# A copy would have a distance of about 0, and none is near that.
#
# ## What we have learnt
#
# - A diffusion model is trained on an easy question: which noise was mixed in? Asked step by step, its
#   answers turn noise into pictures.
# - Pictures are cut square, resized with antialiasing and normalized, so that they and the noise have
#   mean 0 and variance 1.
# - The loss compares the network's answer with the noise. It says little about beauty, so we look at
#   pictures after each epoch.
# - One copy of the network learns. The other, an average of its weights, generates.
# - Twenty steps are enough here. The seed decides which picture it is.
# - Full training costs hours. What is changed in the network decides how far they go.
#
# ## To try
#
# - Train on pictures of your own: an array of uint8 of the shape `(pictures, 64, 64, 3)` is all that `fit`
#   needs.
# - Generate twice with neighbouring seeds. Are the flowers alike?
# - Train the small model once more with `loss="mean_squared_error"`. Do its blotches look different?
#
# Next: [Samplers](samplers.py), where the same model gives as good a flower in half the steps. In the
# reference: [DiffusionModel][imagegen.DiffusionModel], [DDIM][imagegen.DDIM],
# [ShowGenerated][imagegen.ShowGenerated], [Animation][imagegen.Animation] and
# [flowers][imagegen.datasets.flowers].
