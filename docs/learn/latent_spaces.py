# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown] needs=["before_you_begin"]
# # Latent spaces
#
# A picture of a handwritten digit has 784 pixels. This chapter trains a network that packs such a
# picture into two numbers, and a second network that unpacks it again. Two numbers are a point on
# a map. Every point of that map unpacks to a digit, even where no digit was packed. That is how new
# pictures come about.
#
# !!! abstract "What you will learn"
#     - What a latent space is, and why generating pictures means learning one.
#     - How a variational autoencoder works, and what each half of its loss is for.
#     - How to write such a model in Keras, train it, and measure it on held-out digits.
#     - How to find new digits between the old ones, and directions that mean something.
#
# ## Why generate pictures?
#
# Nearly all possible pictures are noise: choose each pixel at random, and you will never see a face, a
# flower or a digit. The pictures that mean something are few, and they are alike in many ways. A model
# that has learnt those ways can describe such a picture in a few numbers. The
# space of these numbers is called a **latent space**. *Latent* means hidden: nobody ever sees the
# numbers in a photograph.
#
# To generate pictures is to learn a latent space of few dimensions, any point of which maps to a
# valid picture. The network that does the mapping is called a *generator* or a *decoder*. Give it a
# new point and it returns a picture that was never seen before, something in between the pictures
# it learnt from. Nothing in this is special to pictures. Sounds and music have latent spaces too.
#
# The map can also be steered by words. **Text to image** puts a second space beside the first, the
# space of prompts, and learns to map it to the latent space. Then you can ask for combinations that
# nobody has made before.
#
# There are limits. A latent space interpolates between pictures; it holds no consistent model of
# the world. So hands grow a sixth finger, objects run into each other, and shadows fall towards the
# lamp. How to make a whole picture coherent is still open.
#
# ### Three families
#
# - **Variational autoencoders** (VAEs) learn an encoder and a decoder together. This chapter builds
#   one.
# - **Generative adversarial networks** (GANs) let a generator play against a critic. They are hard
#   to train. Their pictures vary less than the data, and sometimes the generator makes the same few
#   pictures again and again (*mode collapse*). They have faded out.
# - **Diffusion models** learn to remove noise, and make pictures out of nothing else. They have taken
#   over the field, and the chapters after this one are about them.
#
# ### A short history
#
# | year | what was new |
# |---|---|
# | 1987 | Autoencoders: networks that compress without a teacher |
# | 2010s | Deep autoencoders. What they compress must look like what they learnt from, and something is lost. They are rarely used |
# | December 2013, January 2014 | Two groups publish the VAE within weeks: [Kingma and Welling](https://arxiv.org/abs/1312.6114), and [Rezende, Mohamed and Wierstra](https://arxiv.org/abs/1401.4082) |
# | 2014 | [GANs](https://arxiv.org/abs/1406.2661) |
# | 2020 | [DDPM](https://arxiv.org/abs/2006.11239), the paper that makes diffusion work |
# | 2022 | DALL-E 2, Imagen, and Stable Diffusion, whose weights anyone may download |
#
# The earlier generators gave us shoes that don't exist, and deep fakes. That was interesting, and hard
# to control. What changed everything is text: you say what you want to see. Then came editing. A picture or
# a sketch is transformed as a sentence says (*image to image*). A part of it is replaced (*inpainting*), or
# it grows beyond its edges (*outpainting*), or it comes back in variations. A later part of the course does all this.
#
# ## The digits

# %%

import imagegen

import keras
import matplotlib.pyplot as plt
import numpy as np

keras.utils.set_random_seed(0)

train = imagegen.datasets.digits(split="train")
test = imagegen.datasets.digits(split="test")

print(
    f"{len(train.images):,} digits for training, and {len(test.images):,} held "
    "out to test"
)
print("Images:", train.images.shape, train.images.dtype)
print("Grey levels:", train.images.min(), "to", train.images.max())

# %% alt="The first 20 digits of the training set, with their labels" caption="Twenty digits and their labels."
imagegen.show(train.images[:20], titles=train.labels[:20], columns=10)

