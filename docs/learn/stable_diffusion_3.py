# %% [markdown] needs=["text_to_image", "latent_diffusion"]
# # Stable Diffusion 3
#
# The models of this course fit into a small file and know flowers. Stable Diffusion 3 has three billion
# weights and has seen much of what there is. It is built from parts that you know: text encoders, a network
# that denoises, an autoencoder. In this chapter we use it, and take it apart.
#
# !!! abstract "What you will learn"
#     - How to paint what a prompt says, and keep out what a negative prompt says.
#     - What each part does, and which tensors go from one to the next.
#     - How to choose a number of steps.
#     - How to write prompts, and measure what each part of a prompt changes.
#     - How to walk from one prompt to another.

# %%
import os

import imagegen
from imagegen import sd3

import matplotlib.pyplot as plt
import numpy as np

# The name of a preset, or the folder of a saved one.
preset = os.environ.get("IMAGEGEN_SD3")
model = sd3.load(preset, image_size=512) if preset else sd3.tiny()
weights = model.backbone.count_params()
print(
    f"This page was made with {preset or 'a tiny model of random weights'}: "
    f"{weights:,} weights."
)

# %% [markdown]
# The real weights are behind a licence and need a large GPU. A machine that has neither runs this page
# with `sd3.tiny()`, which has every part of the real model and goes through the same code, but has
# learned nothing. Its pictures would be noise, so the page shows none of them.
#
# So that there is something to see, each experiment is done twice: with Stable Diffusion 3, and by the same call
# with a trained model of ours. `flowers-128` of [Latent diffusion](latent_diffusion.py#photographs) has the same
# parts, and less than a hundredth of the weights. It has read the names and colours of flowers, and nothing of
# astronauts.

# %%
painter = imagegen.LatentDiffusion.from_preset("flowers-128")


def look(images):
    """Show pictures of trained weights. Those of random ones would be noise."""
    if preset:
        imagegen.show(images)


# %% [markdown]
# ??? info "What only the real weights show"
#     The elephant. To see it, install the package with its extra `sd3`, by `pip install ".[sd3]"` in a copy of the
#     repository. Accept the licence on Kaggle, set `KAGGLE_USERNAME` and `KAGGLE_KEY`, and run this page on a
#     machine with a large GPU:
#
#     ```bash
#     IMAGEGEN_SD3=stable_diffusion_3_medium python docs/_machinery/execute.py stable_diffusion_3
#     ```
#
#     | experiment | what to look for |
#     |---|---|
#     | the first prompt | an astronaut on a folded elephant, in a street |
#     | the negative prompt | the same scene, with hardly any blue |
#     | five numbers of steps | something soft, with double tusks, after 5; a finished picture from 20 on |
#     | words of quality | one castle three times, and what each word adds to it |
#     | the walk | a dog that grows tentacles, frame by frame, in a field that stays |
#
# ## A first picture

# %%
prompt = "A NASA astronaut riding an origami elephant in New York City"
look(model.generate(prompt, seed=0))

# %% alt="Six pictures of roses, pink, red and cream, each on a dark background." caption="Six pictures of one prompt by the small model, from six noises."
roses = painter.generate(["a photo of a rose"] * 6, seed=0)
imagegen.show(roses, columns=3, scale=2)

# %% [markdown]
# Nobody had ever drawn the astronaut. Stable Diffusion 3 has seen astronauts, origami, elephants and streets,
# and combines them. A *negative prompt* says what the picture should not show:

# %%
look(model.generate(prompt, negative_prompts="blue color", seed=0))

# %% alt="Two rows of six flowers. Where the roses were pink or red, those of the first row are yellow, and those of the second white or pale green." caption="The same prompt and noise, without pink in the first row and without red in the second."
without = [
    painter.generate(
        ["a photo of a rose"] * 6, negative_prompts=unwanted, seed=0
    )
    for unwanted in ("a pink flower", "a red rose")
]
imagegen.show(np.concatenate(without), columns=6)

# %% tags=["hide"]
redness = [
    np.float32(pictures[..., 0]).mean() - pictures[..., 1].mean()
    for pictures in (roses, *without)
]
assert redness[0] > max(redness[1:])

