# %% [markdown] needs=["denoising_to_dreaming", "diffusion_from_the_equations"]
# # Noise and signal
#
# How can a machine make a picture out of nothing? Not in one stroke. But take a machine that removes a
# *little* noise from a picture, and ask it again and again. If it begins with nothing but noise, it ends
# with a picture that nobody took.
#
# On [points in the plane](diffusion_from_the_equations.py) this works. This chapter prepares the
# machine for pictures, and the [next one](training_on_flowers.py) trains it.
#
# !!! abstract "What you will learn"
#     - How to mix any picture with any amount of noise.
#     - Why signal and noise are mixed on a circle.
#     - How to read a U-Net, the network that sees through the noise, layer by layer.
#
# ## A flower to drown

# %% alt="A flower" caption="The picture that is going to drown."
import imagegen

import matplotlib.pyplot as plt
import numpy as np

images, labels, names = imagegen.datasets.flowers(split="test")
chosen = list(labels).index(names.index("corn poppy"))
imagegen.show(images[chosen])

# %% [markdown]
# A pixel is three numbers from 0 to 255: red, green and blue. The noise that we want to add is
# *Gaussian*: each of its numbers is drawn from the normal distribution, with mean 0 and
# variance 1. The variance is the mean squared distance from the mean, and it says how strongly
# something varies. To mix pictures and noise on equal terms, we first bring the pictures to the same
# mean and variance. This is called *normalizing*:
#
# $$\text{image} = \frac{\text{pixel} - \text{mean}}{\text{deviation}}$$
#
# The deviation is the square root of the variance. There is one mean and one deviation for each
# colour.

# %%
mean, deviation = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
normalized = ((images - mean) / deviation).astype("float32")

print(f"before: mean {images.mean():6.1f}, variance {images.var():7.1f}")
print(
    f"after:  mean {abs(normalized.mean()):6.1f}, variance "
    f"{normalized.var():7.1f}"
)

# %% tags=["hide"]
assert abs(normalized.mean()) < 1e-3
assert abs(normalized.var() - 1) < 1e-3

# %% [markdown]
# ## The forward process
#
# Mixing a picture with noise takes one line. The random numbers have the picture's shape, and they
# are called the *noise mask*:
#
# $$\text{noisy} = \text{signal rate} \cdot \text{image} + \text{noise rate} \cdot \text{mask}$$
#
# How much there is of each depends on the *diffusion time* $t$. It runs from 0 to 1. At time 0 the
# mixture is nearly all picture, and at time 1 it is nearly all noise. A *schedule* says which two
# rates belong to a time. In formulas, the signal rate is $s_t$ and the noise rate $n_t$. (In the chain of the
# last chapter they were $\sqrt{\bar\alpha_t}$ and $\sqrt{1 - \bar\alpha_t}$.) We take the package's schedule, and
# look inside it below.

# %%
schedule = imagegen.CosineSchedule()

times = np.array([0, 0.2, 0.4, 0.6, 0.8, 1], "float32").reshape(6, 1, 1, 1)
noise_rates, signal_rates = (np.asarray(rates) for rates in schedule(times))

image = normalized[chosen]
mask = np.random.default_rng(0).standard_normal(image.shape, "float32")
noisy = signal_rates * image + noise_rates * mask

for time, signal, noise in zip(
    times.flat, signal_rates.flat, noise_rates.flat, strict=True
):
    print(
        f"time {time:.1f}: {signal:.2f} of the image, {noise:.2f} of the mask"
    )

# %% [markdown]
# NumPy mixes the one picture six times over, once for each pair of rates. To look at the results,
# we undo the normalizing.


# %% tags=["hero"] alt="The same flower under more and more noise; at time 1 only noise is seen." caption="The same noise, ever more of it."
def to_pixels(image):
    """Undo the normalizing, and clip to what a screen can show."""
    return imagegen.to_uint8(mean + deviation * image, value_range=(0, 255))


titles = [f"time {time:.1f}" for time in times.flat]
imagegen.show(to_pixels(noisy), titles=titles, columns=3, scale=2)