# %% [markdown]
# Each image is 28 x 28 grey levels from 0 to 255. The labels are only for looking at the result:
# the networks never see them.
#
# ## From the autoencoder to the VAE
#
# A classical **autoencoder** is two networks in a row. The *encoder* turns the image into a short
# code, the *decoder* turns the code back into an image. Both are trained together, and the target
# is the input itself: the image that comes out should equal the one that went in. The code is
# kept short, or sparse (most of its numbers zero), so that the networks can't just copy.
#
# It works, and it disappoints. As compression, JPEG is better. And the space of the codes is poorly
# structured. Digits end up wherever there was room, with gaps between them. Take a point in a gap,
# decode it, and what comes out is no digit. Yet the points *between* real samples are the ones we
# are after: they are the new pictures. What we need is continuity.
#
# The **variational autoencoder** gets it by a small change. The encoder doesn't give a point. It
# gives a normal distribution: a mean $\mu$ and the logarithm of a variance, $\log \sigma^2$, for
# each latent dimension. The code is drawn at random from this distribution:
#
# $$z = \mu + \exp\left(\tfrac{1}{2} \log \sigma^2\right) \epsilon, \qquad
# \epsilon \sim \mathcal{N}(0, 1)$$
#
# Here are the three, drawn with digits that the model of this chapter packs and unpacks:

# %% tags=["output"] alt="Three rows. A generator: a point in a plane goes through a decoder and becomes a digit. An autoencoder: a digit goes through an encoder, becomes a point, and goes through a decoder. A variational autoencoder: between the two there is a blot, from which a point is drawn." caption="A generator, an autoencoder and a variational autoencoder."
from matplotlib.patches import Ellipse, FancyBboxPatch

trained = imagegen.VAE.from_preset("digits-2d")
digit = test.images[0]
code = trained.encode(digit[None])[0][0]
unpacked = trained.decode([[1.2, -0.6], code, code + 0.1])

figure, axes = plt.subplots(figsize=(6.4, 4.6))


def network(x, y, name, color):
    axes.add_patch(
        FancyBboxPatch(
            (x, y - 0.45),
            1.7,
            0.9,
            boxstyle="round,pad=0.08",
            facecolor=color,
            edgecolor="none",
        )
    )
    style = {"ha": "center", "va": "center", "color": "#1b2a41"}
    axes.text(x + 0.85, y, name, weight="bold", **style)


def picture(x, y, image):
    extent = (x, x + 1.4, y - 0.7, y + 0.7)
    axes.imshow(image[..., 0], extent=extent, vmin=0, zorder=2)


def plane(y, name):
    x = np.array([4.55, 5.95, 5.95, 4.55, 4.55])
    axes.plot(x, y + np.array([-0.7, -0.7, 0.7, 0.7, -0.7]), "0.6", lw=1)
    axes.text(5.25, y - 1.05, name, ha="center", va="center", size=9)


def arrow(start, end, y):
    style = {"arrowstyle": "-|>", "color": "0.35", "linewidth": 1.5}
    axes.annotate("", (end, y), (start, y), arrowprops=style)


names = ["a point", "a code", "a draw from\nmean and deviation"]
for y, name, image in zip((6, 3.4, 0.8), names, unpacked, strict=True):
    plane(y, name)
    arrow(6.1, 6.75, y)
    network(6.95, y, "decoder", "#d8edd6")
    arrow(8.85, 9.5, y)
    picture(9.65, y, image)
for y in (3.4, 0.8):
    picture(0.2, y, digit)
    arrow(1.75, 2.2, y)
    network(2.4, y, "encoder", "#dbe7f6")
    arrow(4.25, 4.5, y)
axes.add_patch(Ellipse((5.15, 0.8), 0.8, 0.6, color="tab:orange", alpha=0.35))
dots = [(5.45, 5.8), (5.15, 3.4), (5.3, 0.9)]
axes.plot(*zip(*dots, strict=True), "o", color="tab:orange")
axes.set(xlim=(0, 11.2), ylim=(-0.6, 6.9), aspect="equal")
axes.axis("off")
plt.show()

# %% [markdown]
# The decoder has to make the same image of every point that may be drawn. So a whole neighbourhood
# of $\mu$ decodes to that image, or to very similar ones. Where two neighbourhoods overlap, the
# decoder must find something that serves both. That forces the space to be continuous. And with so
# few dimensions, each direction in it comes to mean something, such as the slant of a digit.
#
# The layer that draws is called `LatentSampler`. This is its source:
#
# ```source
# imagegen.LatentSampler.call
# ```
#
# Two things deserve a second look.
#
# **Why the half?** The noise has to be multiplied by the standard deviation $\sigma$, and the
# encoder gives the logarithm of its square. Half of the logarithm is the logarithm of the square
# root: $\exp(\tfrac12 \log \sigma^2) = \exp(\log \sigma) = \sigma$. Some published listings leave
# [the half out](sources.md#in-the-mathematics). They multiply by the variance, so they don't draw from the
# distribution that their loss is about. (Why a logarithm at all? A variance must be positive. Its logarithm
# may be any number, which is what a network gives.)
#
# **Where is the randomness?** A layer that draws random numbers keeps its state in a `SeedGenerator`. So
# each call draws new numbers, and the same seed gives the same ones again. The noise
# $\epsilon$ comes from outside. Seen from the loss, $z$ is a smooth function of $\mu$ and
# $\log\sigma^2$, so gradients flow through both. This is known as the *reparameterization trick*.
#
# A check. With $\sigma^2 = 4$, the samples have to spread by 2. Without the half it would be 4.