# %% [markdown]
# The noise is that of the roses above, and so are the places of the petals. What they have lost is the colour that
# the second prompt names.
#
# The formula is that of [Text to image from scratch](text_to_image.py). The network looks twice, once
# under each prompt, and sampling moves on from the second estimate through the first, here with
# the scale $w = 7$:
#
# $$\hat x = \hat x_+ + (w - 1)(\hat x_+ - \hat x_-)$$
#
# Without a negative prompt, $\hat x_-$ is the estimate under the empty one.
#
# ## How many steps?
#
# Each step is one look, or two with guidance, of the whole network. So the time grows with the number of
# steps. Here are five numbers, from the same noise:

# %%
counts = (5, 10, 15, 20, 25)
pictures = [model.generate(prompt, num_steps=count, seed=0) for count in counts]
look(np.concatenate(pictures))

# %% alt="Three flowers in five columns, for 5 to 25 steps. At 5 steps they are soft, at 10 petals have edges, and from 15 on little changes." caption="The small model, with DDIM, which for a straight path is Euler's method. Each row begins with one noise."
asked = ["a photo of a sunflower", "a pink hibiscus", "a purple passion flower"]
drafts = [
    painter.generate(asked, num_steps=count, sampler=imagegen.DDIM(), seed=0)
    for count in counts
]
imagegen.show(
    np.stack(drafts, axis=1).reshape(-1, 128, 128, 3),
    columns=5,
    titles=[f"{count} steps" for count in counts] * 3,
)

# %% tags=["hide"]
ends = [np.abs(np.float32(pictures) - drafts[-1]).mean() for pictures in drafts]
assert ends == sorted(ends, reverse=True)

# %% [markdown]
# With few steps, pictures are soft. Those of a large model have faults, too: two pairs of tusks, a leg too many.
# Where a tusk goes is decided in the first steps, at high noise. A step there that is too long lands
# between two possibilities, a tusk here and a tusk there, and later steps make both of them sharp.
#
# ### The same five numbers in KerasHub
#
# The [book](sources.md) asks KerasHub's own task for these five pictures, one after another. `model.task` is
# that task, so we can do the same. What comes out is all black in four of five:

# %%
for count, ours in zip(counts, pictures, strict=True):
    theirs = model.task.generate(prompt, num_steps=count, seed=0)
    print(
        f"{count:2} steps: mean level {theirs.mean():5.1f} by KerasHub, "
        f"{ours.mean():5.1f} by us"
    )

# %% [markdown]
# The task compiles its program at the first call, and with it the noise levels of five steps. Asked for ten, it
# finds no levels from the sixth step on. The result isn't a number, and a byte makes 0 of that, which is black.
# This was seen with KerasHub 0.32.0. In our loop the levels are an argument of the program, so every number paints,
# in every order. If you use the task itself, forget its program before each call:

# %%
model.task.generate_function = None
again = model.task.generate(prompt, num_steps=25, seed=0)
print(f"25 steps: mean level {again.mean():.1f}")

# %% tags=["hide"]
backwards = [
    model.generate(prompt, num_steps=count, seed=0)
    for count in reversed(counts)
]
np.testing.assert_array_equal(backwards[::-1], pictures)
assert again.mean() > 50

# %% [markdown]
# ### Why steps are not even
#
# Since the first steps matter most, Stable Diffusion 3 makes them short. It is a *rectified flow*. A noisy sample lies on the
# straight line from the clean one to the noise,
#
# $$x_t = (1 - n_t)\, x_0 + n_t\, \epsilon, \qquad n_t = \frac{a t}{1 + (a - 1)\, t},$$
#
# and the *shift* $a = 3$ lets the noise rate $n_t$ fall slowly at first. The larger the picture, the more of
# it shows through the same noise, and so the larger the shift.

