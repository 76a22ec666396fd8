# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Latent spaces
#
# A picture of a handwritten digit has 784 pixels. This chapter trains a network that packs such a
# picture into two numbers, and a second network that unpacks it again. Two numbers are a point on
# a map. Every point of that map unpacks to a digit, also the points where no digit was packed: that
# is how new pictures come about.
#
# Each picture and each number on this page was made by the code above it.
#
# ## Why generate pictures?
#
# Nearly all pictures are noise: choose each pixel by chance, and you never see a face, a flower or
# a digit. The pictures that mean something are few among all those possible, and they are alike in
# many ways. A model that has learnt the ways can describe such a picture with few numbers. The
# space of these numbers is called a **latent space**. *Latent* means hidden: nobody ever sees the
# numbers in a photograph.
#
# To generate pictures is to learn a latent space of few dimensions, any point of which maps to a
# valid picture. The network that does the mapping is called a *generator* or a *decoder*. Give it a
# new point and it returns a picture that was never seen before, something in between the pictures
# it learnt from. Nothing in this is about pictures alone. Sounds and music have latent spaces, too.
#
# The map can also be steered by words. **Text to image** puts a second space beside the first, the
# space of prompts, and learns to map it to the latent space. Then one asks for combinations that
# nobody has made before.
#
# There are limits. A latent space interpolates between pictures; it holds no consistent model of
# the world. So hands get a sixth finger, objects run into each other, and shadows fall towards the
# lamp. How to make the whole picture coherent is open research.
#
# ### Three families
#
# - **Variational autoencoders** (VAEs) learn an encoder and a decoder together. This chapter builds
#   one.
# - **Generative adversarial networks** (GANs) let a generator play against a critic. They are hard
#   to train. Their pictures vary less than the data, and sometimes the generator makes the same few
#   pictures again and again (*mode collapse*). They have faded out.
# - **Diffusion models** learn to remove noise, and make pictures out of nothing else. They have won
#   the field, and the chapters after this one are about them.
#
# ### A short history
#
# | year | |
# |---|---|
# | 1987 | Autoencoders: networks that compress without a teacher |
# | 2010s | Deep autoencoders. What they compress must look like what they learnt from, and something is lost. They are rarely used |
# | December 2013, January 2014 | Two groups publish the VAE within weeks |
# | 2014 | GANs |
# | 2020 | DDPM, the paper that makes diffusion work |
# | 2022 | DALL-E 2, Imagen, and Stable Diffusion, whose weights anyone may download |
#
# The earlier generators gave us pictures of shoes that don't exist and deep fakes. That was
# interesting and hard to control. What changed is text: one says what one wants to see. Then came
# editing. A picture or a sketch is transformed as a sentence says (*image to image*); a part of it
# is replaced (*inpainting*) or it grows beyond its edges (*outpainting*); one asks for variations
# of it. A later part of the course does all this.
#
# ## The digits

# %%
import inspect
import textwrap

import imagegen

import keras
import matplotlib.pyplot as plt
import numpy as np

keras.utils.set_random_seed(0)

train = imagegen.datasets.digits(split="train")
test = imagegen.datasets.digits(split="test")

print(f"{len(train.images):,} digits for training, and {len(test.images):,} held out to test")
print("Images:", train.images.shape, train.images.dtype)
print("Grey levels:", train.images.min(), "to", train.images.max())

# %% alt="The first 20 digits of the training set, with their labels"
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
# The decoder has to make the same image of every point that may be drawn. So a whole neighbourhood
# of $\mu$ decodes to that image, or to very similar ones. Where two neighbourhoods overlap, the
# decoder must find something that serves both. That forces the space to be continuous. And with so
# few dimensions, each direction in it comes to mean something, such as the slant of a digit.
#
# The layer that draws is called `LatentSampler`. This is its source:

# %%
from IPython.display import Markdown


def show_source(function):
    """Show how the package does it."""
    source = textwrap.dedent(inspect.getsource(function))
    return Markdown(f"```python\n{source}```")


show_source(imagegen.LatentSampler.call)