# %%
log_variance = np.full((100_000, 1), np.log(4.0))
samples = imagegen.LatentSampler(seed=0)(
    np.zeros_like(log_variance), log_variance
)
spread = keras.ops.convert_to_numpy(samples).std()
print(f"Standard deviation of 100,000 samples: {spread:.3f}")

# %% tags=["hide"]
assert abs(spread - 2) < 0.02

# %% [markdown]
# ## The two networks
#
# The encoder looks at the digit with two convolutions, 32 and then 64 filters of 3 x 3 pixels. Each
# moves in steps of two pixels (`strides=2`), so that each halves the image: 28, 14, 7. Networks
# that classify often shrink by pooling instead, which keeps the strongest response of a
# neighbourhood and forgets where it was. Here the place matters, because the decoder has to draw
# the stroke where it was. Strides keep that.
#
# Then everything is flattened to one long vector, a dense layer brings it to 16 numbers, and two
# *heads* read the mean and the log variance from them.

# %%
encoder = imagegen.digit_encoder(latent_dim=2)
encoder.summary()

# %% [markdown]
# The decoder goes back the same way: a dense layer of 7 x 7 x 64 numbers, then two *transposed
# convolutions*, which double the size, 7, 14, 28. The last convolution has one filter, the grey
# level, and a sigmoid, which gives a number from 0 to 1.

# %%
decoder = imagegen.digit_decoder(latent_dim=2)
decoder.summary()

# %% tags=["hide"]
assert encoder.count_params() == 69_076
assert decoder.count_params() == 65_089

# %% [markdown]
# `SubPixelConv2DTranspose` computes exactly what Keras's `Conv2DTranspose` computes, from the same
# weights. It is written such that its gradient is fast on a processor, too; the
# [reference](../api/layers.md) tells how.
#
# ## Two losses
#
# What should the networks be good at? Two things.
#
# **Reconstruction.** What comes out should be what went in. A grey level $x$ from 0 to 1 is read as
# a probability: this pixel is ink with probability $x$. The decoder gives its own probability
# $\hat x$. The *binary cross-entropy* is the average surprise of someone who believes $\hat x$
# when $x$ is true. It is summed over the pixels of an image:
#
# $$L_\text{reconstruction} = -\sum_i \left[ x_i \log \hat x_i
# + (1 - x_i) \log (1 - \hat x_i) \right]$$
#
# **Regularization.** The distributions must not drift apart. Each is pulled towards the same
# one, the normal distribution with mean 0 and variance 1, called the *prior*. The
# *Kullback-Leibler divergence* (KL) measures how far it is from there. For two normal
# distributions it has a closed form, summed over the latent dimensions:
#
# $$L_\text{KL} = -\tfrac{1}{2} \sum_j \left(1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2\right)$$
#
# Both count in *nats*, the unit of information that goes with the natural logarithm. A factor
# $\beta$ weighs the second:
#
# $$L = L_\text{reconstruction} + \beta \, L_\text{KL}$$
#
# With $\beta = 1$, the loss has a meaning of its own: it is an upper bound on how surprising the
# image is to the model, $-\log p(x)$. Its negative is the *evidence lower bound*, ELBO for short.
# [*Deep Learning with Python*](sources.md), the book that this chapter follows, takes the mean of the KL over the
# latent dimensions where the formula has a sum.
# That is $\beta = 1 / \text{latent dim}$, a half here. (This $\beta$ has nothing to do with the $\beta_t$ of
# diffusion: see [Notation](notation.md#letters-with-two-meanings).)

# %% alt="Left, the cross-entropy of a pixel against the decoder's probability, lowest where both agree. Right, the KL divergence against the mean and against the standard deviation, zero at mean 0 and at standard deviation 1" caption="What an answer costs, in nats."
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
probability = np.linspace(0.002, 0.998, 400)
for pixel in (0.0, 0.5, 1.0):
    cost = -(
        pixel * np.log(probability) + (1 - pixel) * np.log(1 - probability)
    )
    left.plot(probability, cost, label=f"x = {pixel:g}")
