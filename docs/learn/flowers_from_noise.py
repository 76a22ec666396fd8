# %% [markdown] needs=["training_on_flowers"]
# # Flowers from noise
#
# A model that has learnt to remove noise is asked again and again, and pure noise becomes a flower. In this chapter
# we take a finished model, watch it paint, and look hard at what it paints.

# %% alt="Eighteen generated pictures of flowers in three rows." caption="Eighteen flowers that don't exist: the first of one seed, none left out."
import imagegen

import numpy as np

model = imagegen.DiffusionModel.from_preset("flowers-64")
flowers = model.generate(18, seed=1)
imagegen.show(flowers, columns=6)

# %% tags=["hide"]
assert flowers.shape == (18, 64, 64, 3)
assert flowers.dtype == np.uint8
assert flowers.std() > 25

# %% [markdown]
# !!! abstract "What you will learn"
#     - How a picture comes out of noise, step by step.
#     - How to generate in few steps or many, and get the same pictures again.
#     - What a small model can do, and what it can't.
#
# Nobody took these pictures. Nor are they the best of many. The model is a `DiffusionModel` as in the
# [chapter before](training_on_flowers.py), trained for hours instead of seconds, and it comes with the package. It has
# seen 4,500 photographs of flowers many times. Its pictures have 64 x 64 pixels.
#
# ## Back to a picture: `denoise`
#
# In training, clean pictures became noisy ones. Now the other way round: given something noisy and its time, what is the
# clean picture? The network predicts the noise, and the prediction object solves for the picture. For `NoisePrediction`,
# that is $(x_t - n_t \hat\epsilon) / s_t$. `model.denoise` does it with the averaged network:
#
# ```source
# imagegen.DiffusionModel._denoised
# ```
#
# Each picture gets the same time. `_output` calls the network. Where a schedule doesn't preserve the variance, it first
# brings the input to variance 1.
#
# ## From noise to a picture: `generate`
#
# At time 1, the estimate is a poor one: a blur. But it is better than nothing. So we don't jump to it. We move
# a little towards it, and ask again. `generate` starts with pure noise. Then, at each of a number of times from
# 1 down to 0:
#
# 1. *Denoise*: estimate the clean picture. The package also clips it to what a picture can be.
# 2. Take the noise that is left over.
# 3. *Remix* both with the rates of the next time, where there is a little less noise.
#
# $$\text{next} = \text{next signal rate} \cdot \text{clean} + \text{next noise rate} \cdot \text{noise}$$
#
# Such a step is the work of a *sampler*. This one is called
# [DDIM](https://arxiv.org/abs/2010.02502):
#
# ```source
# imagegen.DDIM.step
# ```
#
# Everything up to the first `return` is the three points above. The rest is for `eta` above 0, which draws some of the noise
# anew; here it is 0. The last step goes to no noise at all, so it gives the clean estimate itself. Then the
# normalizing is undone, and the numbers are clipped to between 0 and 255 and rounded. All the steps run in one
# compiled program.
#
# This preset samples with another method, in 15 steps. The next chapter, [Samplers](samplers.py), tells how.
#
# ## Watch them appear
#
# `generate_steps` gives the pictures after each step: the noisy ones, and the clean ones that the network
# believed in. Here are three flowers after steps 1, 3, 6, 9, 12 and 15. The row above is what is
# there, the row below what the network sees in it.

# %% alt="Three flowers, each in a row of noise that clears up and a row of estimates that begin as a blur and gain detail." caption="Three flowers after 1, 3, 6, 9, 12 and 15 steps."
steps = list(model.generate_steps(3, seed=1))
noisy, clean = (
    np.stack(pictures, axis=1) for pictures in zip(*steps, strict=True)
)

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
# The first estimate is a blur: in pure noise there is nothing to see, so the best guess is the colours of an
# average flower. With each step the noise clears a little, and the guess becomes bolder. First come colours,
# then shapes, and edges last. Here are the estimates as a film:

# %%
frames = [
    imagegen.grid(pictures, columns=3) for pictures in clean.swapaxes(0, 1)
]
imagegen.Animation(
    [*frames, *frames[-1:] * 6],
    alt="Three blurs that turn into flowers",
    frames_per_second=6,
    scale=3,
)

# %% [markdown]
# This network can paint in your browser, too, once you let it come. There it is told the species. You can watch, go
# back through the steps, and paint with it: [a page of its own](../explore/flower_painter.md) tells how.
#
# <div data-exhibit="flower_painter"></div>
#
# ## How many steps does it take?
#
# More steps cost more time, as each asks the network once. We start from the same noise, five times:

# %% alt="Three flowers in five rows. One step gives blurs, a few give soft shapes; fifteen and fifty are crisp and alike." caption="From row to row more steps, with the same noise."
import time

sweep, seconds = [], []
step_counts = [1, 3, 6, 15, 50]
for num_steps in step_counts:
    start = time.perf_counter()
    sweep.append(model.generate(3, num_steps=num_steps, seed=1))
    seconds.append(time.perf_counter() - start)

titles = [
    f"{num_steps} step{'s' * (num_steps > 1)}"
    for num_steps in step_counts
    for _ in range(3)
]
imagegen.show(np.concatenate(sweep), titles=titles, columns=3, scale=2)

for num_steps, duration in zip(step_counts, seconds, strict=True):
    print(f"steps: {num_steps:2}, seconds: {duration:.2f}")

# %% tags=["hide"]
np.testing.assert_array_equal(sweep[3], noisy[:, -1])
differences = [
    np.abs(np.float32(pictures) - sweep[-1]).mean() for pictures in sweep
]
assert differences == sorted(differences, reverse=True)
assert differences[0] > 2 * differences[3]
assert roughness(sweep[0]) < roughness(sweep[4])

# %% [markdown]
# One step is a leap: it gives the mean of all flowers that the noise might hide, and that is a blur. Fifteen are
# enough, and fifty add a little contrast. The number of steps changes the detail, but the noise decides which
# flower it is.
#
# ## The same seed, the same pictures
#
# The noise comes from the seed. Picture number 2 of a seed is the same, however many are
# asked for:

# %%
few, many = model.generate(3, seed=1), flowers[:3]
print(
    "largest difference of a pixel:",
    np.abs(few.astype(int) - many).max(),
    "of 255",
)

# %% tags=["hide"]
assert np.abs(few.astype(int) - many).max() <= 2
np.testing.assert_array_equal(few, model.generate(3, seed=1))
assert np.abs(few.astype(int) - model.generate(3, seed=2)).mean() > 10

# %% [markdown]
# A difference of 1 can remain, because sums in batches of different sizes are rounded differently.
#
# ## What is different in the preset
#
# The book's plain network needs its hundred epochs. With fewer, it paints colours and textures, and few shapes.
# The preset has to go further on less. It differs in seven things, six of them in the network and its training.
# [How good is it?](how_good_is_it.py#how-long-to-train) shows what the two recipes reach at equal cost. The changes were
# not measured one by one.
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
# Besides, its schedule goes up to a signal rate of 0.999, so that the cleanest pictures are nearly clean. When it
# samples, its times are chosen such that the logarithm of the signal-to-noise ratio grows evenly. The chapter on
# [samplers](samplers.py#when-to-ask) tells why.

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

# %% alt="Six flowers in four rows. At a scale of 1 they are ragged; from 1.5 on, petals close up to whole flowers; at 3 outlines are hard, and there are patterns of dots." caption="From row to row more autoguidance, with the same noise."
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
# Ragged petals close up, and flowers stand out from the green behind. Too much of it makes surfaces flat and
# outlines hard, and draws patterns that no flower has. The preset takes 1.5.

# %% [markdown]
# ## An honest look
#
# How good are these pictures? As thumbnails, they pass for flowers. Colours, light and the green
# behind are right, and no two are alike. At a second look, most are *one* flower with petals around a
# middle. Some are tufts of petals without order, and the symmetry that makes a daisy a daisy is rare.
# Sixty-four of them, none left out, are in the [gallery](gallery.py#a-meadow).
#
# The reasons are plain. The training was short. The network is small. And 4,500 photographs of some ninety
# species make about fifty of each. A GPU and a larger network go much further, with the same
# code.
#
# But does it make something of its own? A model can also cheat, and learn pictures by heart. Let us shrink
# everything to 16 x 16 and look for the training picture that is nearest to a generated one. For
# comparison, we do the same with held-out pictures, which nobody can have learnt by heart.

# %%
training = imagegen.datasets.flowers(image_size=64, split="train")
held_out = imagegen.datasets.flowers(image_size=64, split="test").images