# %% [markdown]
# Two things deserve a second look.
#
# **Why the half?** The noise has to be multiplied by the standard deviation $\sigma$, and the
# encoder gives the logarithm of its square. Half of the logarithm is the logarithm of the square
# root: $\exp(\tfrac12 \log \sigma^2) = \exp(\log \sigma) = \sigma$. Some published listings leave
# the half out. They multiply by the variance, and the distribution that they draw from is not the
# one that their loss speaks of. (Why a logarithm at all? A variance must be positive. Its logarithm
# may be any number, which is what a network gives.)
#
# **Where is the randomness?** A layer that draws random numbers keeps their state in a
# `SeedGenerator`, so that each call draws anew, and a seed repeats them all. The noise
# $\epsilon$ comes from outside. Seen from the loss, $z$ is a smooth function of $\mu$ and
# $\log\sigma^2$, so gradients flow through both. This is known as the *reparameterization trick*.
#
# A check. With $\sigma^2 = 4$, the samples have to spread by 2. Without the half it would be 4.

# %%
log_variance = np.full((100_000, 1), np.log(4.0))
samples = imagegen.LatentSampler(seed=0)(np.zeros_like(log_variance), log_variance)
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
# $\hat x$. The *binary cross-entropy* measures how surprised one is on average who believes
# $\hat x$ while $x$ is true. It is summed over the pixels of an image:
#
# $$L_\text{reconstruction} = -\sum_i \left[ x_i \log \hat x_i
# + (1 - x_i) \log (1 - \hat x_i) \right]$$
#
# **Regularization.** The distributions must not drift apart. Each is pulled towards one and the
# same, the normal distribution with mean 0 and variance 1, called the *prior*. The
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
# Some listings take the mean of the KL over the latent dimensions where the formula has a sum. That
# is $\beta = 1 / \text{latent dim}$, a half here.

# %% alt="Left, the cross-entropy of a pixel against the decoder's probability, lowest where both agree. Right, the KL divergence against the mean and against the standard deviation, zero at mean 0 and at standard deviation 1"
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
probability = np.linspace(0.002, 0.998, 400)
for pixel in (0.0, 0.5, 1.0):
    cost = -(pixel * np.log(probability) + (1 - pixel) * np.log(1 - probability))
    left.plot(probability, cost, label=f"x = {pixel:g}")
left.set(xlabel=r"the decoder's $\hat x$", ylabel="nats", title="Reconstruction, one pixel")
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
# works on one of them; a `compute_loss` works on all. Here is what `VAE` computes. First the way of
# an image through the model, then the loss:

# %%
show_source(imagegen.VAE.call)

# %%
show_source(imagegen.VAE.compute_loss)

# %% [markdown]
# The two *trackers* are metrics, `keras.metrics.Mean`. They are attributes of the model, so `fit`
# and `evaluate` report them beside the loss, and set them back at the start of each epoch.
#
# ## Training for a moment
#
# The model takes images and gives images; there are no targets. So `compile` gets an optimizer and
# no loss, and `fit` gets the images and nothing else. We train for a moment only: three passes over
# 4,000 digits, which are 375 steps of 32 digits each. That takes seconds and is far too short, but it
# shows how it goes.

# %%
some = train.images[:4000]
some_test, some_labels = test.images[:1000], test.labels[:1000]


def train_for_a_moment(beta):
    keras.utils.set_random_seed(0)
    vae = imagegen.VAE(imagegen.digit_encoder(), imagegen.digit_decoder(), beta=beta)
    vae.compile("adam")
    vae.fit(some, batch_size=32, epochs=3, verbose=0)
    losses = vae.evaluate(some_test, batch_size=200, verbose=0, return_dict=True)
    print(f"beta {beta:3}:", {name: round(value, 1) for name, value in losses.items()})
    return vae


beginner = train_for_a_moment(beta=1)

# %% tags=["hide"]
beginner_loss = beginner.evaluate(some_test, batch_size=200, verbose=0, return_dict=True)["loss"]
assert beginner_loss < 200

# %% [markdown]
# The first row below shows digits that the model has not seen in training. The second shows what
# becomes of them on the way through the two numbers.


# %% alt="Two rows of ten digits. Below each digit is its blurred reconstruction"
def reconstruct(vae, images):
    mean, _ = vae.encode(images)
    return vae.decode(mean)


ten = imagegen.to_float(test.images[:10])
imagegen.show(np.concatenate([ten, reconstruct(beginner, test.images[:10])]), columns=10)

# %% [markdown]
# Blurred, and some digits turn into others. Two numbers are very little, and the training has
# hardly begun.
#
# ## What each loss does alone
#
# We can now ask what the two losses are for, by taking one away. With $\beta = 0$ only the
# reconstruction counts. With $\beta = 100$ the KL term is nearly all that counts. The dots are the
# means of the test digits, coloured by their labels. The circle holds nine tenths of the prior; note
# how different the scales are.