# %% [markdown]
# At which time do you lose the flower? This is the *forward process*: from picture to noise. It needs
# no network and no learning. Any time is reached in one jump, without the times before it.
#
# The rates look odd. They don't sum to 1. At time 0 there is already some noise, and at time 1 there is
# still a trace of signal. None of this is an accident.
#
# ## Why the squares sum to 1
#
# How strong is the mixture? Picture and mask have nothing to do with each other, so their variances add up.
# A factor counts squared in a variance. Both variances are 1, and so
#
# $$\operatorname{Var}(\text{noisy}) = \text{signal rate}^2 + \text{noise rate}^2.$$
#
# Let us measure it on all pictures at once, for three ways to mix:
#
# - *on a circle*, as the schedule does;
# - *on a line*: the signal rate is $1 - t$, the noise rate $t$;
# - *on top*: the picture stays whole, and noise is added.

# %%
rng = np.random.default_rng(1)
masks = rng.standard_normal(normalized.shape, "float32")
measured_times = np.linspace(0, 1, 11, dtype="float32")
circle_noise, circle_signal = (
    np.asarray(rates) for rates in schedule(measured_times)
)
mixtures = {
    "on a circle": (circle_signal, circle_noise),
    "on a line": (1 - measured_times, measured_times),
    "on top": (np.ones(11), measured_times),
}
variances = {
    name: [
        np.var(np.float32(signal) * normalized + np.float32(noise) * masks)
        for signal, noise in zip(signals, noises, strict=True)
    ]
    for name, (signals, noises) in mixtures.items()
}

# %% tags=["fold"] alt="Variance against time: flat at 1 on a circle, down to a half on a line, up to 2 on top." caption="Only on a circle does the variance stay 1."
figure, axes = plt.subplots(figsize=(5.2, 3.2))
for (name, values), color in zip(
    variances.items(), ("tab:blue", "tab:orange", "gray"), strict=True
):
    axes.plot(measured_times, values, "o-", color=color, label=name)
axes.set(
    title="How strong is the mixture?",
    xlabel="diffusion time",
    ylabel="measured variance",
)
axes.set_ylim(0, 2.1)
axes.legend()
plt.show()

# %% tags=["hide"]
np.testing.assert_allclose(variances["on a circle"], 1, atol=0.02)
np.testing.assert_allclose(variances["on a line"][5], 0.5, atol=0.02)
np.testing.assert_allclose(variances["on top"][10], 2, atol=0.02)

# %% [markdown]
# Only the circle keeps the variance at 1. On a line, half of it is lost midway. On top, it
# doubles.
#
# Why does it matter? A network learns best from inputs of one size. On the circle its input has
# variance 1 at *every* time. And at time 1 the mixture is as strong as pure noise, so that
# generating may begin with pure noise. A schedule that does this is called *variance
# preserving*.
#
# ## The cosine schedule
#
# Two numbers whose squares sum to 1 are the cosine and the sine of some angle $\varphi$. So let the
# angle grow evenly with time:
#
# $$\text{signal rate} = \cos\varphi(t), \quad \text{noise rate} = \sin\varphi(t), \quad
# \varphi(t) = \varphi_0 + t \, (\varphi_1 - \varphi_0)$$
#
# We choose the signal rates at both ends, 0.95 and 0.02. Their angles are the arccosines:
#
# $$\varphi_0 = \arccos 0.95, \quad \varphi_1 = \arccos 0.02$$

# %%
start, end = np.arccos([0.95, 0.02])
print(
    f"from {start:.3f} to {end:.3f}, which is {np.degrees(start):.1f} to "
    f"{np.degrees(end):.1f} degrees"
)

# %% [markdown]
# The package does just that. Where code says it best, we read the package's own:
#
# ```source
# imagegen.CosineSchedule.__call__
# ```
#
# Plotted against time, the signal falls, the noise rises, and the *power sum*, the sum of their
# squares, stays 1.

