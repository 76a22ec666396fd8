# %% [markdown] needs=["flowers_from_noise"]
# # Words and pictures
#
# Which caption belongs to which picture? To answer, a machine has to see what is in a picture, read what a
# sentence says, and compare the two. The machine in this chapter does all three. It was trained in minutes, and
# nobody ever told it what a petal is.
#
# !!! abstract "What you will learn"
#     - How to bring words and pictures into one space, and compare them there.
#     - What *contrastive* learning is, and how to compute its loss.
#     - How to find pictures by words, and name what is in a picture without having trained for it.
#     - How far a picture's vector is from its caption's.
#     - How to put a picture in the place of a prompt, and paint variations of it.
#
# Such a machine is called [CLIP](https://arxiv.org/abs/2103.00020), from *contrastive language-image
# pre-training*. The original learned from 400 million photographs and the texts beside them. Ours learns
# from drawn flowers.
#
# ## Pictures and their captions
#
# We draw them from a seed. So there are as many as we like, and we know everything about each.

# %% alt="Eight drawn flowers, each under its caption." caption="Drawn flowers, and their captions."
import dataclasses
import textwrap

import imagegen

import numpy as np

images, _, attributes = imagegen.datasets.captioned_flowers(512, seed=7)
captions = [
    imagegen.drawn.caption(flower, name_center=True) for flower in attributes
]
imagegen.show(
    images[:8],
    titles=[textwrap.fill(caption, 22) for caption in captions[:8]],
    columns=4,
    scale=4,
)

# %% [markdown]
# These captions name all that captions can: three colours and the number of petals. No machine has seen these 512
# pictures in training.
#
# ## Two towers
#
# CLIP has two encoders, often called *towers*. One turns a picture into a vector, the other a
# sentence. The vectors, here of 64 numbers, are called *embeddings*. The preset `clip-32` has learned
# already:

# %%
clip = imagegen.CLIP.from_preset("clip-32")
picture, caption = clip.embed_images(images[:1]), clip.embed_texts(captions[:1])
print("a picture: ", picture.shape, f"length {np.linalg.norm(picture):.3f}")
print("a sentence:", caption.shape, f"length {np.linalg.norm(caption):.3f}")
print(f"parameters: {clip.image_encoder.count_params():,} to see", end=", ")
print(f"{clip.text_tower.count_params():,} to read")

# %% tags=["hide"]
assert picture.shape == caption.shape == (1, 64)
np.testing.assert_allclose(np.linalg.norm(picture), 1, rtol=1e-5)

# %% [markdown]
# The tower that sees is a small convolutional network. The tower that reads is a small transformer, which
# the [next chapter](text_to_image.py) explains. What they have in common is the end: a vector of length 1.
# So all embeddings lie on one sphere, and how near two of them are is the cosine of the angle between
# them, their *similarity*. For vectors $u$ and $v$ of length 1, it is a sum of products:
#
# $$\cos \angle(u, v) = u \cdot v = \sum_k u_k v_k$$
#
# Comparing every picture with every caption takes one matrix product:

# %%
similarity = clip.embed_images(images[:8]) @ clip.embed_texts(captions[:8]).T
print(similarity.shape)

# %% tags=["fold"] alt="A table of eight pictures against eight captions. The diagonal is by far the brightest." caption="Similarity of eight pictures, from row to row, and eight captions."
import matplotlib.pyplot as plt


def map_of(similarity, images, labels):
    """Draw similarities as a table with a picture before each row."""
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    drawn = axes.imshow(similarity, cmap="viridis", vmin=-1, vmax=1)
    for row, values in enumerate(similarity):
        for column, value in enumerate(values):
            color = "black" if value > 0.3 else "white"
            axes.text(
                column,
                row,
                f"{round(value, 1) + 0:.1f}",
                ha="center",
                va="center",
                color=color,
                size=8,
            )
        axes.imshow(images[row], extent=(-1.45, -0.6, row + 0.42, row - 0.42))
    axes.set(
        xlim=(-1.5, len(labels) - 0.5),
        ylim=(len(images) - 0.5, -0.5),
        yticks=[],
    )
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", size=8)
    axes.spines[:].set_visible(False)
    figure.colorbar(drawn, shrink=0.6, label="similarity")
    plt.show()


