# %% [markdown]
# # Before you begin
#
# Every chapter of this course trains a network or takes one apart. This page says, in ten minutes, what a
# network is and how it learns. It explains the words that all other chapters take for granted: layer,
# convolution, loss, gradient, Adam, batch, epoch, overfitting. If you have trained a network before, go
# straight to [Latent spaces](latent_spaces.py).
#
# !!! abstract "What you will learn"
#     - What layers do, and why a network needs a bend between them.
#     - How a loss, its gradient and an optimizer make a network learn.
#     - How to train a network in Keras, in four lines.
#     - How to see that it has only learnt by heart.
#
# ## A picture is numbers
#
# A computer that reads a zip code looks at pictures like these, and has to say which digits they are.

# %% alt="Ten handwritten digits, each under its label" caption="Ten of the pictures, and what they show."
import imagegen

import keras
import matplotlib.pyplot as plt
import numpy as np

train = imagegen.datasets.digits(split="train")
test = imagegen.datasets.digits(split="test")
images, labels = imagegen.to_float(train.images[:5000]), train.labels[:5000]
test_images, test_labels = (
    imagegen.to_float(test.images[:1000]),
    test.labels[:1000],
)

imagegen.show(images[:10], titles=labels[:10], columns=10)
print(
    "five thousand pictures:",
    images.shape,
    "from",
    images.min(),
    "to",
    images.max(),
)

# %% [markdown]
# Each picture is 28 rows of 28 numbers, from 0, black, to 1, white. The last axis is for *channels*. A
# grey picture has one, and a colour picture has three. An array like this, with any number of axes, is
# called a *tensor*.
#
# How would you write a program that reads a digit? You would need rules for every way to draw a seven,
# and people find new ones every day. So we don't write the rules. We write down a function with many
# numbers in it that are still open, its *weights*, and let examples settle them. Such a function is a
# **network**.
#
# ## Layers
#
# A network is a chain of simple functions, called *layers*. Three kinds will do for now.
#
# **A dense layer** computes weighted sums. Each of its outputs looks at all inputs. With the input $x$, the
# weights $w$ and one more number, the *bias* $b$, output number $j$ is
#
# $$y_j = \sum_i w_{ij}\, x_i + b_j.$$
#
# **A convolution** also computes weighted sums, but of a small window, such as 3 x 3 pixels. The window
# slides over the picture, and has the same nine weights everywhere, its *kernel* or *filter*. So the output is a
# picture too: it is bright where the picture looks like the kernel. A stroke is a stroke wherever it is, so
# nine weights do for the whole picture. Here are two kernels that we choose by hand. One looks for an edge
# above a stroke, and the other for an edge to its left.

# %% alt="A seven, its upper edges in white, and its left edges in white" caption="A digit, and where two filters find edges."
above = np.float32([[-1, -1, -1], [0, 0, 0], [1, 1, 1]])
left = above.T
kernels = np.stack([above, left], axis=-1)[:, :, None, :]

seven = images[labels == 7][:1]
edges = keras.ops.convert_to_numpy(
    keras.ops.conv(seven, kernels, padding="same")
)
imagegen.show(
    np.concatenate([seven, edges[..., :1] / 3, edges[..., 1:] / 3]).clip(0, 1),
    titles=["a seven", "edges above", "edges to the left"],
    columns=3,
    scale=4,
)

# %% tags=["hide"]
by_hand = sum(
    seven[0, 9 + i, 9 + j, 0] * above[i, j] for i in range(3) for j in range(3)
)
np.testing.assert_allclose(edges[0, 10, 10, 0], by_hand, atol=1e-5)

# %% [markdown]
# A layer has many kernels, and each gives a channel of the output. In a network nobody chooses them. They
# are weights, and training finds them. A convolution can also move its window two pixels at a time. That
# is a *stride* of 2, and the output is half as high and half as wide.
#
# **An activation** bends. Two weighted sums in a row are just another weighted sum, however many there
# are. So after each of them, every number goes through a function that isn't straight. The simplest is
# *ReLU*: negative numbers become 0, and the others stay as they are. With bends in between, a chain of
# layers can come near any function.

# %%
keras.utils.set_random_seed(0)