# %% tags=["fold"] alt="Two panels of noise rate against the share of steps taken, for 5, 10 and 25 steps. Without the shift the rate falls along a straight line. With it the rate stays high for long and falls steeply at the end." caption="With the shift, most steps are taken at high noise."
figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.9), sharey=True)
schedules = {
    "no shift": imagegen.FlowSchedule(),
    "Stable Diffusion 3": model.schedule,
}
noisiest = {}
for ax, (title, schedule) in zip(axes, schedules.items(), strict=True):
    for count, marker in ((5, "o"), (10, "s"), (25, ".")):
        rates = imagegen.samplers.levels(schedule, count)[: count + 1, 1]
        ax.plot(
            np.linspace(0, 1, count + 1),
            rates,
            f"{marker}-",
            linewidth=1,
            label=f"{count} steps",
        )
    noisiest[title] = int((rates > 0.5).sum())
    ax.set(title=title, xlabel="share of the steps that are taken")
axes[0].set(ylabel="noise rate")
axes[0].legend()
plt.show()

print(f"of 25 steps, begin with more noise than signal: {noisiest}")

# %% tags=["hide"]
assert noisiest == {"no shift": 13, "Stable Diffusion 3": 19}

# %% [markdown]
# How near does a number of steps come to the limit of very many? We can measure that with any weights. We
# compare latents, which are what sampling works on, with those of 400 steps.

# %% tags=["fold"] alt="Log-log plot of the distance to the limit against 5, 10, 20 and 40 steps. The line falls, about as steeply as a dashed line of one over the number of steps." caption="Twice the steps, half the distance."
limit = model.sample(prompt, num_steps=400, seed=0)
counts = np.array([5, 10, 20, 40])
distances = [
    np.linalg.norm(model.sample(prompt, num_steps=int(count), seed=0) - limit)
    / np.linalg.norm(limit)
    for count in counts
]
figure, ax = plt.subplots(figsize=(6.4, 2.9))
ax.loglog(counts, distances, "o-", label="Euler's method")
ax.loglog(
    counts,
    distances[0] * counts[0] / counts,
    "--",
    color="gray",
    label="1 / steps",
)
ax.set(xlabel="steps", ylabel="distance to the limit, relative")
ax.set_xticks(counts, counts.astype(str))
ax.set_yticks(distances, [f"{distance:.2f}" for distance in distances])
ax.minorticks_off()
ax.legend()
plt.show()

# %% tags=["hide"]
ratios = np.divide(distances[1:], distances[:-1])
assert (ratios > 0.35).all()
assert (ratios < 0.75).all()

# %% [markdown]
# The model's own sampler is Euler's method. Twice as many steps bring its result about twice as near.
# [Samplers](samplers.py) explains why, and which methods come nearer.
#
# ## Taken apart
#
# `generate` does three things, and each can be done alone. First, prompts become *embeddings*. Two CLIP text
# encoders read each prompt. The result is two tensors for the prompt, and two for the negative prompt:

# %%
positive = model.encode_prompts(prompt)
negative = model.encode_prompts("blue color")
sequence, pooled = positive
print("sequence", sequence.shape, "pooled", pooled.shape)

# %% tags=["hide"]
assert sequence.shape == (1, 154, 4096) == negative[0].shape
assert pooled.shape == negative[1].shape == (1, 2048 if preset else 24)

# %% [markdown]
# - The sequence has one vector for each of 154 places. The first 77 are the prompt's tokens.
#   The other half belongs to a third encoder, T5. KerasHub's presets leave it out to save memory, and
#   it is filled with zeros. In the vectors of 4096 numbers both CLIP encoders stand side by side, and zeros
#   after them, to the width of T5.
# - The pooled vector is one for the whole prompt: 768 numbers of the one
#   encoder and 1280 of the other, 2048 in all. The tiny model has 8 and 16.
#
# Second, noise becomes latents. They have an eighth of the picture's height and width, and 16 channels.
# Third, the autoencoder's decoder turns latents into a picture.

# %%
sampling = {
    "negative_prompts": negative,
    "guidance_scale": 7.0,
    "num_steps": 28,
    "seed": 0,
}
latents = model.sample(positive, **sampling)
images = model.to_images(latents)
print("latents", latents.shape, "pictures", images.shape, images.dtype)