# %% alt="Three maps of the digits. With beta 0 they lie far outside of the circle. With beta 1 they share the circle. With beta 100 all digits lie in one dot at its centre"
def draw_map(axes, vae, images, labels):
    mean, _ = vae.encode(images)
    dots = axes.scatter(*mean.T, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=2)
    # Nine tenths of a normal distribution in the plane are within sqrt(2 log 10) of its centre.
    axes.add_patch(plt.Circle((0, 0), np.sqrt(2 * np.log(10)), fill=False, linewidth=1))
    axes.set_aspect("equal", adjustable="datalim")
    return dots


extremes = {0: train_for_a_moment(beta=0), 1: beginner, 100: train_for_a_moment(beta=100)}
figure, panels = plt.subplots(1, 3, figsize=(9, 3.2))
for axes, (beta, vae) in zip(panels, extremes.items(), strict=True):
    draw_map(axes, vae, some_test, some_labels)
    axes.set_title(rf"$\beta = {beta}$")
plt.show()

# %% alt="Three rows of ten reconstructions. With beta 0 they are digits. With beta 1 they are digits. With beta 100 all ten are the same grey blot"
imagegen.show(
    np.concatenate([reconstruct(vae, test.images[:10]) for vae in extremes.values()]), columns=10
)

# %% tags=["hide"]
means = {beta: vae.encode(some_test)[0] for beta, vae in extremes.items()}
assert means[0].std() > 1.5 * means[1].std()
assert means[100].std() < 0.1
assert np.ptp(reconstruct(extremes[100], test.images[:10]), axis=0).max() < 0.1

# %% [markdown]
# - **Reconstruction alone** ($\beta = 0$, left, and first row) is the classical autoencoder. Nothing
#   holds the digits together. They leave the circle for wherever there is room, and make their noise
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
# goes through all images once. Often all 70,000 digits are used. Here the 10,000 test digits are
# left out, so that we can measure how well the model does on digits it has never seen. Trained
# weights come with the package as a *preset*. They were made by `recipes/digits.py`: the same two
# networks, the 60,000 training digits, 20 epochs in batches of 32, and a learning rate that falls to
# zero.

# %%
vae = imagegen.VAE.from_preset("digits-2d")
vae.compile()
losses = vae.evaluate(test.images, batch_size=128, verbose=0, return_dict=True)
print({name: round(value, 1) for name, value in losses.items()}, "nats per test digit")

# %% tags=["hide"]
assert losses["loss"] < 147
assert losses["loss"] < beginner_loss - 10

# %% [markdown]
# Of these nats, the KL part is what the two numbers tell about a digit. The rest is what two numbers
# can't tell.

# %% alt="Two rows of ten digits. Below each digit is its reconstruction by the preset"
imagegen.show(np.concatenate([ten, reconstruct(vae, test.images[:10])]), columns=10)

# %% [markdown]
# ## The map of digits
#
# Where did the encoder put the test digits? It has never seen their labels. Still each class has
# its own country.

# %% alt="Scatter plot of the test digits in the latent plane. Each of the ten classes forms a cluster of its own, some wedge-shaped around the centre"
figure, axes = plt.subplots(figsize=(6.4, 5.6))
dots = draw_map(axes, vae, test.images, test.labels)
axes.set(xlabel="first latent dimension", ylabel="second latent dimension")
figure.colorbar(dots, ticks=range(10), label="digit")
plt.show()

# %% [markdown]
# Now the other way. We lay a grid of 30 x 30 points over the square from -1 to 1 and decode all 900
# of them in one call. None of these digits exists in the data. Neighbours are alike, and on the way
# from one class to the next there is always some shape in between.

# %% alt="A grid of 30 by 30 digits, decoded from the square from minus one to one, changing smoothly from each to the next"
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
# that covers it fairly has its points dense in the middle and sparse at the edge, so that between
# each two lines there is the same share of the prior. These are the *quantiles* of the normal
# distribution. Sixteen lines each way are enough to see every digit:

# %% alt="A grid of 16 by 16 digits over the quantiles of the normal distribution. All ten digits appear"
decoded = vae.decode(imagegen.latent_grid(16, limit=None))
imagegen.show(imagegen.grid(decoded, columns=16, padding=0), scale=1)

