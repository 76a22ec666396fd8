# %% [markdown]
# # Text to image from scratch
#
# "A red flower with five petals on a blue background". How does a sentence become a picture? The large
# models that do it were trained for months. Here is one that was trained within an hour on two processor
# cores, and every line of it is in this package. At the end of the chapter you can
#
# - turn sentences into vectors, and let a network look at them,
# - say what guidance is, and see what it costs,
# - write prompts and negative prompts,
# - measure whether a model does what it was told, and find what it can't do.
#
# Read [flowers from noise](flowers_from_noise.py) first. All that is new here are the words.
#
# ## Pictures with captions
#
# To learn what words mean, a model needs pictures that come with words. We draw them: then we have as
# many as we like, and know everything about each. The *caption* says what is on the picture.

# %% alt="Eight drawn flowers in bright colours, each under its caption."
import textwrap

import imagegen

import numpy as np

images, captions, attributes = imagegen.datasets.captioned_flowers(8, image_size=64, seed=3)
titles = [textwrap.fill(caption, 22) for caption in captions]
imagegen.show(images, titles=titles, columns=4, scale=2)

# %% [markdown]
# Every second caption names the colour of the centre, and the others don't. None says whether petals
# are plain, striped or spotted. What captions never name, prompts can't ask for.
#
# Prompts are often shorter than captions. So half of the captions that the model learns from leave
# something out:

# %%
rng = np.random.default_rng(0)
for flower in attributes[:4]:
    print(imagegen.partial_caption(flower, rng))

# %% [markdown]
# ## From words to vectors
#
# A network computes with numbers. So a *tokenizer* gives each word one, its *token*. The vocabulary is
# all words of the captions. This is the trained model's:

# %%
model = imagegen.DiffusionModel.from_preset("captioned-32")
encoder = model.encoder
print(len(encoder.tokenizer.words), "words:", ", ".join(encoder.tokenizer.words))
print(encoder.tokens(["a red flower", "five petals"]))

# %% [markdown]
# After the last word comes 1, which means "end", and then 0, padding, so that all sentences have the same
# length. A word that the model never read is an error, and not a guess:

# %%
try:
    encoder.tokens(["a bleu flower"])
except ValueError as error:
    print(error)

# %% [markdown]
# Each token has a vector, 64 numbers that are learned like any weight. But a word alone says little:
# "red" can be the petals' colour or the background's. So the vectors pass through a *transformer*. In its
# *attention*, each word looks at all others and takes from them what it needs. With a vector $q$ (the
# *query*), $k$ (the *key*) and $v$ (the *value*) computed from each word's vector,
#
# $$\text{seen by word } i = \sum_j a_{ij}\, v_j, \qquad
# a_{ij} = \frac{\exp(q_i \cdot k_j / \sqrt d)}{\sum_l \exp(q_i \cdot k_l / \sqrt d)}.$$
#
# The weights $a_{ij}$ are positive and sum to 1. Two such layers, and each word's vector knows the
# sentence around it. What comes out are the vectors of all words, a *sequence*, and one for the whole
# sentence, which is the one at "end":

# %%
sequence, sentence = model.encode("a red flower with five petals on a blue background")
print(sequence.shape, sentence.shape)

# %% [markdown]
# ## A network that looks at words
#
# The U-Net gets both. The sentence's vector tells every block how to scale and shift its channels, as the
# noise rate does. The words' vectors go into *cross-attention*: at 8 x 8 and at 4 x 4, each place of the
# picture looks at all words, by the same formula. The place asks with $q$, the words answer with $k$ and
# $v$.
#
# Which place looks at which word? The weights $a_{ij}$ can be drawn, one map for each word. We take a
# picture that is half noise, and the layer at 8 x 8 on the way up.

# %% alt="A noisy flower, its estimate, and how strongly each place looks at each of eight words."
prompt = "a red flower with five petals on a blue background"
words = prompt.split()
conditions = model.encode(prompt)
noisy, clean = list(model.generate_steps([prompt], num_steps=20, seed=1))[9]
noise_rate, signal_rate = (np.asarray(rate) for rate in model.schedule(np.float32(0.5)))
inputs = [
    model.to_samples(noisy),
    np.full((1, 1, 1, 1), noise_rate),
    *conditions,
]
(*_, maps) = model.averaged.attention_maps(inputs)
maps = np.asarray(maps)[0]

shown = ["red", "flower", "five", "petals", "blue", "background"]
tiles = []
for word in shown:
    tile = maps[..., words.index(word)]
    tiles.append(np.repeat((255 * tile / tile.max()).astype("uint8")[..., None], 3, axis=-1))