# %% tags=["hide"]
assert latents.shape[1:] == (
    model.image_shape[0] // 8,
    model.image_shape[1] // 8,
    16,
)
whole = model.generate(
    prompt, negative_prompts="blue color", num_steps=28, seed=0
)
np.testing.assert_array_equal(images, whole)

# %% [markdown]
# That is exactly what `generate` paints. Here are the same three parts as KerasHub has them, the listing that the
# book takes apart. `decode_step` gives numbers from -1 to 1, and $(x + 1) / 2$ brings them to between 0 and 1:

# %%
backbone, tokens = model.backbone, model.task.preprocessor.generate_preprocess
embeddings = backbone.encode_text_step(tokens([prompt]), tokens(["blue color"]))
backbone.configure_scheduler(28)
state = imagegen.samplers.initial_noise(1, model.sample_shape, 0)
for step in range(28):
    state = backbone.denoise_step(state, embeddings, step, 28, 7.0)
decoded = np.float32(backbone.decode_step(state))
theirs = (255 * np.clip((decoded + 1) / 2, 0, 1)).round()
print(
    "KerasHub and we differ by",
    int(np.abs(theirs - images).max()),
    "of 255 levels at most",
)

# %% tags=["hide"]
assert np.abs(theirs - images).max() <= 2

# %% [markdown]
# What ours adds is the seed, a program that is compiled as a whole, and [to_uint8][imagegen.to_uint8] in the place
# of the last two lines.
#
# In between, there is one step after another, and we can watch:

# %% alt="A sunflower in two rows of six: latents that clear up from noise, decoded, and the clean estimate, which begins as a yellow blur and becomes a flower." caption="The small model after 1, 5, 9, 13, 20 and 28 steps. Above, what is there; below, the picture that the network sees in it."
on_the_way = painter.generate_steps(
    ["a photo of a sunflower"], num_steps=28, seed=3
)
noisy, clean = (np.concatenate(part) for part in zip(*on_the_way, strict=True))
some = [0, 4, 8, 12, 19, 27]
imagegen.show(np.concatenate([noisy[some], clean[some]]), columns=6)

# %% [markdown]
# Stable Diffusion 3's network predicts a *velocity* $v$, the direction from the clean latents to the noise. The
# clean estimate follows from it, in one line:
#
# $$\hat x = x_t - n_t\, v(x_t, t)$$

# %% tags=["fold"] alt="Two panels against the noise rate. Left: how far the clean estimate is from the final latents, falling to zero. Right: the lengths of the noisy latents and of the estimate." caption="The clean estimate settles at the end."
steps = list(model.sample_steps(positive, **sampling))
rates = imagegen.samplers.levels(model.schedule, 28)[:29, 1]
noisy, clean = (
    np.stack(part)[:, 0].reshape(28, -1) for part in zip(*steps, strict=True)
)


def length(rows):
    """The root mean square of each row."""
    return np.sqrt((rows**2).mean(axis=1))


figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.9))
axes[0].plot(
    rates[:-1],
    length(clean - clean[-1]) / length(clean[-1:]),
    "o-",
    markersize=3,
)
axes[0].set(
    title="clean estimate: how far from the end", ylabel="relative distance"
)
axes[1].plot(
    rates[1:], length(noisy), "o-", markersize=3, label="noisy latents"
)
axes[1].plot(
    rates[:-1], length(clean), "s-", markersize=3, label="clean estimate"
)
axes[1].set(title="length, per number", ylim=0)
axes[1].legend()
for ax in axes:
    ax.set(xlabel="noise rate")
    ax.invert_xaxis()
plt.show()

# %% tags=["hide"]
away = length(clean - clean[-1])
assert away[0] > away[14] > away[24] > away[-1] == 0
np.testing.assert_allclose(noisy[-1], clean[-1], atol=1e-5)

# %% [markdown]
# The estimate moves most in the first steps, though the noise rate hardly falls there, and settles in the
# last ones. The last step returns the estimate itself. `model.generate_steps` gives the same as
# pictures, to be watched while they form.
#
# ## What to write
#
# A prompt for such a model often names four things: the **subject**, the **medium**, the **style**
# and the **light**. What does each of them change? We build a prompt from four groups of words, exchange one
# group at a time, and compare the embeddings, place by place.