def reader():
    """A network that reads digits."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(
                8, 3, strides=2, padding="same", activation="relu"
            ),
            keras.layers.Conv2D(
                16, 3, strides=2, padding="same", activation="relu"
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


network = reader()
network.summary()

# %% tags=["hide"]
assert network.count_params() == 80 + 1168 + 7850

# %% [markdown]
# Read it from the top. Eight kernels of 3 x 3 give a picture of 14 x 14 with eight channels. Sixteen
# kernels look at all eight channels and give 7 x 7 with sixteen. `Flatten` lays these 784 numbers in a row,
# and a dense layer makes ten numbers of them, one for each digit. The last bend, *softmax*, takes the
# exponential of each and divides by their sum. That makes probabilities: positive numbers that add up to 1.
#
# What does the network say before it has learnt anything?


# %% tags=["fold"] alt="Three digits, and beside each ten bars of about the same height" caption="Before training, every answer is as likely as any other."
def show_answers(network, pictures):
    """Show pictures, and beside each the probabilities that a network gives."""
    answers = network.predict(pictures, verbose=0)
    _, panels = plt.subplots(
        1, 6, figsize=(7.2, 1.5), width_ratios=[1, 1.6] * 3
    )
    for index, answer in enumerate(answers):
        panels[2 * index].imshow(pictures[index, :, :, 0], cmap="gray")
        panels[2 * index].set_axis_off()
        panels[2 * index + 1].bar(range(10), answer)
        panels[2 * index + 1].set(ylim=(0, 1), xticks=range(10), yticks=[])
    plt.show()


show_answers(network, test_images[:3])

# %% [markdown]
# Nothing in particular. Its weights are random.
#
# ## How wrong? The loss
#
# To get better, we have to say what better is, in one number: the **loss**. The lower it is, the better.
# Here it is the surprise at the right answer. If the network gives the right digit the probability $p$, the
# loss is
#
# $$\text{loss} = -\log p.$$
#
# If it was sure and right, $p = 1$, the loss is 0. If it was sure and wrong, the loss is very large. The
# mean over all pictures is called the *cross-entropy*. Other tasks have other losses. When the answer is a
# picture, it is often the *mean squared error*, the mean of the squared differences between the pixels.


# %%
def loss_of(network, images, labels):
    """The mean surprise at the right answers."""
    answers = network.predict(images, batch_size=500, verbose=0)
    return -np.log(answers[np.arange(len(labels)), labels]).mean()


print(f"untrained: {loss_of(network, images[:500], labels[:500]):.2f}")
print(f"the same probability for each digit: {-np.log(0.1):.2f}")

# %% [markdown]
# ## One step
#
# The network has 9,098 weights. How should each of them change? Take one, turn it up and down, leave all
# others as they are, and watch the loss.

# %% alt="The loss over one weight: a curve with a valley, and a straight line that touches it where the weight is now" caption="The gradient is the slope at the present weight."
kernel = network.layers[0].kernel
initial = keras.ops.convert_to_numpy(kernel)
place = (2, 2, 0, 5)  # The lower right weight of the sixth kernel.


def loss_at(value):
    """The loss when this one weight has a value."""
    changed = initial.copy()
    changed[place] = value
    kernel.assign(changed)
    return loss_of(network, images[:500], labels[:500])


now, small = float(initial[place]), 0.1
values = now + np.linspace(-3, 10, 27)
losses = [loss_at(value) for value in values]
slope = (loss_at(now + small) - loss_at(now - small)) / (2 * small)
loss_now = loss_at(now)

_, axes = plt.subplots(figsize=(5, 3))
axes.plot(values, losses, label="loss")
axes.plot(
    values, loss_now + slope * (values - now), "--", label=f"slope {slope:.3f}"
)
axes.plot(now, loss_now, "o", color="tab:blue")
axes.set(
    xlabel="one weight", ylabel="loss", ylim=(min(losses) - 0.01, max(losses))
)
axes.legend()
plt.show()

# %% tags=["hide"]
assert np.array_equal(keras.ops.convert_to_numpy(kernel), initial)
assert slope < 0
assert losses[0] > min(losses) + 0.01 < losses[-1]

# %% [markdown]
# The slope says it all. Where the loss rises to the right, the weight has to go left. How far? Not too far,
# because the slope is only true nearby. The slopes of all weights together are called the **gradient**.
# Keras computes them all at once, and exactly, in about twice the time that the network itself takes. It
# works backwards through the layers by the chain rule, and so the method is called *backpropagation*.
#
# A step of **gradient descent** moves every weight $w$ a little against its slope $g$. How little is set by
# the *learning rate* $\eta$:
#
# $$w \leftarrow w - \eta\, g$$
#
# ## Better steps: Adam
#
# Gradient descent has a weakness. Where the loss is steep in one direction and flat in another, a step that
# suits the one is too long or too short for the other. The usual cure is the optimizer
# [**Adam**](https://arxiv.org/abs/1412.6980). It keeps two running averages for each weight: of its slopes,
# $m$, and of their squares, $v$. It steps along the first, divided by the root of the second:
#
# $$w \leftarrow w - \eta\, \frac{m}{\sqrt{v}}$$
#
# So a weight with small slopes takes steps as long as one with large slopes, and what keeps changing its
# sign averages out. Here are both on a narrow valley:


# %% alt="A long narrow valley seen from above. Gradient descent jumps from wall to wall; Adam turns into the valley, follows it, and runs a little past its end" caption="The same valley, and 25 steps of each."
def gradient(place):
    """The slopes of x² / 2 + 12 y² at a place."""
    return place * [1, 24]


def descend(num_steps, rate):
    """Follow the gradient downhill."""
    places = [np.array([-4.0, 1.0])]
    for _ in range(num_steps):
        places.append(places[-1] - rate * gradient(places[-1]))
    return np.array(places)


def adam(num_steps, rate):
    """Follow running averages of the gradient."""
    places, m, v = [np.array([-4.0, 1.0])], 0, 0
    for step in range(1, num_steps + 1):
        slopes = gradient(places[-1])
        m = 0.9 * m + 0.1 * slopes
        v = 0.999 * v + 0.001 * slopes**2
        # Both averages begin at 0, and the divisors make up for it.
        move = (m / (1 - 0.9**step)) / np.sqrt(v / (1 - 0.999**step))
        places.append(places[-1] - rate * move)
    return np.array(places)


x, y = np.meshgrid(np.linspace(-4.5, 1.5, 100), np.linspace(-1.4, 1.4, 100))
_, panels = plt.subplots(1, 2, figsize=(7.2, 2.6), sharey=True)
paths = {"gradient descent": descend(25, 0.08), "Adam": adam(25, 0.3)}
for axes, (name, path) in zip(panels, paths.items(), strict=True):
    axes.contour(x, y, x**2 / 2 + 12 * y**2, levels=12, colors="lightgray")
    axes.plot(*path.T, "o-", markersize=3)
    axes.plot(0, 0, "*", color="tab:orange", markersize=12)
    axes.set(title=f"{name}, 25 steps", xticks=[], yticks=[])
plt.show()

# %% tags=["hide"]
assert np.sign(paths["gradient descent"][:8, 1]).tolist() == [1, -1] * 4

# %% [markdown]
# ## Training
#
# A gradient over all pictures would be slow. The mean over 32 of them, drawn at random, points roughly the
# same way, and costs little. Such a handful is called a **batch**. One pass over all pictures is an
# **epoch**: here 157 steps, of 32 pictures each. In Keras that takes two calls. `compile` says how to step
# and what to lower, and `fit` does it.

# %%
network.compile(
    keras.optimizers.Adam(3e-3),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
history = network.fit(
    images,
    labels,
    batch_size=32,
    epochs=6,
    validation_data=(test_images, test_labels),
    verbose=2,
)

# %% tags=["hero"] alt="The same three digits, and beside each one tall bar at the right digit" caption="After training, one bar stands out."
show_answers(network, test_images[:3])

# %% tags=["hide"]
accuracy = history.history["val_accuracy"][-1]
assert accuracy > 0.93
assert (
    network.predict(test_images[:3], verbose=0).argmax(axis=1)
    == test_labels[:3]
).all()

# %% [markdown]
# After a few seconds it reads most digits that it has never seen. `val_accuracy` is the share that it gets
# right among a thousand that were kept out of the training. They are *held out*, and only they tell whether
# it has learnt to read. Where it is wrong, you may hesitate, too:

# %% alt="Ten test digits that the network reads wrongly, each under what it is and what the network says" caption="Digits that it gets wrong: many are hard to read."
answers = network.predict(test_images, verbose=0).argmax(axis=1)
wrong = np.flatnonzero(answers != test_labels)[:10]
titles = [f"{test_labels[index]}, not {answers[index]}" for index in wrong]
imagegen.show(test_images[wrong], titles=titles, columns=5, scale=2)

# %% [markdown]
# What has it found? Here is a digit as the first layer sees it, a picture for each of its eight kernels.
# Some look for edges, as ours did. Nobody told them to.

# %% alt="A digit, and eight pictures of it in which different edges and strokes are bright" caption="What eight filters of the first layer see."
seen = keras.ops.convert_to_numpy(network.layers[0](test_images[:1]))[0]
channels = [
    channel / max(channel.max(), 1e-6) for channel in np.moveaxis(seen, -1, 0)
]
digit = test_images[0, ::2, ::2, 0]
imagegen.show(np.stack([digit, *channels])[..., None], columns=9, scale=5)

# %% [markdown]
# ## Too well: overfitting
#
# Give a network few examples and much time, and it learns them by heart. That is **overfitting**. We give a
# new one 100 digits, and go over them 60 times.

# %% alt="Two curves over 60 epochs. The loss on 100 training digits falls to nearly 0. The loss on test digits falls at first, and then stays far above" caption="Overfitting: the digits learnt by heart, and the others."
keras.utils.set_random_seed(0)
by_heart = reader()
by_heart.compile(
    keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy"
)
record = by_heart.fit(
    images[:100],
    labels[:100],
    epochs=60,
    validation_data=(test_images, test_labels),
    validation_batch_size=500,
    verbose=0,
).history

_, axes = plt.subplots(figsize=(5, 3))
axes.plot(record["loss"], label="the 100 digits")
axes.plot(record["val_loss"], label="held-out digits")
axes.set(xlabel="epoch", ylabel="loss", ylim=(0, 2.4))
axes.legend()
plt.show()

# %% tags=["hide"]
assert record["loss"][-1] < 0.05
assert record["val_loss"][-1] > min(record["val_loss"])
assert record["val_loss"][-1] > 10 * record["loss"][-1]

# %% [markdown]
# On the hundred digits the loss goes to nearly nothing. On others it falls for a while, and then it rises
# again: the network is ever more sure, also where it is wrong. The distance between the curves is what it
# learnt by heart. More data closes it. So do smaller networks, shorter training, and *augmentation*: new
# examples out of old ones, such as mirrored pictures.
#
# The same question comes back at every model of this course. A painter that has learnt its pictures by heart
# can only paint them again. [How good is it?](how_good_is_it.py#are-they-copies) shows how to find out.
#
# ## What is different from here on
#
# The networks of this course don't name pictures, they make them. What they are built of is what you have
# seen: convolutions, dense layers, bends. They learn as this one did: a loss, its gradient, Adam. What changes
# is the question. In the next chapter, it is the picture itself: can a network give back what it was given,
# after squeezing it through two numbers?
#
# ## Exercises
#
# **1.** Take the activations out of the network, so that nothing bends. How many parameters does it have now,
# and how well does it read?

# %% tags=["solution"]
keras.utils.set_random_seed(0)
straight = reader()
for layer in straight.layers[:2]:
    layer.activation = keras.activations.linear
straight.compile(
    keras.optimizers.Adam(3e-3),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
straight.fit(images, labels, epochs=6, verbose=0)
_, share = straight.evaluate(test_images, test_labels, verbose=0)
print(
    f"{straight.count_params():,} parameters, {share:.1%} of the test digits "
    "are right"
)

# %% [markdown] tags=["solution"]
# Just as many parameters, and it reads worse. Without bends, the whole chain is one weighted sum.

# %% tags=["hide", "solution"]
assert straight.count_params() == network.count_params()
assert share < accuracy

# %% [markdown]
# **2.** What is the loss of a network that gives the right digit a probability of 90%? Of 1%? And how sure must it
# be for a loss of 0.01?

# %% tags=["solution"]
for probability in (0.9, 0.01):
    print(f"{probability:.0%}: {-np.log(probability):.2f}")
print(f"0.01: {np.exp(-0.01):.1%}")

# %% [markdown]
# **3.** In the valley above, how long may the steps of gradient descent be before it doesn't arrive at all?

# %% tags=["solution"]
for rate in (0.08, 0.0833, 0.084):
    end = descend(200, rate)[-1]
    print(
        f"rate {rate}: after 200 steps {np.abs(end).max():.2g} from the bottom"
    )

# %% [markdown] tags=["solution"]
# Across the valley, a step multiplies the distance by $1 - 24\, \eta$. It shrinks as long as that is above
# $-1$, so up to $\eta = 2/24 \approx 0.0833$. Beyond it, each jump lands higher on the other wall.

# %% tags=["hide", "solution"]
assert np.abs(descend(200, 0.08)[-1]).max() < 1e-3
assert np.abs(descend(200, 0.084)[-1]).max() > 1

# %% [markdown]
# Next: [Latent spaces](latent_spaces.py), where a network packs a digit into two numbers.