def shrink(pictures):
    """Make pictures a quarter as high and wide, by means of 4 x 4 pixels."""
    count, height, width, channels = pictures.shape
    blocks = pictures.reshape(count, height // 4, 4, width // 4, 4, channels)
    return blocks.mean(axis=(2, 4), dtype="float32").astype("uint8")


# %% tags=["output"]
from IPython.display import Markdown

note = """
The photographs that the preset learnt from are not at hand here. The search below is among painted
flowers. It shows how one looks for copies, and not whether this model makes any.
"""
Markdown(note) if training.source == "painted" else None

# %%
known = (
    shrink(training.images).reshape(len(training.images), -1).astype("float32")
)


def distances_to_nearest(pictures):
    """Mean difference to the most similar training picture, in levels."""
    flat = shrink(pictures).reshape(len(pictures), -1)
    return [np.abs(known - picture).mean(axis=1).min() for picture in flat]


generated_distances = distances_to_nearest(flowers)
held_out_distances = distances_to_nearest(held_out[:: len(held_out) // 18][:18])
print(
    f"generated: nearest {min(generated_distances):.0f}, mean "
    f"{np.mean(generated_distances):.0f}"
)
print(
    f"held out:  nearest {min(held_out_distances):.0f}, mean "
    f"{np.mean(held_out_distances):.0f}"
)

# %% tags=["hide"]
assert min(generated_distances) > 8
assert min(distances_to_nearest(training.images[:3])) == 0

# %% [markdown]
# A copy would be at a distance of about 0, and none comes near that.
#
# ## What we have learnt
#
# - Asked step by step which noise was mixed in, a model turns noise into pictures.
# - Fifteen steps are enough here. The seed decides which picture it is.
# - How far some hours of training go depends on the network, on what it predicts, and on the loss.
# - A model that paints should be searched for copies.
#
# ## Exercises
#
# **1.** Generate with two neighbouring seeds. Are the flowers alike?

# %% tags=["solution"] alt="Two rows of six flowers, which have nothing in common"
neighbours = [model.generate(6, seed=seed) for seed in (1, 2)]
imagegen.show(np.concatenate(neighbours), columns=6)
apart = np.abs(np.float32(neighbours[0]) - neighbours[1]).mean()
others = np.abs(
    np.float32(neighbours[0]) - np.roll(neighbours[0], 1, axis=0)
).mean()
print(
    f"same place, neighbouring seeds: {apart:.0f} levels apart; two flowers of "
    f"one seed: {others:.0f}"
)

# %% [markdown] tags=["solution"]
# No more alike than any two flowers. A seed is a name for noise and not a place: names that are near each other
# mean nothing. To go from one flower to a similar one, walk through the noise itself, as the
# [gallery](gallery.py#a-walk-through-noise) does.

# %% tags=["hide", "solution"]
assert apart > 0.6 * others

# %% [markdown]
# **2.** The noise decides which flower it is. Does it also decide the colours? Generate from the same noise,
# upside down.

# %% tags=["solution"] alt="Two rows of six flowers. Those in the second row come from the same noise, upside down"
noise = imagegen.samplers.initial_noise(6, (64, 64, 3), seed=1)
turned = np.asarray(noise)[:, ::-1]
pair = [
    model.generate(6, noise=one, seed=1) for one in (np.asarray(noise), turned)
]
imagegen.show(np.concatenate(pair), columns=6)
means = [np.float32(pictures).mean(axis=(1, 2)) for pictures in pair]
difference = np.abs(means[0] - means[1]).mean()
others = np.abs(means[0] - np.roll(means[0], 1, axis=0)).mean()
print(
    f"mean colours, same noise turned: {difference:.0f} levels apart; other "
    f"noise: {others:.0f}"
)

# %% [markdown] tags=["solution"]
# It does. Turning the noise keeps the mean of each colour, and the model takes even that for a trace of a flower:
# the colours stay, and the shapes are new.

# %% tags=["hide", "solution"]
assert difference < others / 2

# %% [markdown]
# **3.** One step gives a blur. What are the colours of 64 such blurs together, and what are those of all photographs?

# %% tags=["solution"]
blurs = model.generate(64, num_steps=1, seed=4)
for name, pictures in {"one step": blurs, "the data": training.images}.items():
    print(
        f"{name}: mean red, green and blue "
        f"{np.float32(pictures).mean(axis=(0, 1, 2)).round()}"
    )

# %% [markdown] tags=["solution"]
# Much the same. From pure noise the best guess in the squared error is the mean of all pictures.

# %% tags=["hide", "solution"]
colors = [
    np.float32(pictures).mean(axis=(0, 1, 2))
    for pictures in (blurs, training.images)
]
assert np.abs(colors[0] - colors[1]).max() < 30

# %% [markdown]
# Next: [Samplers](samplers.py), where several methods walk from the same noise to a flower, and are compared. In the
# reference: [DiffusionModel][imagegen.DiffusionModel], [DDIM][imagegen.DDIM],
# [VelocityPrediction][imagegen.VelocityPrediction] and [Animation][imagegen.Animation].