# %%
groups = ["a red fox", "oil painting", "art deco", "at dawn"]
others = ["a grey owl", "pencil sketch", "pop art", "at noon"]
names = ["subject", "medium", "style", "light"]
sequence, pooled = model.encode_prompts(", ".join(groups))
changed = []
for number, other in enumerate(others):
    exchanged = [*groups[:number], other, *groups[number + 1 :]]
    changed.append(model.encode_prompts(", ".join(exchanged)))

# %% tags=["fold"] alt="Left: a map of four word groups by token place; a group changes nothing before the place where it stands, and everything after it. Right: bars of how much each group changes the pooled vector." caption="What each group of words changes, and where."
moved = np.array(
    [np.linalg.norm(other[0] - sequence[0], axis=1) for (other, _) in changed]
)
sizes = np.linalg.norm(sequence[0], axis=1)
num_read = int((sizes > 0).sum())
shares = moved[:, :num_read] / sizes[:num_read]
figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.6), width_ratios=(3, 1))
picture = axes[0].imshow(
    shares, aspect="auto", cmap="magma", interpolation="nearest"
)
axes[0].set(
    xlabel="place of the token",
    yticks=range(4),
    title="change of each vector, relative",
)
axes[0].set_yticklabels(names)
figure.colorbar(picture, ax=axes[0])
changes = np.array([np.linalg.norm(other - pooled) for (_, other) in changed])
changes /= np.linalg.norm(pooled)
axes[1].barh(names, changes)
axes[1].invert_yaxis()
axes[1].set(title="pooled vector", xlabel="change, relative")
plt.show()

# %%
first = [int(np.argmax(row > 1e-5)) for row in shares]
for name, place in zip(names, first, strict=True):
    print(f"{name:8} nothing moves before place {place}")

# %% tags=["hide"]
assert 0 < first[0] < first[1] < first[2] < first[3]
assert (shares[np.arange(4), np.array(first) - 1] < 1e-5).all()
assert (changes > 0.01).all()

# %% [markdown]
# CLIP reads from left to right. A group of words changes the vectors from its own place on, and none
# before: the upper right of the map is filled, the lower left is black. So every later word is read in the
# light of the subject, and the subject is read without the rest. The pooled vector is taken at the
# end of the prompt, where all has been read. Hence the advice to **put what matters most in front**.
# More than 75 tokens are not read at all, and the package warns of that.
#
# ### Words of quality
#
# The [lecture](sources.md) asks for a castle, and then adds words of quality, such as "highly detailed" and "4k".
# They name nothing that could be drawn. They are a style like any other: a model paints what pictures looked like that
# had such words beside them. Under one noise for all prompts, only the words make a difference:


# %%
def under_one_noise(model, prompts, seed):
    noise = imagegen.samplers.initial_noise(1, model.sample_shape, seed)
    return model.generate(prompts, noise=np.repeat(noise, len(prompts), axis=0))


qualities = ["", ", highly detailed", ", highly detailed, 4k"]
castles = [f"a castle{words}" for words in qualities]
look(under_one_noise(model, castles, seed=0))

# %% alt="Two rows of four pictures, a sunflower and a hibiscus. The first three of a row are hardly to be told apart. The fourth shows the flower on black." caption="The small model. Three prompts for a flower, and a fourth that asks for a dark background."
forms = {
    "no more words": "a {}",
    "a photo of": "a photo of a {}",
    "a close-up of": "a close-up of a {}",
    "on dark": "a {} on a dark background",
}
grown = [
    under_one_noise(
        painter, [form.format(flower) for form in forms.values()], seed=3
    )
    for flower in ("sunflower", "hibiscus")
]
imagegen.show(np.concatenate(grown), columns=4, titles=[*forms, *[""] * 4])

for column, name in enumerate([*forms][1:], 1):
    change = np.mean(
        [np.abs(np.float32(row[column]) - row[0]).mean() for row in grown]
    )
    print(f'"{name}" changes a pixel by {change:.1f} of 255 levels')