# %% tags=["fold"] alt="Signal rate falling from 0.95 to 0.02, noise rate rising from 0.31 to 1, and their power sum, 1." caption="The two rates of the cosine schedule over time."
fine = np.linspace(0, 1, 101, dtype="float32")
noise, signal = (np.asarray(rates) for rates in schedule(fine))

figure, axes = plt.subplots(figsize=(5.2, 3.2))
axes.plot(fine, signal, color="tab:blue", label="signal rate")
axes.plot(fine, noise, color="tab:orange", label="noise rate")
axes.plot(fine, signal**2 + noise**2, "--", color="gray", label="power sum")
axes.set(title="The cosine schedule", xlabel="diffusion time", ylim=(0, 1.1))
axes.legend(loc="lower left", bbox_to_anchor=(0.08, 0))
plt.show()

# %% tags=["hide"]
np.testing.assert_allclose(signal**2 + noise**2, 1, atol=1e-6)
np.testing.assert_allclose(signal[[0, -1]], [0.95, 0.02], atol=1e-6)
np.testing.assert_allclose(noise[0], 0.3122, atol=1e-3)
np.testing.assert_allclose(
    np.arctan2(noise, signal)[[0, -1]], [start, end], atol=1e-5
)
assert (np.diff(noise) > 0).all()
assert (np.diff(signal) < 0).all()

# %% [markdown]
# Plotted against each other, the rates walk along a circle, in equal steps:

# %% tags=["fold"] alt="Eleven points along a quarter circle, from the right at time 0 up to the top at time 1." caption="The same schedule as a walk along a quarter circle."
figure, axes = plt.subplots(figsize=(4.2, 4.2))
arc = np.linspace(0, np.pi / 2, 101)
axes.plot(np.cos(arc), np.sin(arc), color="lightgray")
axes.plot(signal, noise, color="tab:blue")
axes.plot(circle_signal, circle_noise, "o", color="tab:blue")
for time, x, y in zip(
    measured_times[::5], circle_signal[::5], circle_noise[::5], strict=True
):
    axes.plot([0, x], [0, y], color="lightgray", linewidth=1, zorder=0)
    axes.annotate(
        f"time {time:.1f}", (x, y), xytext=(7, 7), textcoords="offset points"
    )
axes.set(
    title="Eleven times on the circle",
    xlabel="signal rate",
    ylabel="noise rate",
    xlim=(0, 1.2),
    ylim=(0, 1.2),
    aspect="equal",
)
plt.show()

# %% [markdown]
# Why does the walk stop short of both ends? At the top the signal rate would be 0. A mixture
# without signal says nothing about the picture, and we divide by the signal rate soon. At 0.02,
# the signal has $0.02^2 = 0.0004$ of the power: too little to see, enough to divide by. At the other
# end, a network that removes noise learns little where there is none. So even the cleanest
# mixture, at time 0, has a noise rate of 0.31. These ends are a choice, not a law. The model of
# [Flowers from noise](flowers_from_noise.py) takes 0.999 instead of 0.95.
#
# Other schedules take other ways. Here is one flower under ten of the package's. Move the time, and see
# how early each of them drowns it. [A page of their
# own](../explore/schedules.md) says what they are made for, and so do the chapters that use them.
#
# <div data-exhibit="schedules"></div>
#
# ## What the network is asked
#
# The network gets two things: the noisy picture, and the noise rate. It predicts the noise mask.
#
# Why is it told the noise rate? Because speckles can be faint noise or strong texture. Knowing how much noise
# there is means knowing how much to look for.
#
# Why does it predict the mask, and not the picture? Either will do. Once the mask is known, the
# picture follows from the formula of the mixture, solved for the image:
#
# $$\text{image} = \frac{\text{noisy} - \text{noise rate} \cdot \text{mask}}{\text{signal rate}}$$
#
# In the package an object, a *prediction*, says what the output of a network stands for, and how the picture
# follows from it. This one is for noise:
#
# ```source
# imagegen.NoisePrediction.denoised
# ```
#
# Here `output` is what the network says. If it gave the true mask, the picture would come back whole from
# any time:

# %%
prediction = imagegen.NoisePrediction()
recovered = prediction.denoised(noisy, mask, noise_rates, signal_rates)
print(f"largest error: {np.abs(recovered - image).max():.6f}")

# %% tags=["hide"]
np.testing.assert_allclose(
    recovered, np.broadcast_to(image, recovered.shape), atol=1e-3
)

# %% [markdown]
# No network is perfect. What if its mask is a little wrong? We add an error with a deviation of 0.1
# to the true mask, the same error at each time, and look at the pictures that follow.

# %% alt="Six estimates of the flower. They are nearly perfect up to time 0.6, grainy at 0.8, and all noise at time 1." caption="What can still be seen at each time."
error = 0.1 * rng.standard_normal(image.shape, "float32")
estimates = prediction.denoised(noisy, mask + error, noise_rates, signal_rates)
errors = (estimates - image).std(axis=(1, 2, 3))
titles = [
    f"time {t:.1f}: error {e:.2f}"
    for t, e in zip(times.flat, errors, strict=True)
]
imagegen.show(to_pixels(estimates), titles=titles, columns=3, scale=2)

# %% tags=["hide"]
np.testing.assert_allclose(
    errors, (0.1 * noise_rates / signal_rates).ravel(), rtol=0.05
)
np.testing.assert_allclose(
    (noise_rates / signal_rates).ravel()[[0, -1]], [0.33, 50], rtol=0.01
)

# %% [markdown]
# The error in the picture is the error in the mask times noise rate over signal rate. At time 0
# this factor is 0.33, and at time 1 it is 50. No wonder: nobody can make out a picture in pure noise. That
# is why pictures are made in many small steps, each of which corrects the one
# before.
#
# ## A network in the shape of a U
#
# Which network can see through the noise? It has to meet three demands.
#
# 1. What it returns, a noise mask, is as large as what it gets, a picture.
# 2. It has to see the whole. Whether a speckle is noise depends on what is around it.
# 3. It has to keep every detail. The mask is nothing but detail.
#
# To see the whole, networks make pictures smaller: in a picture of 8 x 8, each pixel stands for a
# whole region. But does the third demand survive that? Let us squeeze a flower and a noise mask
# through 8 x 8 pixels. *Average pooling* replaces a square of pixels by their mean. *Bilinear
# upsampling* makes a picture larger again, blending neighbours evenly.

# %% alt="The flower, the blurred flower, and the lost detail; below, the noise mask, which turns into flat grey, so that all of it is lost." caption="What averaging keeps of a picture, above, and of noise, below."
import keras

shrink = keras.layers.AveragePooling2D(8)
enlarge = keras.layers.UpSampling2D(8, interpolation="bilinear")

originals = np.stack([image, mask])
squeezed = keras.ops.convert_to_numpy(enlarge(shrink(originals)))
lost = originals - squeezed

rows = np.stack([originals, squeezed, lost], axis=1).reshape(6, 64, 64, 3)
imagegen.show(
    imagegen.to_uint8(rows, value_range=(-2.5, 2.5)),
    titles=[
        f"{name}{part}"
        for name in ("flower", "mask")
        for part in ("", ": 8 x 8", ": lost")
    ],
    columns=3,
    scale=2,
)
kept = squeezed.var(axis=(1, 2, 3)) / originals.var(axis=(1, 2, 3))
print(
    f"variance kept: {kept[0]:.0%} of the flower's, {kept[1]:.1%} of the mask's"
)

# %% tags=["hide"]
assert kept[0] > 0.3
assert kept[1] < 0.02