def short(flower):
    """A few letters for a table."""
    return (
        f"{flower.num_petals} {flower.petal_color}, {flower.center_color}\n"
        f"on {flower.background_color}"
    )


map_of(similarity, images[:8], [short(flower) for flower in attributes[:8]])

# %% tags=["hide"]
assert (similarity.argmax(axis=1) == np.arange(8)).all()
assert (
    np.diag(similarity).min() > similarity[~np.eye(8, dtype=bool)].mean() + 0.3
)

# %% [markdown]
# Each row is a picture, and each column a caption. The picture's own caption, on the diagonal, is the brightest.
#
# ## Learning by contrast
#
# How do two networks come to agree? By playing a game together. Take a *batch* of $n$ pictures with
# their captions. Each picture is asked: which of these $n$ captions is yours? The similarities $u_i \cdot
# v_j$ are the answer, once they are made into probabilities. A *softmax* does that: exponentials, divided
# by their sum, so that they add up to 1.
#
# $$p(\text{caption } j \mid \text{picture } i)
# = \frac{\exp(u_i \cdot v_j / \tau)}{\sum_k \exp(u_i \cdot v_k / \tau)}$$
#
# The *temperature* $\tau$ says how firmly: at a low temperature the nearest caption takes nearly all. The loss is
# how surprising the right answer is, $-\log p$, on average. Then the game is turned around, and each caption has
# to find its picture. The mean of both is the loss. Here it is for a batch of 64:

# %%
temperature = clip.temperature
similarity = clip.similarity(images[:64], captions[:64])
logits = similarity / temperature

of_pictures = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
of_captions = np.exp(logits) / np.exp(logits).sum(axis=0, keepdims=True)
own = np.arange(64)
loss = (
    -(
        np.log(of_pictures[own, own]).mean()
        + np.log(of_captions[own, own]).mean()
    )
    / 2
)
print(f"temperature {temperature:.3f}, loss {loss:.4f}")

# %% [markdown]
# The package does the same, on any backend:
#
# ```source
# imagegen.contrastive_loss
# ```

# %% tags=["hide"]
theirs = imagegen.contrastive_loss(
    clip.embed_images(images[:64]), clip.embed_texts(captions[:64]), temperature
)
np.testing.assert_allclose(float(theirs), loss, atol=1e-4)

# %% [markdown]
# The function `logsumexp` is the logarithm of the sum of exponentials, computed so that none of them
# overflows.
#
# Why *contrast*? No picture is asked what it shows. It is only asked which caption fits it better than the others
# do. To tell "a red flower" from "a pink flower", both towers have to learn what red is. Large batches ask for
# more: the more captions there are, the nearer the nearest wrong one is.
#
# A machine that knows nothing gives each of $n$ captions the same probability, so its loss is $\log n$. We start
# one from there, and train it for a moment:

# %%
import keras

keras.utils.set_random_seed(0)
training = imagegen.datasets.captioned_flowers(2_560, seed=8)
tokenizer = imagegen.WordTokenizer.fit(training.captions)
beginner = imagegen.CLIP(
    imagegen.clip_image_encoder(32, [16, 32], dim=32),
    imagegen.TextEncoder(tokenizer, dim=32, num_layers=1),
)
beginner.compile(keras.optimizers.Adam(3e-3))
history = beginner.fit(
    (training.images, beginner.tokens(training.captions)),
    batch_size=64,
    epochs=3,
    verbose=0,
)
print(f"knows nothing: log 64 = {np.log(64):.2f}")
print(
    "epoch by epoch:",
    ", ".join(f"{loss:.2f}" for loss in history.history["loss"]),
)