left.set(
    xlabel=r"the decoder's $\hat x$",
    ylabel="nats",
    title="Reconstruction, one pixel",
)
left.legend()
mean = np.linspace(-3, 3, 400)
right.plot(mean, 0.5 * mean**2, label=r"over $\mu$, at $\sigma = 1$")
deviation = np.linspace(0.02, 3, 400)
kl = -0.5 * (1 + np.log(deviation**2) - deviation**2)
right.plot(deviation, kl, label=r"over $\sigma$, at $\mu = 0$")
right.set(xlabel=r"$\mu$ or $\sigma$", ylabel="nats", title="KL, one dimension")
right.legend()
plt.show()

# %% [markdown]
# In Keras, a model with a loss of its own is a subclass of `keras.Model` that overrides
# `compute_loss(x, y, y_pred, sample_weight, training)`. One could override `train_step` instead.
# But each backend (JAX, TensorFlow, PyTorch) computes gradients in another way, so a `train_step`
# works on one of them; a `compute_loss` works on all. Here is what `VAE` computes. First, an image's
# way through the model, and then the loss:
#
# ```source
# imagegen.VAE.call
# ```
#
# ```source
# imagegen.VAE.compute_loss
# ```
#
# The two *trackers* are metrics, `keras.metrics.Mean`. They are attributes of the model, so `fit`
# and `evaluate` report them beside the loss, and set them back at the start of each epoch.
#
# ## Training for a moment
#
# The model takes images and gives images; there are no targets. So `compile` gets an optimizer and
# no loss, and `fit` gets the images and nothing else. We train only for a moment: three passes over
# 4,000 digits, which is 375 steps of 32 digits each. That takes seconds. It is far too short, but it shows
# how training goes.

# %%
some = train.images[:4000]
some_test, some_labels = test.images[:1000], test.labels[:1000]


def train_for_a_moment(beta):
    keras.utils.set_random_seed(0)
    vae = imagegen.VAE(
        imagegen.digit_encoder(), imagegen.digit_decoder(), beta=beta
    )
    vae.compile("adam")
    vae.fit(some, batch_size=32, epochs=3, verbose=0)
    losses = vae.evaluate(
        some_test, batch_size=200, verbose=0, return_dict=True
    )
    print(
        f"beta {beta:3}:",
        {name: round(value, 1) for name, value in losses.items()},
    )
    return vae


beginner = train_for_a_moment(beta=1)

# %% tags=["hide"]
beginner_loss = beginner.evaluate(
    some_test, batch_size=200, verbose=0, return_dict=True
)["loss"]
assert beginner_loss < 200

# %% [markdown]
# The first row below shows digits that the model has not seen in training. The second shows what
# becomes of them on the way through the two numbers.


# %% alt="Two rows of ten digits. Below each digit is its blurred reconstruction" caption="Through two numbers and back, after a moment of training."
def reconstruct(vae, images):
    mean, _ = vae.encode(images)
    return vae.decode(mean)


ten = imagegen.to_float(test.images[:10])
imagegen.show(
    np.concatenate([ten, reconstruct(beginner, test.images[:10])]), columns=10
)

# %% [markdown]
# Blurred, and some digits turn into others. Two numbers don't say much, and the training has hardly
# begun.
#
# ## What each loss does alone
#
# We can now ask what the two losses are for, by taking one away. With $\beta = 0$ only the
# reconstruction counts. With $\beta = 100$ the KL term is nearly all that counts. The dots are the
# means of the test digits, coloured by their labels. The circle holds nine tenths of the prior; note
# how different the scales are.


# %% alt="Three maps of the digits. With beta 0 they lie far outside of the circle. With beta 1 they share the circle. With beta 100 all digits lie in one dot at its centre" caption="Where digits are put by the two losses in three proportions. The scales differ."
def draw_map(axes, vae, images, labels):
    mean, _ = vae.encode(images)
    dots = axes.scatter(
        *mean.T, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=2
    )
    # Nine tenths of the prior are within sqrt(2 log 10) of its centre.
    axes.add_patch(
        plt.Circle((0, 0), np.sqrt(2 * np.log(10)), fill=False, linewidth=1)
    )
    axes.set_aspect("equal", adjustable="datalim")
    return dots


extremes = {
    0: train_for_a_moment(beta=0),
    1: beginner,
    100: train_for_a_moment(beta=100),
}
figure, panels = plt.subplots(1, 3, figsize=(9, 3.2))
for axes, (beta, vae) in zip(panels, extremes.items(), strict=True):
    draw_map(axes, vae, some_test, some_labels)
    axes.set_title(rf"$\beta = {beta}$")