# %% [markdown]
# The flower survives as a blur. The mask does not survive at all: 64 random numbers are replaced by
# their mean, and the mean of noise is nearly 0. A network that has to say where the noise is can't send
# everything through so few pixels.
#
# The way out is simple. Go down to few pixels, and up again. But keep what was there on the way down, and
# hand it over, at the same size, on the way up. These shortcuts are called *skip connections*. They carry
# the detail, while the bottom sees the whole. Drawn on paper, the network is a U, and so it is called a
# [*U-Net*](https://arxiv.org/abs/1505.04597). It was born in 2015 for another purpose:
# segmentation, which says of each pixel of a microscope's picture whether it belongs to a cell.
# There, too, the answer is as large as the question, and every pixel counts.
#
# ## The U-Net, drawn from its own shapes

# %%
network = imagegen.UNet(image_size=64, widths=[32, 64, 96, 128], block_depth=2)
print(f"{network.count_params():,} parameters")

# %% tags=["hide"]
assert network.count_params() == 1_943_525

# %% [markdown]
# The picture has 64 x 64 pixels. The *widths* say how many channels each stage has: how many numbers
# it keeps for each pixel. There are four stages, each half as high and wide as the one before:
# 64, 32, 16 and 8. A picture of 128 pixels would end at 16. Each stage runs two blocks, the
# `block_depth`. A *parameter* is a number that training adjusts. The count includes a few, such as running
# means, that are only kept up to date.
#
# The next figure asks the network itself for the shapes. Each box is what one block returns. Its
# front is as high as the picture, and as wide as it has channels, all on one scale.

# %% tags=["fold"] alt="A U of fourteen boxes: down from 64 by 64 pixels with 32 channels to 8 by 8 with 128 channels, and up again, with six arrows across." caption="The U-Net: fourteen blocks, and six skips across."
from matplotlib.colors import to_rgb

# The last layer of each block is an addition.
shapes = [
    layer.output.shape[1:]
    for layer in network.layers
    if isinstance(layer, keras.layers.Add)
]
sizes = sorted({height for height, _, _ in shapes}, reverse=True)
half = shapes.index(min(shapes))
down, up = shapes[:half], shapes[-half:]
middle = shapes[half:-half]

PAPER, GAP = 292, 8
BLUE, PURPLE, ORANGE, GRAY = "#4c78a8", "#8f6bb3", "#e08a3c", "#666666"

figure = plt.figure(figsize=(5.2, 7.4))
axes = figure.add_axes((0.01, 0.005, 0.98, 0.99))
axes.set_axis_off()


def extent(shape):
    """Width of a box's front, and how far it reaches back."""
    height, _, channels = shape
    return 0.35 * channels, 0.22 * height


def box(x, y, shape, color):
    """Draw a block's output, its lower left corner at x, y."""
    height = shape[0]
    width, back = extent(shape)
    front = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    behind = [(x + back, y + back) for x, y in front]
    faces = [
        front,
        [front[3], front[2], behind[2], behind[3]],
        [front[1], behind[1], behind[2], front[2]],
    ]
    for corners, white in zip(faces, (0, 0.45, 0.25), strict=True):
        shade = [white + (1 - white) * part for part in to_rgb(color)]
        axes.fill(
            *zip(*corners, strict=True),
            facecolor=shade,
            edgecolor="white",
            linewidth=0.8,
        )


def stage(blocks, y, color, *, left=None, right=None):
    """Draw a stage's boxes side by side. Return where each begins and ends."""
    widths = [sum(extent(shape)) for shape in blocks]
    total = sum(widths) + GAP * (len(blocks) - 1)
    x = left if right is None else right - total
    axes.text(
        x + total / 2,
        y - 5,
        " x ".join(map(str, blocks[0])),
        ha="center",
        va="top",
    )
    places = []
    for shape, width in zip(blocks, widths, strict=True):
        box(x, y, shape, color)
        places.append((x, x + width))
        x += width + GAP
    return places


def arrow(start, end):
    """Draw an arrow behind the boxes."""
    style = {
        "arrowstyle": "-|>",
        "color": GRAY,
        "shrinkA": 0,
        "shrinkB": 0,
        "linewidth": 1.2,
    }
    axes.annotate("", end, start, arrowprops=style, zorder=0)