# %% tags=["hide"]
assert history.history["loss"][-1] < history.history["loss"][0] < np.log(64) + 1
assert history.history["loss"][-1] < 0.75 * np.log(64)

# %% [markdown]
# Colours are learned within seconds. Counting petals takes longer. The preset has played the game with
# 1,500 batches of 128, of flowers that were drawn anew each time.
#
# The temperature is learned too. It began at 0.07, and in the preset it has become what was printed above. Here is
# what it does to the probabilities of one picture:

# %% tags=["fold"] alt="Probabilities of twelve captions for one picture at three temperatures: nearly even at 1, one tall bar at the lower two." caption="The lower the temperature, the firmer the choice."
some = clip.similarity(images[:1], captions[:12])[0]
figure, axes = plt.subplots(1, 3, figsize=(6.4, 2.6), sharey=True)
for axis, tau in zip(axes, (1.0, 0.2, temperature), strict=True):
    chances = np.exp(some / tau) / np.exp(some / tau).sum()
    axis.bar(range(12), chances, color=["tab:orange"] + ["tab:blue"] * 11)
    axis.set(
        title=rf"$\tau$ = {tau:.2g}", xlabel="caption", xticks=[], ylim=(0, 1)
    )
axes[0].set_ylabel("probability")
plt.show()

# %% tags=["hide"]
assert some.argmax() == 0
assert 0.01 <= temperature < 0.2

# %% [markdown]
# ## The right caption among a hundred
#
# Now the game in earnest. Each of our 512 pictures gets a hundred captions: its own, and 99 others, all
# different from each other.

# %%
everything = np.array(captions)
similarity = clip.similarity(images, captions)
_, different = np.unique(everything, return_index=True)


def candidates(index):
    """The numbers of 100 different captions, the picture's own one first."""
    others = different[everything[different] != everything[index]]
    chosen = np.random.default_rng(index).choice(others, 99, replace=False)
    return np.concatenate([[index], chosen])


chosen = np.array(
    [
        (rivals := candidates(i))[similarity[i, rivals].argmax()]
        for i in range(len(images))
    ]
)
found = chosen == np.arange(len(images))
print(f"{found.mean():.1%} of {len(images)} pictures find their own caption")

# %% tags=["hide"]
assert found.mean() >= 0.95

# %% [markdown]
# Where it errs is worth a look:

# %% tags=["fold"] alt="Pictures that chose a wrong caption: the colours are right, and the number of petals is off by one or so." caption="Where it errs, the number of petals is off."
missed = np.flatnonzero(~found)[:4]
if len(missed):
    titles = [
        f"own: {short(attributes[index])}\nchosen: "
        f"{short(attributes[chosen[index]])}"
        for index in missed
    ]
    imagegen.show(images[missed], titles=titles, columns=4, scale=3)

# %% tags=["hide"]
for index in np.flatnonzero(~found):
    ours, theirs = attributes[index], attributes[chosen[index]]
    for part in ("petal_color", "center_color", "background_color"):
        assert getattr(ours, part) == getattr(theirs, part)
    assert abs(ours.num_petals - theirs.num_petals) == 1

# %% [markdown]
# In all of them the three colours are right, and the number of petals is off by one. Colours are in every pixel. To
# count, the network has to see the whole, at 32 x 32 pixels.

# %% [markdown]
# ## What is in a picture?
#
# CLIP was never trained to name colours. But you can ask it. Write one sentence for each possible answer, and see
# which is nearest. This is called *zero-shot* classification: there is no training for the question at all, only
# the sentences.