plt.show()

# %% alt="Three rows of ten reconstructions. With beta 0 they are digits. With beta 1 they are digits. With beta 100 all ten are the same grey blot" caption="What becomes of ten digits with beta 0, 1 and 100."
imagegen.show(
    np.concatenate(
        [reconstruct(vae, test.images[:10]) for vae in extremes.values()]
    ),
    columns=10,
)

# %% tags=["hide"]
means = {beta: vae.encode(some_test)[0] for beta, vae in extremes.items()}
assert means[0].std() > 1.5 * means[1].std()
assert means[100].std() < 0.1
assert np.ptp(reconstruct(extremes[100], test.images[:10]), axis=0).max() < 0.1

# %% [markdown]
# - **Reconstruction alone** ($\beta = 0$, left, and first row) is the classical autoencoder. Nothing
#   holds the digits together. They leave the circle, go wherever there is room, and make their noise
#   small. A point drawn from the prior lands where hardly any digit is.
# - **KL alone** ($\beta = 100$, right, and last row) puts every digit's distribution exactly on the
#   prior. All digits are the same to the decoder. It can only give the average of all of them.
# - **Both together** ($\beta = 1$, middle) are a bargain. The digits share the space of the prior as
#   closely as they can without being confused. So a point drawn from the prior will most likely
#   fall where some digit lives, and the decoder knows what to draw there.
#
# $\beta$ is a knob: higher values give smoother, more orderly maps and more blurred pictures.
#
# ## A well-trained model
#
# The classical recipe is 30 epochs on MNIST, in batches of 128, with the optimizer Adam. An *epoch*
# goes through all images once. The book uses all 70,000 digits. Here the 10,000 test digits are
# left out, so that we can measure how well the model does on digits it has never seen. Trained
# weights come with the package as a *preset*. They were made by `recipes/digits.py`: the same two
# networks, the 60,000 training digits, 20 epochs in batches of 32, and a learning rate that falls to
# zero.

# %%
vae = imagegen.VAE.from_preset("digits-2d")
vae.compile()
losses = vae.evaluate(test.images, batch_size=128, verbose=0, return_dict=True)
print(
    {name: round(value, 1) for name, value in losses.items()},
    "nats per test digit",
)

# %% tags=["hide"]
assert losses["loss"] < 147
assert losses["loss"] < beginner_loss - 10

# %% [markdown]
# Of these nats, the KL part is what the two numbers tell about a digit. The rest is what two numbers
# can't tell.

# %% alt="Two rows of ten digits. Below each digit is its reconstruction by the preset" caption="Through two numbers and back, after full training."
imagegen.show(
    np.concatenate([ten, reconstruct(vae, test.images[:10])]), columns=10
)

# %% [markdown]
# ## The map of digits
#
# Where did the encoder put the test digits? It has never seen a label, and yet each class has a country of
# its own.

# %% alt="Scatter plot of the test digits in the latent plane. Each of the ten classes forms a cluster of its own, some wedge-shaped around the centre" caption="Each class has a country of its own."
figure, axes = plt.subplots(figsize=(6.4, 5.6))
dots = draw_map(axes, vae, test.images, test.labels)
axes.set(xlabel="first latent dimension", ylabel="second latent dimension")
figure.colorbar(dots, ticks=range(10), label="digit")
plt.show()

# %% [markdown]
# Now the other way round. We lay a grid of 30 x 30 points over the square from -1 to 1, and decode all 900
# in one call. None of these digits exists in the data. Neighbours are alike, and on the way
# from one class to the next there is always some shape in between.

# %% alt="A grid of 30 by 30 digits, decoded from the square from minus one to one, changing smoothly from each to the next" caption="The middle of the map."
points = imagegen.latent_grid(30, limit=1.0)
decoded = vae.decode(points)
imagegen.show(imagegen.grid(decoded, columns=30, padding=0), scale=1)

# %% tags=["hide"]
assert decoded.shape == (900, 28, 28, 1)
tiles = decoded.reshape(30, 30, -1)
neighbours = np.abs(np.diff(tiles, axis=1)).mean()
strangers = np.abs(tiles - tiles[::-1, ::-1]).mean()
assert neighbours < strangers / 4

# %% [markdown]
# The square shows the middle of the map in detail. The prior reaches further out, to about 3. A grid
# that covers it fairly is dense in the middle and sparse at the edge, so that the same share of the prior
# lies between any two lines. Such lines stand at the *quantiles* of the normal distribution. Sixteen each
# way are enough to see every digit:

# %% tags=["hero"] alt="A grid of 16 by 16 digits over the quantiles of the normal distribution. All ten digits appear" caption="The whole map. All ten digits are on it."
decoded = vae.decode(imagegen.latent_grid(16, limit=None))
imagegen.show(imagegen.grid(decoded, columns=16, padding=0), scale=1)

# %% [markdown]
# Now take the map into your own hand. The same decoder runs here, in your browser. Drag the point, or
# draw a digit and see where the encoder puts it. [A page of its own](../explore/latent_plane.md) tells
# more about it.
#
# <div data-exhibit="latent_plane"></div>
#
# ## Directions that mean something
#
# What makes a four a four? Take the mean of all the points of fours, subtract the mean of all other
# points, and you have a direction in the latent space: a **concept vector**. Add it to a digit, and the
# digit takes on more of what fours have. In a latent space of faces, such a vector can be a smile.
#
# Each class has its vector: zero-ness, one-ness, and so on to nine-ness. We take one digit from the
# middle of all and give it each of them. Each column below adds one vector, from 0 on the left to 9
# on the right, and each row adds a little more of it.

# %% alt="Ten columns start with the same digit in the first row. Going down, most turn into the digit of their column" caption="From row to row more of a concept: zero-ness on the left, nine-ness on the right."
mean, _ = vae.encode(train.images)
concepts = [
    imagegen.attribute_vector(mean, train.labels == digit)
    for digit in range(10)
]
print("four-ness:", concepts[4].round(2))

middle = mean[np.square(mean - mean.mean(axis=0)).sum(axis=1).argmin()]
rows = [
    [middle + amount * concept for concept in concepts]
    for amount in np.linspace(0, 1, 7)
]
imagegen.show(vae.decode(np.concatenate(rows)), columns=10)

# %% tags=["hide"]
centres = np.array(
    [mean[train.labels == digit].mean(axis=0) for digit in range(10)]
)
nearest = [
    np.square(centres - point).sum(axis=1).argmin()
    for point in middle + concepts
]
assert sum(found == digit for digit, found in enumerate(nearest)) >= 8

# %% [markdown]
# Some columns turn early and some late, because some classes live far out and some in the middle.
# Fours and nines are next-door neighbours, so their columns are much alike, and so are those of fives
# and threes: two numbers don't suffice to tell them well apart.
#
# A concept needs no label. "Written with much ink" is a concept, too: compare the half of the digits
# that have more ink than the other half. We add it to points anywhere on the map, and subtract it:

# %% alt="Five rows of ten digits. The strokes become bolder from the first row to the last" caption="From row to row more boldness."
ink = train.images.mean(axis=(1, 2, 3))
boldness = imagegen.attribute_vector(mean, ink > np.median(ink))
print("boldness:", boldness.round(2))

ten_points = vae.encode(test.images[:10])[0]
amounts = np.linspace(-1, 1, 5)
rows = [vae.decode(ten_points + amount * boldness) for amount in amounts]
imagegen.show(np.concatenate(rows), columns=10)
print(
    "mean ink of each row, in per cent:",
    [round(100 * float(row.mean()), 1) for row in rows],
)

# %% tags=["hide"]
assert rows[-1].mean() > rows[0].mean()

# %% [markdown]
# With two dimensions there is no room for boldness alone. Whichever way it points, it leads through the
# regions of other digits. With more dimensions, concepts find directions of their own. The preset `digits-16d` is the
# same kind of model with sixteen. We try it on three concepts that can be read off the pixels: how far a digit leans to
# the right, how much ink it has, and how wide it is.

# %% tags=["fold"] alt="Six rows of nine digits, a three and a four in turn. They stand up from leaning left to leaning right, then go from thin to bold, then from narrow to wide. At the ends some turn into other digits." caption="A three and a four along the directions of leaning, ink and width. The digit itself is in the middle."
wide = imagegen.VAE.from_preset("digits-16d")
codes, _ = wide.encode(test.images)
rows_of_pixels, columns_of_pixels = np.mgrid[:28, :28] - 13.5


def read(pictures):
    """Measure the leaning, the ink and the width of each digit."""
    ink = np.asarray(pictures, "float64")[..., 0]
    total = ink.sum(axis=(1, 2), keepdims=True)

    def mean(values):
        return (ink * values).sum(axis=(1, 2), keepdims=True) / total

    y = rows_of_pixels - mean(rows_of_pixels)
    x = columns_of_pixels - mean(columns_of_pixels)
    leaning, width = -mean(x * y) / mean(y**2), np.sqrt(mean(x**2))
    parts = {"leaning": leaning, "ink": total, "width": width}
    return {name: part.ravel() for name, part in parts.items()}