y = 310
for index, size in enumerate(sizes[:-1]):
    y -= 1.22 * size
    downs = stage([s for s in down if s[0] == size], y, BLUE, left=25 * index)
    ups = stage(
        [s for s in up if s[0] == size], y, ORANGE, right=PAPER - 25 * index
    )
    for level, (begins, ends) in enumerate(
        zip(downs, reversed(ups), strict=True)
    ):
        height = y + size * (0.75 - 0.4 * level)
        arrow((begins[1] - 3, height), (ends[0] - 1, height))
    arrow((downs[-1][1] - 2, y - 19), (downs[-1][1] - 2, y - 40))
    arrow((ups[0][0] + 2, y - 40), (ups[0][0] + 2, y - 19))
    y -= 45
y -= 1.22 * sizes[-1]
stage(middle, y, PURPLE, right=PAPER / 2 + sum(extent(middle[0])) + GAP / 2)

for x, text, color in (
    (60, "down", BLUE),
    (146, "middle", PURPLE),
    (232, "up", ORANGE),
):
    axes.text(x, y - 34, text, ha="center", color=color, weight="bold")
for x, text in ((60, "↓ pooling"), (146, "→ skip"), (232, "↑ upsampling")):
    axes.text(x, y - 46, text, ha="center", color=GRAY)

level = np.full((64, 64, 3), np.uint8(255 * noise_rates[3, 0, 0, 0]))
for x, picture, text in (
    (0, to_pixels(noisy[3]), "noisy picture\n64 x 64 x 3"),
    (80, level, "noise rate\n64 x 64 x 1"),
    (
        PAPER - 64,
        imagegen.to_uint8(mask, value_range=(-3, 3)),
        "noise mask\n64 x 64 x 3",
    ),
):
    axes.imshow(picture, extent=(x, x + 64, 345, 409), interpolation="nearest")
    axes.text(x + 32, 413, text, ha="center", va="bottom")
arrow((24, 341), (24, 314))
arrow((100, 341), (34, 316))
arrow((PAPER - 24, 312), (PAPER - 24, 341))
axes.set(xlim=(-2, PAPER + 2), ylim=(y - 52, 436), aspect="equal")
plt.show()

# %% tags=["hide"]
assert down == [(64, 64, 32)] * 2 + [(32, 32, 64)] * 2 + [(16, 16, 96)] * 2
assert middle == [(8, 8, 128)] * 2
assert up == down[::-1]
assert network.output.shape == (None, 64, 64, 3)

# %% [markdown]
# Follow a picture through it.
#
# - On the way *down* (blue), a stage is two blocks, and then average pooling halves the picture.
#   Fewer pixels leave room for more channels.
# - In the *middle* (violet), each of the 8 x 8 places knows its surroundings.
# - On the way *up* (orange), bilinear upsampling doubles the picture. Before each block, what comes
#   from below is *concatenated*, channel by channel, with what its twin on the way down left there. What was
#   left last is taken first.
#
# Where are the parameters, and where is the work? A *convolution* slides a small window over the
# picture, and multiplies what it sees with its *kernel*. It does so at every pixel, so its work is
# the size of the kernel times the number of pixels.

# %%
from IPython.display import Markdown

rows = ["| pixels | parameters | multiplications |", "|---|---|---|"]
work, weights = {}, {}
for layer in network.layers:
    size = layer.output.shape[1]
    weights[size] = weights.get(size, 0) + layer.count_params()
    if isinstance(layer, keras.layers.Conv2D):
        work[size] = work.get(size, 0) + size**2 * int(
            np.prod(layer.kernel.shape)
        )
for size, multiplications in work.items():
    rows.append(
        f"| {size} x {size} | {weights[size]:,} | {multiplications / 1e6:.0f} "
        "million |"
    )
Markdown("\n".join(rows))

# %% tags=["hide"]
assert sum(weights.values()) == network.count_params()
assert weights[64] < 0.1 * network.count_params()
assert work[64] == max(work.values())
assert work[64] > 5 * work[8]
assert 1.0e9 < sum(work.values()) < 1.15e9