# %%
colors = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]
articles = {color: "an" if color == "orange" else "a" for color in colors}
numbers = [
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
questions = {
    "petals": [f"{articles[color]} {color} flower" for color in colors],
    "centre": [f"{articles[color]} {color} centre" for color in colors],
    "background": [f"{articles[color]} {color} background" for color in colors],
    "number": [f"{number} petals" for number in numbers],
}
truths = {
    "petals": [colors.index(flower.petal_color) for flower in attributes],
    "centre": [colors.index(flower.center_color) for flower in attributes],
    "background": [
        colors.index(flower.background_color) for flower in attributes
    ],
    "number": [flower.num_petals - 3 for flower in attributes],
}
answers = {
    part: clip.similarity(images, sentences).argmax(axis=1)
    for part, sentences in questions.items()
}
for part, truth in truths.items():
    right = np.mean(answers[part] == np.array(truth))
    print(
        f"{part:10} {right:6.1%} right, by chance "
        f"{1 / len(questions[part]):.1%}"
    )

# %% [markdown]
# It gets colours nearly always right, and numbers mostly wrong. Then why does it find the right caption? "Five
# petals" alone fits pictures of all colours. So its vector has to be near all of them at once, and is near none in
# particular. And such short phrases were rare in training. So let the sentence say the rest too: ten captions for
# each picture, which differ only in the number.

# %%
sentences = [
    imagegen.drawn.caption(
        dataclasses.replace(flower, num_petals=count), name_center=True
    )
    for flower in attributes
    for count in range(3, 13)
]
embeddings = clip.embed_texts(sentences).reshape(len(images), 10, -1)
in_context = np.einsum(
    "nd,ncd->nc", clip.embed_images(images), embeddings
).argmax(axis=1)
off = np.abs(in_context - np.array(truths["number"]))
print(
    f"number of petals: {np.mean(off == 0):.1%} right, {np.mean(off <= 1):.1%} "
    "right or off by one"
)

# %% [markdown]
# Which sentences you compare matters as much as the network. A *confusion matrix* shows which answer it gives for
# which truth:

# %% tags=["fold"] alt="Two tables of answers against truths. Colours lie on the diagonal; numbers lie on it or right beside it." caption="What it says against what is true."
figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.4))
given = {"petals": answers["petals"], "number": in_context}
for axis, part, names in zip(axes, given, (colors, range(3, 13)), strict=True):
    confusion = np.zeros((len(names), len(names)))
    np.add.at(confusion, (truths[part], given[part]), 1)
    axis.imshow(
        confusion / confusion.sum(axis=1, keepdims=True),
        cmap="Blues",
        vmin=0,
        vmax=1,
    )
    axis.set_xticks(range(len(names)), names, rotation=90)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="answer", ylabel="truth", title=part)
plt.show()

# %% tags=["hide"]
for part in ("petals", "centre", "background"):
    assert np.mean(answers[part] == np.array(truths[part])) > 0.98
assert np.mean(answers["number"] == np.array(truths["number"])) < 0.5
assert np.mean(off == 0) > 0.55
assert np.mean(off <= 1) > 0.9

# %% [markdown]
# ## Search by words
#
# Now the other way round: one sentence, and all 512 pictures. Here are the six nearest to each of four sentences,
# the nearest first. The sentences leave much open, and none is the caption of any picture.

# %% tags=["hero"] alt="Four rows of six pictures. Each row shows what its sentence says." caption="Found by sentence."
queries = [
    "a blue flower with three petals",
    "a flower with a red centre on a green background",
    "a white flower on a purple background",
    "twelve petals",
]
nearest = np.argsort(-clip.similarity(images, queries), axis=0)[:6].T
print("\n".join(queries))
imagegen.show(images[nearest.ravel()], columns=6, scale=3)

# %% tags=["hide"]
for index in nearest[0][:4]:
    assert attributes[index].petal_color == "blue"
for index in nearest[1][:4]:
    assert attributes[index].center_color == "red"
    assert attributes[index].background_color == "green"

# %% [markdown]
# The first ones have the right colours. Further down, one colour may be wrong, and numbers are nearly
# right, as before.
#
# ## The gap
#
# A picture and its own caption have a similarity of about 0.7, and not 1. What lies between them? Let us lay all 512
# pictures and their captions flat. The two directions in which embeddings vary most are their
# first two *principal components*, which a singular value decomposition finds.