# %% [markdown]
# ## Directions that mean something
#
# What makes a four a four? Take the mean of all the points of fours, subtract the mean of all other
# points, and you have a direction in the latent space: a **concept vector**. Add it to a digit, and
# the digit gets more of what fours have. In a latent space of faces, such a vector can be a smile.
#
# Each class has its vector: zero-ness, one-ness, and so on to nine-ness. We take one digit from the
# middle of all and give it each of them. Each column below adds one vector, from 0 on the left to 9
# on the right, and each row adds a little more of it.

# %% alt="Ten columns start with the same digit in the first row. Going down, most turn into the digit of their column"
mean, _ = vae.encode(train.images)
concepts = [imagegen.attribute_vector(mean, train.labels == digit) for digit in range(10)]
print("four-ness:", concepts[4].round(2))

middle = mean[np.square(mean - mean.mean(axis=0)).sum(axis=1).argmin()]
rows = [[middle + amount * concept for concept in concepts] for amount in np.linspace(0, 1, 7)]
imagegen.show(vae.decode(np.concatenate(rows)), columns=10)

# %% tags=["hide"]
centres = np.array([mean[train.labels == digit].mean(axis=0) for digit in range(10)])
nearest = [np.square(centres - point).sum(axis=1).argmin() for point in middle + concepts]
assert sum(found == digit for digit, found in enumerate(nearest)) >= 8

# %% [markdown]
# Some columns turn early and some late, because some classes live far out and some in the middle.
# Fours and nines are next-door neighbours, so their columns are much alike, and so are those of fives
# and threes: two numbers don't suffice to tell them well apart.
#
# A concept needs no label. "Written with much ink" is a concept, too: compare the half of the digits
# that have more ink than the other half. We add it to points anywhere on the map, and subtract it:

# %% alt="Five rows of ten digits. The strokes become bolder from the first row to the last"
ink = train.images.mean(axis=(1, 2, 3))
boldness = imagegen.attribute_vector(mean, ink > np.median(ink))
print("boldness:", boldness.round(2))

ten_points = vae.encode(test.images[:10])[0]
amounts = np.linspace(-1, 1, 5)
rows = [vae.decode(ten_points + amount * boldness) for amount in amounts]
imagegen.show(np.concatenate(rows), columns=10)
print("mean ink of each row, in per cent:", [round(100 * float(row.mean()), 1) for row in rows])

# %% tags=["hide"]
assert rows[-1].mean() > rows[0].mean()

# %% [markdown]
# With two dimensions there is no room for boldness alone: who goes in its direction crosses the
# countries of other digits. With more dimensions, concepts find directions of their own.
#
# ## Walks
#
# Between two digits of the map there is a straight line. `walk` puts points on it at equal
# distances, and each becomes a frame of an animation. We go from a one to a zero.

# %%
ends = [vae.encode(test.images[test.labels == digit][:1])[0] for digit in (1, 0)]
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

# %% alt="Two rows of nine pictures from a one to a zero. In the first, the stroke bends from shape to shape. In the second, both digits are seen through each other"
some_frames = vae.decode(path[np.linspace(0, len(path) - 1, 9).round().astype(int)])
mixed = imagegen.walk(some_frames[[0, -1]], 9, interpolation=imagegen.lerp)
imagegen.show(np.concatenate([some_frames, mixed]), columns=9)

# %% tags=["hide"]
# A mixture is grey where the digits differ; a decoded digit is mostly black and white.
grey = [float((frames * (1 - frames))[2:7].sum()) for frames in (some_frames, mixed)]
assert grey[0] < grey[1]

# %% [markdown]
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

# %% alt="The stroll drawn as a line over the scattered test digits"
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
# Don't take one for the best picture. The reconstruction loss makes the decoder play safe, and the
# safe picture is a blurred one. Diffusion models draw far sharper ones. The strongest of them use
# both: an autoencoder of this kind brings the picture to a smaller space, and diffusion works there.
#
# ## Try it
#
# 1. Train with `beta=0.5`, the value of the listings that take a mean. What happens to the two
#    losses, and to the map?
# 2. Give the networks a third latent dimension, `digit_encoder(3)` and `digit_decoder(3)`. How many
#    nats of reconstruction is it worth?
# 3. Decode a point far outside, such as (6, 6). What does the decoder draw where the prior has
#    nearly nothing?