# %% [markdown]
# At the top there is little to learn and much to compute. At the bottom it is the other way round:
# there, parameters are cheap. In sum, one look at one small picture takes about 1.1 billion
# multiplications. A picture takes many looks, and that is why pictures take time.
#
# ## A residual block
#
# All fourteen boxes are made by one function. A *residual* block does not replace its input. It
# computes a correction, and adds it.
#
# ```source
# imagegen.unet._residual_block
# ```
#
# Line by line:
#
# 1. The input goes past the block on the side. Adding needs equal widths. Where the widths differ, a
#    1 x 1 convolution, which looks at single pixels, brings the input to the new one.
# 2. The input is normalized. In the network of
#    [*Deep Learning with Python*](sources.md), which this one follows, it is
#    [*batch normalization*](https://arxiv.org/abs/1502.03167): each channel is brought to mean 0 and
#    variance 1 over all pictures of a *batch*, the pictures that are trained on at once. Usually the
#    layer then learns a new centre and a new scale. Here it does not, because the convolution
#    that follows can do that itself. When the network generates, it uses averages of the means and
#    variances that it met in training. (The lines on an `embedding` are for the larger network of
#    [Flowers from noise](flowers_from_noise.py#what-is-different-in-the-preset). There is no `dropout`
#    unless you ask for it.)
# 3. Two 3 x 3 convolutions look at each pixel and its neighbours. The first is followed by *swish*,
#    $x / (1 + e^{-x})$: it lets large numbers pass, stops very negative ones, and is smooth in
#    between. Without such a bend, two convolutions could do no more than one.
# 4. The correction is added to the input.
#
# Why add? A block that has nothing to say lets its input pass. And in training, the gradient finds a short
# way back through the additions, however many blocks there are.

# %% tags=["hide"]
norms = [
    layer
    for layer in network.layers
    if isinstance(layer, keras.layers.BatchNormalization)
]
assert len(norms) == len(shapes) == 14
assert not any(norm.trainable_weights for norm in norms)
assert all(norm.non_trainable_weights for norm in norms)
blocks_with_side = [
    layer
    for layer in network.layers[3:-1]
    if getattr(layer, "kernel_size", 0) == (1, 1)
]
assert len(blocks_with_side) == 10

# %% [markdown]
# ## How the network is told the noise rate
#
# The noise rate is one number, and the network works on pictures. So the number is made a picture:
# upsampled to 64 x 64 equal pixels. It becomes one more channel, beside the 32 that a first
# 1 x 1 convolution has made of the noisy picture.

# %%
rate_map = keras.layers.UpSampling2D(64)(noise_rates[3:4])
first = next(
    layer
    for layer in network.layers
    if isinstance(layer, keras.layers.Concatenate)
)

print(
    "a noise rate:", noise_rates[3:4].shape, "upsampled:", tuple(rate_map.shape)
)
print(
    "channels:    ",
    [tensor.shape[-1] for tensor in first.input],
    "concatenated:",
    first.output.shape[-1],
)

# %% tags=["hide"]
assert tuple(rate_map.shape) == (1, 64, 64, 1)
assert np.ptp(keras.ops.convert_to_numpy(rate_map)) == 0
assert [tensor.shape[-1] for tensor in first.input] == [32, 1]

# %% [markdown]
# ## The first guess: no noise
#
# The last layer is a 1 x 1 convolution again, to the three colours. Its kernel starts as zeros. So an
# untrained network says the same to every picture: "there is no noise".

# %%
guess = keras.ops.convert_to_numpy(network([noisy, noise_rates]))
print(f"smallest and largest output: {guess.min()}, {guess.max()}")
print(f"mean absolute error: {np.abs(mask - guess).mean():.3f}")
print(f"mean squared error:  {np.square(mask - guess).mean():.3f}")

# %% tags=["hide"]
assert guess.shape == (6, 64, 64, 3)
assert not guess.any()
np.testing.assert_allclose(np.abs(mask).mean(), np.sqrt(2 / np.pi), atol=0.02)
np.testing.assert_allclose(np.square(mask).mean(), 1, atol=0.04)