# %% tags=["hide"]
changes_of = [
    [np.abs(np.float32(picture) - row[0]).mean() for picture in row[1:]]
    for row in grown
]
assert np.max(np.array(changes_of)[:, :2]) < 6
assert np.min(np.array(changes_of)[:, 2]) > 20

# %% [markdown]
# The model has read "close-up" many times, and has seen nothing that goes with it: its recipe put one opening or
# another before a name by chance. "On a dark background" stood beside dark backgrounds, and says something. A word of
# quality stood beside no picture, so the model doesn't know it, and its encoder says so:

# %%
try:
    painter.generate("a highly detailed sunflower")
except ValueError as error:
    print(error)

# %% [markdown]
# The encoders of Stable Diffusion 3 refuse nothing: they split a word that they don't know into pieces that they know.
# So there every word changes something. Whether it is for the better, only pictures can tell. Add one word at a time,
# under one noise, and look.
#
# ## Why `slerp`
#
# You can mix embeddings. Between two prompts lie others that nobody has words for. But which way leads
# there? The straight line, `lerp`, cuts through the inside of the sphere on which embeddings lie. In
# the middle it is shorter than both ends, by the cosine of half the angle between them. The great circle,
# [slerp][imagegen.slerp], keeps the length:

# %% tags=["fold"] alt="A quarter of a circle between two arrows at a right angle. Nine points lie evenly on the arc, and nine on the chord below it. Half-way, the arc is at length 1 and the chord at 0.71." caption="The arc is the way of slerp, the chord that of lerp. Both take eight even steps in time; seen from the centre, those on the chord aren't even."
figure, ax = plt.subplots(figsize=(3.6, 3.2))
ends = np.eye(2)
for interpolation, color in ((imagegen.slerp, "C0"), (imagegen.lerp, "C1")):
    line = imagegen.walk(ends, 65, interpolation=interpolation)
    ax.plot(*line.T, color=color, label=interpolation.__name__)
    ax.plot(*line[::8].T, "o", color=color, markersize=4)
    middle = np.linalg.norm(line[32])
    ax.annotate(f"{middle:.2f}", line[32] + 0.03, color=color)
for end in ends:
    ax.annotate(
        "", end, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "gray"}
    )
ax.set(aspect="equal", xlim=(0, 1.15), ylim=(0, 1.15), xticks=[], yticks=[])
ax.spines[:].set_visible(False)
ax.legend(loc="lower left", bbox_to_anchor=(0.05, 0.05))
plt.show()

# %% [markdown]
# Here are the embeddings of two prompts, and the noise of two seeds, on both ways:

# %%
prompts = [
    "A friendly dog looking up in a field of flowers",
    "A horrifying, tentacled creature hovering over a field of flowers",
]
sequences, pooled = model.encode_prompts(prompts)
noises = imagegen.samplers.initial_noise(2, model.sample_shape, 0)

# %% tags=["fold"] alt="Three panels of length along the way from 0 to 1, for sequences, pooled vectors and noise. Slerp stays level; lerp sags, most of all for noise, to about 0.7." caption="Slerp keeps lengths, lerp doesn't."
figure, axes = plt.subplots(1, 3, figsize=(6.4, 2.7), sharey=True)
way = np.linspace(0, 1, 41)
sags, angles = {}, {}
for ax, (title, ends) in zip(
    axes,
    {"sequence": sequences, "pooled": pooled, "noise": noises}.items(),
    strict=True,
):
    first, second = ends.reshape(2, -1).astype("float64")
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    angles[title] = np.degrees(np.arccos(cosine))
    for interpolation, style in ((imagegen.slerp, "-"), (imagegen.lerp, "--")):
        path = imagegen.walk(ends, 41, interpolation=interpolation).reshape(
            41, -1
        )
        lengths = np.linalg.norm(path, axis=1) / np.linalg.norm(first)
        ax.plot(way, lengths, style, label=interpolation.__name__)
    sags[title] = lengths[20] / (1 + lengths[-1]) * 2
    ax.set(
        title=f"{title}, {angles[title]:.0f}°", xlabel="way", ylim=(0.6, 1.1)
    )