tiles = [tile.repeat(4, axis=0).repeat(4, axis=1) for tile in tiles]
imagegen.show(
    [noisy[0], clean[0], *tiles], titles=["noisy", "estimate", *shown], columns=4, scale=2
)

# %% [markdown]
# Bright places look at the word the most. Each map is stretched to its own brightest place.
#
# ## Training
#
# Nothing in the training is new either. `fit` takes pictures and tokens in the place of pictures alone:
#
# ```python
# model = imagegen.DiffusionModel(network, encoder=imagegen.TextEncoder(tokenizer, dim=64))
# model.normalizer.adapt(images)
# model.compile(optimizer="adamw")
# model.fit((images, model.encoder.tokens(captions)), epochs=6)
# ```
#
# One line in the model matters for what follows. In one out of ten cases, the caption is replaced by the
# empty one. So the same network learns two things: what a flower with this caption looks like, and what
# flowers look like in general. The whole program is `recipes/captioned_32.py` in the repository.
#
# ## Prompts
#
# A *prompt* is a caption for a picture that doesn't exist yet.

# %% alt="Eight flowers, each under the prompt that it was painted for."
prompts = [
    "a red flower with five petals on a blue background",
    "a white flower with eight petals and a yellow centre on a green background",
    "an orange flower with four petals and a purple centre on a white background",
    "a purple flower with six petals on a yellow background",
    "a blue flower",
    "seven pink petals",
    "a green background",
    "",
]
painted = model.generate(prompts, seed=4)
imagegen.show(
    painted, titles=[textwrap.fill(p, 22) or "(nothing)" for p in prompts], columns=4, scale=3
)

# %% [markdown]
# What a prompt leaves open, the model decides. The last one leaves everything open.
#
# Change one word, keep the noise, and only what that word says should change:

# %% alt="Two rows of seven flowers on green. In the first the petals go through seven colours, in the second their number grows from three to nine."
colors = ["red", "orange", "yellow", "blue", "purple", "pink", "white"]
by_color = [f"a {color} flower with five petals on a green background" for color in colors]
by_color[1] = by_color[1].replace("a orange", "an orange")
numbers = ["three", "four", "five", "six", "seven", "eight", "nine"]
by_number = [f"a pink flower with {number} petals on a green background" for number in numbers]


def with_one_noise(prompts, **options):
    noise = np.random.default_rng(5).standard_normal((1, *model.sample_shape)).astype("float32")
    return model.generate(prompts, noise=noise.repeat(len(prompts), axis=0), seed=0, **options)


rows = np.concatenate([with_one_noise(by_color), with_one_noise(by_number)])
imagegen.show(rows, titles=[*colors, *numbers], columns=7, scale=2)

# %% [markdown]
# ## Does it do what it is told?
#
# We know how the flowers are drawn. So a few lines of code can read a picture back:

# %%
for prompt, reading in zip(prompts[:4], imagegen.read_flowers(painted[:4]), strict=True):
    print(prompt)
    print("   ", reading)

# %% [markdown]
# That makes obedience a number: the share of pictures that show what their prompts say. 64 prompts that
# name everything, with three to eight petals:

# %%
asked = []
rng = np.random.default_rng(7)
while len(asked) < 64:
    flower = imagegen.sample_attributes(rng)
    if flower.num_petals <= 8:
        asked.append(imagegen.caption(flower, name_center=True))
obedience = imagegen.prompt_adherence(model.generate(asked, seed=1), asked)
print(f"petals' colour  {obedience.petal_color:.0%}")
print(f"centre          {obedience.center_color:.0%}")
print(f"background      {obedience.background_color:.0%}")
print(f"petals' number  {obedience.num_petals:.0%}")

# %% tags=["hide"]
assert min(obedience.petal_color, obedience.center_color, obedience.background_color) > 0.9
assert 0.3 < obedience.num_petals < obedience.petal_color

# %% [markdown]
# Colours are easy, and counting is hard. A colour shows on every petal. The number shows only on the
# whole flower, and one torn petal spoils it.

# %% [markdown]
# ## Guidance
#
# The model that we asked was *guided*. At each step it makes two estimates of the clean picture: one with
# the prompt, $\hat x_+$, and one with the empty prompt, $\hat x_-$. Their difference is what the prompt
# adds. Guidance goes further in that direction, with the *guidance scale* $w$:
#
# $$\hat x = \hat x_+ + (w - 1)(\hat x_+ - \hat x_-)$$
#
# At $w = 1$ that is the estimate with the prompt, as it is. In code:

# %%
import inspect