written = read(test.images)
pair = [list(test.labels).index(digit) for digit in (3, 4)]
amounts = np.linspace(-2, 2, 9)[:, None]
walked = {}
for name, values in written.items():
    vector = imagegen.attribute_vector(codes, values > np.median(values))
    walked[name] = [
        wide.decode(codes[digit] + amounts * vector) for digit in pair
    ]
imagegen.show(
    np.concatenate([way for ways in walked.values() for way in ways]), columns=9
)

# %% tags=["hide"]
for name, ways in walked.items():
    for way in ways:
        assert (np.diff(read(way)[name]) > 0).all()

# %% [markdown]
# In a latent space of faces one can swap faces: give one person's expression to another person's features. Here the
# class of the digit takes the place of the features, and the handwriting that of the expression. Subtract from a digit's
# code the mean code of its class, and what remains is the handwriting. Add that to the mean codes of all ten classes:

# %% alt="Four rows. On the left a digit: a six that leans left, a thin one, a bold zero and a four. Beside each are the ten digits, which lean left, or are thin, or bold, like the first." caption="On the left a test digit; beside it all ten digits in its hand."
means = np.array(
    [codes[test.labels == digit].mean(axis=0) for digit in range(10)]
)
by_leaning, by_ink = np.argsort(written["leaning"]), np.argsort(written["ink"])
hands = [by_leaning[30], by_ink[60], by_ink[-60], pair[1]]
swapped = []
for hand in hands:
    adds = codes[hand] - means[test.labels[hand]]
    swapped.append(wide.decode(means + adds))
originals = imagegen.to_float(test.images[hands])
table = np.concatenate([originals[:, None], np.stack(swapped)], axis=1)
imagegen.show(table.reshape(-1, 28, 28, 1), columns=11)

# %% tags=["hide"]
leaning = [read(digits)["leaning"].mean() for digits in swapped]
inks = [read(digits)["ink"].mean() for digits in swapped]
assert leaning[0] == min(leaning)
assert np.argsort(inks).tolist()[-1] == 2

# %% [markdown]
# ## Walks
#
# Between two digits of the map there is a straight line. `walk` puts points on it at equal
# distances, and each becomes a frame of an animation. We go from a one to a zero.

# %%
ends = [
    vae.encode(test.images[test.labels == digit][:1])[0] for digit in (1, 0)
]
path = imagegen.walk(np.concatenate(ends), 40, interpolation=imagegen.lerp)
imagegen.Animation(
    vae.decode(path),
    alt="A one turns into a zero, by way of a five and a six",
    there_and_back=True,
    frames_per_second=15,
    scale=5,
)

# %% [markdown]
# To see that this is more than one picture fading into another, here is the fading. The first row
# walks through the latent space: each picture is one digit. The second row mixes pixels: two digits,
# one shining through the other.

# %% alt="Two rows of nine pictures from a one to a zero. In the first, the stroke bends from shape to shape. In the second, both digits are seen through each other" caption="Through the latent space, above; through pixels, below."
some_frames = vae.decode(
    path[np.linspace(0, len(path) - 1, 9).round().astype(int)]
)
mixed = imagegen.walk(some_frames[[0, -1]], 9, interpolation=imagegen.lerp)
imagegen.show(np.concatenate([some_frames, mixed]), columns=9)

# %% tags=["hide"]
# A mixture is grey where the digits differ; a decoded digit is mostly black and white.
grey = [
    float((frames * (1 - frames))[2:7].sum()) for frames in (some_frames, mixed)
]
assert grey[0] < grey[1]

# %% [markdown]
# A walk also tells how training went. Here is the same walk, from a one to a zero, through three models, each with its
# own codes for the two digits:

# %% alt="Three rows of nine pictures. In the first, grey shapes that are hardly digits; in the second, a sharp one turns into a five, a six and a zero; in the third, all nine are the same grey blot." caption="The same walk through three models: trained for a moment, trained well, and trained with a beta of 100."
film = []
for trained in (beginner, vae, extremes[100]):
    two = [
        trained.encode(test.images[test.labels == digit][:1])[0]
        for digit in (1, 0)
    ]
    film.append(trained.decode(np.linspace(*np.concatenate(two), 9)))
imagegen.show(np.concatenate(film), columns=9)

# %% tags=["hide"]
assert np.ptp(film[2], axis=0).max() < 0.1
assert np.ptp(film[1], axis=0).max() > 0.5