axes[0].set(ylabel="length, relative to the start")
axes[0].legend(loc="lower left")
plt.show()

# %% tags=["hide"]
for title, sag in sags.items():
    # The cosine of half the angle, for ends of about equal length.
    np.testing.assert_allclose(
        sag, np.cos(np.radians(angles[title]) / 2), atol=0.03
    )
assert 85 < angles["noise"] < 95

# %% [markdown]
# The angle between the ends is above each panel. Two noises are at a right angle, as random vectors of many
# dimensions nearly always are. Half-way, the straight line has lost 30% of the noise, and that is no sample that
# a sampler expects. For embeddings it loses less, because two prompts have much in common.
#
# ## A walk
#
# Somewhere between the two prompts, the dog becomes the creature. We walk a tenth of the way, from 0.5 to
# 0.6, in nine frames. All of them begin with the same noise, and only the prompt changes.

# %%
options = {"guidance_scale": 7.0, "num_steps": 28, "seed": 0}
frames = imagegen.prompt_walk(model, prompts, 9, between=(0.5, 0.6), **options)
look(frames)

# %% alt="Two rows of nine flowers. In the first a sunflower turns into a passion flower; in the second its petals darken little by little." caption="The small model: from a sunflower to a passion flower in the first row, and the tenth of that way from 0.5 to 0.6 in the second."
flowers = ["a photo of a sunflower", "a photo of a passion flower"]
ways = [
    imagegen.prompt_walk(painter, flowers, 9, between=between, seed=3)
    for between in ((0, 1), (0.5, 0.6))
]
imagegen.show(np.concatenate(ways), columns=9, scale=1)

# %% tags=["hide"]
spans = [np.abs(np.float32(way[0]) - way[-1]).mean() for way in ways]
assert 0.1 < spans[1] / spans[0] < 1

# %% [markdown]
# A tenth of the way is a small step in the prompt, and more than a tenth in the picture: half-way is where one thing
# becomes another.
#
# With other noise for each frame there would be nine pictures, and no film. How much do frames change from
# one to the next?

# %% tags=["fold"] alt="The mean change of a pixel for eight pairs of neighbouring frames, on a logarithmic scale: with one noise for all it is far lower than with fresh noise." caption="One noise for all frames makes a film."
mixed = imagegen.Conditions(
    *(
        imagegen.walk(ends, 9, between=(0.5, 0.6))
        for ends in (sequences, pooled)
    )
)
fresh = model.generate(mixed, **options)
change = {
    name: np.abs(np.diff(sequence.astype(int), axis=0)).mean((1, 2, 3))
    for name, sequence in {
        "fresh noise": fresh,
        "one noise for all": frames,
    }.items()
}
figure, ax = plt.subplots(figsize=(6.4, 2.7))
for (name, values), marker in zip(change.items(), "os", strict=True):
    ax.plot(np.arange(8), values, f"{marker}-", label=name)
ax.set(
    yscale="log",
    xlabel="from frame to frame",
    ylabel="mean change, of 255",
    ylim=(None, 255),
)
ax.set_xticks(np.arange(8), [f"{i + 1} to {i + 2}" for i in range(8)])
ax.legend(loc="center right")
plt.show()

share = change["one noise for all"].mean() / change["fresh noise"].mean()
print(f"{share:.3f} times the change under fresh noise")

# %% tags=["hide"]
assert share < 1 / 3

# %% [markdown]
# [save_animation][imagegen.save_animation] writes the frames as GIF, WebP or MP4.
# [noise_walk][imagegen.noise_walk] keeps the prompt and walks in a circle through the noise, an
# animation without a seam. [prompt_grid][imagegen.prompt_grid] spreads four prompts over a square. And all
# that [Editing pictures](editing_pictures.py) did works here, with prompts and with pictures of any size.
#
# ## What it costs

# %%
for name in ("stable_diffusion_3_medium", "stable_diffusion_3.5_large"):
    gigabytes = sd3.weight_bytes(name, "bfloat16") / 1e9
    print(f"{name}: {gigabytes:.1f} GB of weights in bfloat16")

# %% tags=["hide"]
assert gigabytes < 24