from IPython.display import Markdown


def show_source(function):
    """Show how the package does it, without the documentation."""
    source = inspect.getsource(function).replace(f'r"""{function.__doc__}"""', "")
    lines = [line for line in source.splitlines() if line.strip()]
    return Markdown("```python\n" + "\n".join(lines) + "\n```")


show_source(imagegen.guide)

# %% [markdown]
# Both estimates come out of one call of the network, with a batch of twice the size. So guidance doubles
# the work. Here is one prompt at five scales, each column under its own noise:

# %% alt="Five rows of eight flowers for one prompt. At scale 0 they have any colour. From row to row they are more alike, and closer to the prompt."
scales = [0.0, 1.0, 2.0, 4.0, 8.0]
prompt = "a purple flower with five petals on a yellow background"
guided = [model.generate([prompt] * 8, guidance_scale=scale, seed=6) for scale in scales]
titles = [f"w = {scale:g}" if column == 0 else "" for scale in scales for column in range(8)]
imagegen.show(np.concatenate(guided), titles=titles, columns=8)

# %% [markdown]
# Guidance has a price: pictures of one prompt grow more alike. *Diversity* goes down. Adherence goes up
# at first, until too much guidance spoils the pictures. The prompt says nothing of the centre. How many colours does the model choose from? If it
# takes each colour with the share $p_i$, the number is
#
# $$2^H, \qquad H = -\sum_i p_i \log_2 p_i.$$
#
# $H$ is the *entropy* in bits. Six colours in equal shares count as six, and one colour counts as one.

# %% tags=["fold"] alt="With the guidance scale, the share of flowers that are as prompted rises and falls again, and the number of centre colours falls."
import collections

import matplotlib.pyplot as plt


def num_centers(pictures):
    """How many colours of the centre there are, by their entropy."""
    named = [reading.center_color for reading in imagegen.read_flowers(pictures)]
    counts = collections.Counter(color for color in named if color != "none")
    shares = np.array(list(counts.values())) / counts.total()
    return 2 ** -(shares * np.log2(shares)).sum()


curve = [1.0, 1.5, 2.5, 4.0]
right, varied = [], []
for scale in curve:
    answers = model.generate(asked, guidance_scale=scale, seed=2)
    right.append(imagegen.prompt_adherence(answers, asked).everything)
    varied.append(num_centers(model.generate([prompt] * 48, guidance_scale=scale, seed=6)))

figure, axes = plt.subplots(figsize=(5.2, 3))
axes.plot(curve, right, "o-", color="tab:blue")
axes.set(xlabel="guidance scale", ylim=(0, 1.02))
axes.set_ylabel("all as prompted", color="tab:blue")
other = axes.twinx()
other.plot(curve, varied, "s--", color="tab:orange")
other.set_ylabel("centre colours", color="tab:orange")
other.set_ylim(0)
plt.show()

# %% tags=["hide"]
assert max(right) > right[0], "guidance makes the model follow its prompts"
assert varied[-1] < varied[0], "and its pictures more alike"

# %% [markdown]
# ## Negative prompts
#
# What stands in the place of the empty prompt is what guidance moves *away* from. It need not be empty. A
# *negative prompt* says what the picture shall not show:

# %% alt="Two rows of eight flowers under the same noise. Blue petals in the first row have another colour in the second."
open_prompt = ["a flower on a white background"]
plain = model.generate(open_prompt * 64, seed=8)
without_blue = model.generate(open_prompt * 64, negative_prompts="blue petals", seed=8)
is_blue = np.array([reading.petal_color == "blue" for reading in imagegen.read_flowers(plain)])
still_blue = sum(reading.petal_color == "blue" for reading in imagegen.read_flowers(without_blue))

print(f"{is_blue.sum()} of 64 flowers are blue, and with the negative prompt {still_blue}.")
first = np.argsort(~is_blue, kind="stable")[:8]
imagegen.show(np.concatenate([plain[first], without_blue[first]]), columns=8)

# %% tags=["hide"]
assert is_blue.sum() > 0
assert still_blue < is_blue.sum()

# %% [markdown]
# The upper row has the blue flowers first, and below each stands the one that the same noise became with
# the negative prompt "blue petals".
#
# ## Between two prompts
#
# Prompts become vectors, and between two vectors lie others. [prompt_walk][imagegen.prompt_walk] goes from
# one prompt to another on a great circle, by [slerp][imagegen.slerp]. All frames begin with the same noise.
# Twenty-two frames there and twenty back make an animation without a seam:

# %%
ends = [
    "a white flower with six petals and a red centre on a blue background",
    "a red flower with six petals and a white centre on a yellow background",
]
frames = imagegen.prompt_walk(model, ends, 22, seed=2, batch_size=11)
imagegen.Animation(
    frames,
    alt="A white flower on blue turns into a red one on yellow, and back.",
    frames_per_second=12,
    there_and_back=True,
    scale=6,
)

# %% [markdown]
# Fresh noise for each frame would make it flicker. How much, says the mean change from one frame to the
# next, in levels of 255:


# %%
def change(film):
    return abs(film[1:].astype("float32") - film[:-1].astype("float32")).mean()


conditions = [imagegen.walk(end, 22) for end in model.encode(ends)]
flicker = model.generate(conditions, seed=2)
print(f"one noise: {change(frames):.1f}   fresh noise: {change(flicker):.1f}")

# %% tags=["hide"]
assert change(frames) < change(flicker) / 2

# %% [markdown]
# With four prompts, one in each corner, the ways between them fill a square:

# %% alt="A square of seven by seven flowers, with a different flower in each corner and mixtures between."
corners = [
    "a red flower with four petals on a white background",
    "a blue flower with four petals on a yellow background",
    "a white flower with eight petals on a green background",
    "a yellow flower with eight petals on a purple background",
]
imagegen.show(imagegen.prompt_grid(model, corners, 7, seed=3, batch_size=7), columns=7)

# %% [markdown]
# ## What it can't do
#
# Five combinations of petals and background never occurred in training, such as red on white. Did the
# model learn the words one by one, or whole sentences by heart?

# %%
HELD_OUT = [
    ("red", "white"),
    ("yellow", "blue"),
    ("pink", "green"),
    ("white", "purple"),
    ("purple", "orange"),
]
unseen = []
while len(unseen) < 60:
    flower = imagegen.sample_attributes(rng)
    if flower.num_petals <= 8 and (flower.petal_color, flower.background_color) in HELD_OUT:
        unseen.append(imagegen.caption(flower, name_center=True))
answers = model.generate(unseen, seed=3)
adherence = imagegen.prompt_adherence(answers, unseen)
print(f"petals {adherence.petal_color:.0%}, background {adherence.background_color:.0%}")

# %% [markdown]
# It puts words together that it never met together. But it can't go beyond what they say. A word that it
# never read is an error. And sentences whose words it knows, but which mean what no training picture
# shows, it takes for something that it knows:

# %% alt="Three rows of four flowers that miss what their prompts ask for."
impossible = [
    "a red flower and a blue flower",
    "a flower with a red background and a blue background",
    "a flower with three red petals and four blue petals",
]
rows = np.concatenate([model.generate([prompt] * 4, seed=4) for prompt in impossible])
imagegen.show(
    rows,
    titles=[textwrap.fill(p, 26) if i == 0 else "" for p in impossible for i in range(4)],
    columns=4,
)

# %% [markdown]
# No flower came twice on a picture, so two flowers it can't paint. The large models have the same trouble
# at a larger scale: what was rare in training comes out wrong, however clear the prompt.
#
# ## On photographs
#
# Does the recipe work on photographs? The 4,500 photographs of flowers that this package learns from come
# with one thing that is like a caption: the name of the species. "A photo of a sunflower" says no more than
# "sunflower", as every picture is a photo. So the encoder of `flowers-64-species` knows names and nothing
# else. It is a table with one vector for each, and goes through the same door as sentences do:

# %% alt="Three rows of eight flowers: sunflowers, roses and passion flowers, as a model of photographs paints them."
photographer = imagegen.DiffusionModel.from_preset("flowers-64-species")
names = ["sunflower", "rose", "passion flower"]
photographs = photographer.generate([name for name in names for _ in range(8)], seed=7)
imagegen.show(photographs, columns=8)

# %% [markdown]
# That is what two processor cores reach in some hours. Colours and the kind of the petals follow the
# name. Many flowers are out of shape, and a look at [how good it is](how_good_is_it.py) says by how much.
# There are about 50 photographs of each species, and no sentence about any of them: that this one is seen
# from the side, or that two stand in the grass. A model that shall obey such sentences has to read them in
# training. Stable Diffusion read hundreds of millions.
#
# ## Try it
#
# - Which colours of petals does the model choose when the prompt says nothing of them? Count 200.
# - Guide *towards* "three petals" and *away from* "eight petals" at once. Does it help the number?
# - Set `guidance_rescale=0.7` at a scale of 8. What does it give back?
# - Train a model of your own with `recipes/captioned_32.py`, without dropping captions
#   (`prompt_dropout=0`). What becomes of guidance?