# %% [markdown]
# It is a calm start. A random last layer would begin with loud mistakes, and training would spend its first
# steps on unlearning them. It also tells us how wrong a network that knows nothing is. The mean absolute error is that of the normal distribution, $\sqrt{2 / \pi}
# \approx 0.798$, and the mean squared error is its variance, 1. A network that has learnt anything is
# below these.
#
# ## What we have learnt
#
# - A noisy picture is signal rate times image plus noise rate times mask. The diffusion time, from 0
#   to 1, says how far the picture has drowned.
# - The squares of the rates sum to 1, so the mixture has variance 1 at every time. The cosine
#   schedule walks along a circle, between the signal rates 0.95 and 0.02.
# - The network is told the noise rate and predicts the mask. The picture follows, and the less
#   signal there is, the more an error in the mask weighs.
# - A U-Net goes down to see the whole and up to answer pixel by pixel. Skip connections carry the
#   detail past the bottom.
# - Its residual blocks add corrections to what passes, and its first guess is "no noise".
#
# ## Exercises
#
# **1.** Take `CosineSchedule(max_signal_rate=0.999)`. How does time 0 look now, and what becomes of the
# factor by which an error in the mask counts there?

# %% tags=["solution"] alt="The flower at time 0 of two schedules: grainy, and nearly clean"
finer = imagegen.CosineSchedule(max_signal_rate=0.999)
start_rates = [rates(np.float32(0)) for rates in (schedule, finer)]
start_rates = [(float(noise), float(signal)) for noise, signal in start_rates]
starts = [signal * image + noise * mask for noise, signal in start_rates]
titles = [f"factor {noise / signal:.3f}" for noise, signal in start_rates]
imagegen.show(to_pixels(np.stack(starts)), titles=titles, columns=2, scale=2)

# %% tags=["hide", "solution"]
assert (
    start_rates[1][0] / start_rates[1][1]
    < 0.05
    < start_rates[0][0] / start_rates[0][1]
)

# %% [markdown]
# **2.** At which time are signal and noise equally strong? Find it by the formula of the schedule, and check.

# %% tags=["solution"]
middle = (np.pi / 4 - start) / (end - start)
noise_rate, signal_rate = (float(rate) for rate in schedule(np.float32(middle)))
print(
    f"time {middle:.3f}: signal rate {signal_rate:.4f}, noise rate "
    f"{noise_rate:.4f}"
)

# %% [markdown] tags=["solution"]
# Cosine and sine are equal at 45 degrees, and the angle grows evenly with time. So the time is
# $(\pi/4 - \varphi_0) / (\varphi_1 - \varphi_0)$. It comes before the middle, because the walk begins 18
# degrees late and ends one degree early.

# %% tags=["hide", "solution"]
np.testing.assert_allclose(noise_rate, signal_rate, atol=1e-4)
assert middle < 0.5

# %% [markdown]
# **3.** Double all widths of the U-Net. How many times the parameters does it have, and why not twice as many?

# %% tags=["solution"]
double = imagegen.UNet(image_size=64, widths=[64, 128, 192, 256], block_depth=2)
print(
    f"{double.count_params():,}, "
    f"{double.count_params() / network.count_params():.2f} times as many"
)

# %% [markdown] tags=["solution"]
# A kernel joins every channel that comes in with every channel that goes out. Twice as many on both sides
# are four times the weights. Only what reads the picture and what writes the mask grows by less.

# %% tags=["hide", "solution"]
assert 3.9 < double.count_params() / network.count_params() < 4

# %% [markdown]
# Next: [Training on flowers](training_on_flowers.py), where the network learns. In the reference:
# [CosineSchedule][imagegen.CosineSchedule], [NoisePrediction][imagegen.NoisePrediction],
# [UNet][imagegen.UNet], [show][imagegen.show] and [to_uint8][imagegen.to_uint8].