# %% [markdown]
# - If every picture on the way is a digit, and none jumps, the space is what we want.
# - If pictures are blurred, or no digits, training isn't done.
# - If nothing changes, the code says nothing, and the decoder doesn't listen to it.
# - If pictures stay the same for long and then jump, the model may know its training pictures by heart, and not what
#   lies between them. [Radford et al.](https://arxiv.org/abs/1511.06434) proposed to look for such jumps.
#
# Diffusion models are read in the same way, by a [walk through noise](gallery.py#a-walk-through-noise).
#
# Nothing says that a walk has to lead anywhere. Draw a point from the prior, decode it; change it a
# little, decode it; and so on, a frame each. So that the point doesn't wander off the map, each step
# also pulls it back a little. The two factors are chosen such that the point stays a sample of the
# prior for ever: their squares sum to 1.

# %%
rng = np.random.default_rng(0)
keep = 0.985
point = rng.normal(size=2)
stroll = [point]
for _ in range(149):
    point = keep * point + np.sqrt(1 - keep**2) * rng.normal(size=2)
    stroll.append(point)
imagegen.Animation(
    vae.decode(stroll),
    alt="One digit changes into another, and another",
    frames_per_second=12,
    scale=5,
)

# %% alt="The stroll drawn as a line over the scattered test digits" caption="Where the stroll has been."
figure, axes = plt.subplots(figsize=(5, 4.4))
draw_map(axes, vae, some_test, some_labels)
axes.plot(*np.transpose(stroll), color="black", linewidth=1)
axes.set_title("Where the animation has been")
plt.show()

# %% [markdown]
# Remember this step, `keep * point + sqrt(1 - keep**2) * noise`.
# [Diffusion](diffusion_from_the_equations.py) begins with it. But first, the
# [next chapter](denoising_to_dreaming.py) takes noise out of pictures.
#
# ## When to use a VAE today
#
# Take a VAE when the latent space itself is what you want: to edit a picture along a concept, to
# swap faces, to understand what a model has learnt, or to reconstruct pictures. The space is small,
# continuous and orderly, and there is an encoder that finds any picture's place in it.
#
# Don't take one if you want the best picture. The reconstruction loss makes the decoder play safe, and a
# safe picture is a blurred one. Diffusion models draw far sharper ones. The strongest of them use
# both: an autoencoder of this kind brings the picture to a smaller space, and diffusion works there.
#
# ## Exercises
#
# **1.** Train with `beta=0.5`, the book's balance. What happens to the two losses?

# %% tags=["solution"]
half = train_for_a_moment(beta=0.5)
half_losses = half.evaluate(
    some_test, batch_size=200, verbose=0, return_dict=True
)
whole_losses = beginner.evaluate(
    some_test, batch_size=200, verbose=0, return_dict=True
)
for name in ("reconstruction_loss", "kl_loss"):
    print(f"{name}: {half_losses[name] - whole_losses[name]:+.1f} nats")

# %% [markdown] tags=["solution"]
# The KL term costs half as much, so the digits spread out further, and more can be told about each: the KL
# grows and the reconstruction gets better.

# %% tags=["hide", "solution"]
assert half_losses["kl_loss"] > whole_losses["kl_loss"]
assert half_losses["reconstruction_loss"] < whole_losses["reconstruction_loss"]

# %% [markdown]
# **2.** Give the networks a third latent dimension. How many nats is it worth, after the same short training?

# %% tags=["solution"]
keras.utils.set_random_seed(0)
wider = imagegen.VAE(imagegen.digit_encoder(3), imagegen.digit_decoder(3))
wider.compile("adam")
wider.fit(some, batch_size=32, epochs=3, verbose=0)
wider_losses = wider.evaluate(
    some_test, batch_size=200, verbose=0, return_dict=True
)
print(
    f"two dimensions: {whole_losses['loss']:.1f}, three: "
    f"{wider_losses['loss']:.1f} nats per digit"
)

# %% tags=["hide", "solution"]
assert wider_losses["loss"] < whole_losses["loss"]

# %% [markdown]
# **3.** What does the decoder draw far outside, where the prior has nearly nothing? Walk from the middle to
# the point (6, 6), and on to (12, 12).

# %% tags=["solution"] alt="Nine digits. The first change from one to the next; the last ones hardly change, and their strokes are hard and bold"
outwards = np.linspace([0, 0], [12, 12], 9)
imagegen.show(vae.decode(outwards), columns=9)

# %% [markdown] tags=["solution"]
# Whatever lies at the edge in that direction, drawn ever more firmly. No digit was ever packed there, so
# nothing has told the decoder to stop.