# %% [markdown]
# These are the numbers of weights that KerasHub lists for its presets, two bytes each. Pictures in the
# making come on top. `sd3.load` refuses what can't fit, before it downloads anything. As for time, the makers [report](https://stability.ai/news/stable-diffusion-3-research-paper) of their largest model, of
# 8 billion weights, that it fits into the 24 GB of a GeForce RTX 4090, and takes 34 seconds there for a
# picture of 1024 x 1024 pixels in 50 steps. The loop itself adds nothing to speak of: it is compiled
# once, for all numbers of steps, and takes weights as arguments.
#
# ## What we have learnt
#
# - Stable Diffusion 3 is a text encoder, a denoiser of latents and an autoencoder, and the loop in
#   between is the one that we know.
# - Four tensors carry the prompt and the negative prompt: a vector for each token, and one for the whole.
# - Many steps at high noise decide what is where. 20 to 28 steps are a good number.
# - CLIP reads from left to right: what matters most stands in front.
# - Noise and embeddings are mixed with `slerp`, and frames cohere under one noise.
#
# A closing thought. The astronaut on the elephant, the creature half-way between dog and nightmare: none of them
# was in the training data, and all of them lie *between* what was. Deep networks are interpolation machines. They
# learn a space in which every point has a meaning, and give us ways through it. They don't know what lies outside
# of it, which is why hands have six fingers now and then, and light falls from two suns.
#
# ## Exercises
#
# **1.** `generate` takes a guidance scale. At which scale does the negative prompt play no part? Check it on
# latents.

# %% tags=["solution"]
apart = {}
for scale in (1.0, 4.0):
    pair = [
        model.sample(
            positive,
            negative_prompts=other,
            guidance_scale=scale,
            num_steps=4,
            seed=0,
        )
        for other in (negative, model.encode_prompts(""))
    ]
    apart[scale] = np.abs(pair[0] - pair[1]).max()
    print(f"w = {scale:g}: largest difference {apart[scale]:.4f}")

# %% [markdown] tags=["solution"]
# At 1. There the formula is $\hat x = \hat x_+$, and the second prompt cancels.

# %% tags=["hide", "solution"]
assert apart[1.0] < 1e-4 < apart[4.0]

# %% [markdown]
# **2.** How many times can you say "fox" before the model stops listening?

# %% tags=["solution"]
import warnings


def is_heard(count):
    """Whether it matters what comes after so many foxes."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # It warns of what isn't read, which is what we look for.
        prompts = [" ".join(["fox"] * count + [end]) for end in ("owl", "cat")]
        one, other = model.encode_prompts(prompts)[0]
    return np.abs(one - other).max() > 1e-5


heard, ignored = 0, 100
while ignored - heard > 1:
    middle = (heard + ignored) // 2
    heard, ignored = (middle, ignored) if is_heard(middle) else (heard, middle)
print(f"after {heard} foxes the next word is heard, after {ignored} it isn't")

# %% [markdown] tags=["solution"]
# 77 places, less one for the start and one for the end, leave 75 tokens. How many words that is depends on the
# tokenizer: one may take several tokens.

# %% tags=["hide", "solution"]
assert 0 < heard < 75

# %% [markdown]
# **3.** Noise of two seeds is at a right angle. How near to a right angle, and how does that depend on the size of
# the picture?

# %% tags=["solution"]
for side in (4, 16, 64):
    pairs = imagegen.samplers.initial_noise(100, (side, side, 16), 1).reshape(
        50, 2, -1
    )
    cosines = [
        one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        for one, two in pairs
    ]
    print(
        f"latents of {side} x {side}: off by {np.degrees(np.std(cosines)):.2f} "
        "degrees"
    )

# %% [markdown] tags=["solution"]
# The deviation of the cosine is one over the root of the number of dimensions. Sixteen times the dimensions bring it
# four times as near.

# %% [markdown]
# This was the last chapter. [Your own pictures](your_own_pictures.py) shows how to go on with pictures of yours, the
# [gallery](gallery.py) what the models paint, and the [reference](../api/sd3.md) everything about Stable Diffusion 3.