# %% tags=["fold"] alt="Two clouds of points that don't overlap: pictures on one side, captions on the other." caption="The gap between pictures and captions."
of_images, of_texts = clip.embed_images(images), clip.embed_texts(captions)
both = np.concatenate([of_images, of_texts])
_, _, directions = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
flat = (both - both.mean(axis=0)) @ directions[:2].T

figure, axes = plt.subplots(figsize=(5.2, 3.6))
for start, stop in zip(flat[:40], flat[512:552], strict=True):
    axes.plot(
        *np.stack([start, stop]).T, color="lightgray", linewidth=0.8, zorder=0
    )
axes.plot(*flat[:512].T, ".", color="tab:orange", label="pictures")
axes.plot(*flat[512:].T, ".", color="tab:blue", label="captions")
axes.set(
    title="The gap",
    xlabel="first component",
    ylabel="second component",
    aspect="equal",
)
axes.legend()
plt.show()

# %% [markdown]
# All pictures lie on one side, and all captions on the other. The grey lines join some pairs. This is the
# [*modality gap*](https://arxiv.org/abs/2203.02053), and large models have it too. The loss doesn't
# mind. It compares a picture with captions only, never with other pictures. If all captions move by the same
# vector, all similarities of a picture change by the same number, and its softmax doesn't notice. Nor does a
# caption's, as far as that vector is equally near to all pictures.
#
# So the way from pictures to captions is much the same for all of them. It is the difference of the two means, of the
# captions' vectors $v_i$ and the pictures' vectors $u_i$:
#
# $$g = \frac1n \sum_i v_i - \frac1n \sum_i u_i$$

# %%
gap = of_texts.mean(axis=0) - of_images.mean(axis=0)


def in_the_place_of_words(embeddings):
    """Move pictures' embeddings to where captions are, at length 1."""
    moved = embeddings + gap
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


moved = in_the_place_of_words(of_images)
print(f"length of the gap: {np.linalg.norm(gap):.2f}")
print(
    f"similarity of pairs: {np.mean(np.sum(of_images * of_texts, axis=1)):.2f} "
    "before",
    end=", ",
)
print(f"{np.mean(np.sum(moved * of_texts, axis=1)):.2f} after")

# %% tags=["hide"]
assert 0.6 < np.mean(np.sum(of_images * of_texts, axis=1)) < 0.8
assert np.mean(np.sum(moved * of_texts, axis=1)) > 0.9

# %% [markdown]
# ## Variations of a picture
#
# Any vector can tell a diffusion model what to paint. The preset `clip-flowers-32` goes by CLIP's embeddings of
# captions, and by nothing else. CLIP itself stayed as it was while the painter learned. So we can switch the words
# out, and put a *picture* in their place: its embedding, moved over the gap. Each noise then gives another flower
# like it.

# %% alt="Four rows: a drawn flower, and beside it five painted ones, rougher and upright, in its colours; many have another number of petals." caption="A picture in the place of a prompt."
painter = imagegen.DiffusionModel.from_preset("clip-flowers-32")

originals = images[8:12]
shown = []
for original in originals:
    embedding = in_the_place_of_words(clip.embed_images(original[None]))
    shown += [
        original,
        *painter.generate(
            imagegen.Conditions(embedding.repeat(5, axis=0)),
            num_steps=15,
            seed=1,
        ),
    ]
imagegen.show(np.stack(shown), columns=6, scale=3)

# %% [markdown]
# The first in each row is the drawing, and the others are variations. Not a word was said. They are rough. They
# stand upright, because the painter only learned from upright flowers, and many have another number of petals. How
# much of the picture comes through? [read_flowers][imagegen.drawn.read_flowers] looks at a variation of each of 32
# pictures, with the step over the gap and without, and, for comparison, at pictures painted from the captions:

# %%
conditions = {
    "captions": of_texts[:32],
    "pictures, moved": in_the_place_of_words(of_images[:32]),
    "pictures": of_images[:32],
}
kept = {
    name: imagegen.drawn.prompt_adherence(
        painter.generate(imagegen.Conditions(vectors), num_steps=10, seed=1),
        attributes[:32],
    )
    for name, vectors in conditions.items()
}
print(f"{'':18}petals  centre  background  number")
for name, share in kept.items():
    print(
        f"{name:18}{share.petal_color:6.0%}{share.center_color:8.0%}"
        f"{share.background_color:12.0%}{share.num_petals:8.0%}"
    )

# %% tags=["hide"]
moved_share, plain_share = kept["pictures, moved"], kept["pictures"]
assert moved_share.petal_color > 0.8
assert moved_share.background_color > 0.8
assert moved_share.petal_color + moved_share.center_color > (
    plain_share.petal_color + plain_share.center_color
)
assert moved_share.num_petals < 0.6

# %% [markdown]
# Petals and background come through, the centre less often, and the number seldom. What CLIP can hardly tell apart,
# it can't pass on, and this painter had only minutes to learn. The step over the gap is worth taking. Without it,
# the painter gets vectors from a place where no caption ever was.

# %% [markdown]
# ## What we have learnt
#
# - Two encoders turn pictures and sentences into vectors of length 1. How near two are is the cosine of
#   the angle between them.
# - The contrastive loss asks each picture for its caption among all of a batch, and each caption for its
#   picture. The temperature says how firmly. Knowing nothing costs $\log n$.
# - Nobody says what is in a picture. Yet you can ask for its colours afterwards, with sentences, and find pictures by
#   words. Counting is harder.
# - Pictures and captions lie in two places on the sphere, with a gap between them.
# - Once moved over it, a picture can take the place of a prompt.
#
# ## Exercises
#
# **1.** What is the loss of a machine that knows nothing, in a batch of 16 and of 256? And what does the trained
# one have there?

# %% tags=["solution"]
for size in (16, 64, 256):
    losses = [
        float(
            imagegen.contrastive_loss(
                of_images[start : start + size],
                of_texts[start : start + size],
                temperature,
            )
        )
        for start in range(0, 512, size)
    ]
    print(
        f"{size:3} at a time: {np.log(size):.2f} knowing nothing, "
        f"{np.mean(losses):.3f} trained"
    )

# %% [markdown] tags=["solution"]
# Among more captions there are more that nearly fit, so the loss grows for the trained one too.

# %% [markdown]
# **2.** Search for "a red flower", and look at the twenty nearest. Which wrong colour comes first?

# %% tags=["solution"] alt="Twenty flowers, the nearest to the words a red flower"
ranked = np.argsort(-clip.similarity(images, ["a red flower"])[:, 0])
shown = [attributes[index].petal_color for index in ranked]
imagegen.show(images[ranked[:20]], columns=10, scale=2)
first_wrong = next(place for place, color in enumerate(shown) if color != "red")
print(
    f"{first_wrong} of {shown.count('red')} red flowers come first, then "
    f"{shown[first_wrong]}"
)

# %% tags=["hide", "solution"]
assert shown[:10].count("red") >= 9

# %% [markdown]
# **3.** Average the embeddings of two pictures, and search for what lies between them.

# %% tags=["solution"] alt="Two rows of six flowers: two pictures, and the four nearest to the mean of their vectors"
rows = []
for one, other in ((0, 1), (2, 3)):
    middle = of_images[one] + of_images[other]
    near = np.argsort(-(of_images @ middle))
    near = [index for index in near if index not in (one, other)][:4]
    rows += [one, other, *near]
imagegen.show(images[rows], columns=6, scale=3)

# %% [markdown] tags=["solution"]
# Some mix the two, with the petals of one and the background of the other. Others just stay near one of them.

# %% [markdown]
# Next: [Text to image from scratch](text_to_image.py), where sentences become pictures. In the reference:
# [CLIP][imagegen.CLIP], [contrastive_loss][imagegen.contrastive_loss],
# [TextTower][imagegen.TextTower] and [captioned_flowers][imagegen.datasets.captioned_flowers].
