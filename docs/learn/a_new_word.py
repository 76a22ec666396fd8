# %% [markdown]
# # Teach it a new word
#
# The model of [text to image](text_to_image.py) knows some thirty words. What if you want something that none of them
# names? You show it a few pictures, and it finds a word for them. That is *textual inversion*. At the
# end of this chapter you can
#
# - teach a text-to-image model a word, from five pictures and within a minute or two,
# - say what changes in the model, and prove that nothing else does,
# - use the word in any prompt, keep it in a small file, and measure whether it works.
#
# ## A colour without a name
#
# The flowers that the model learned from have petals in eight colours. Teal, between blue and green, is not
# among them. Here are five flowers in teal: each is drawn twice, once in blue and once in green, and the two
# drawings are mixed.

# %% alt="Five flowers with teal petals, on yellow, white, red, pink and orange."
import dataclasses

import imagegen

import numpy as np

model = imagegen.DiffusionModel.from_preset("captioned-32")
rng = np.random.default_rng(0)
GROUNDS = ["yellow", "white", "red", "pink", "orange"]


def some_flowers(number):
    """Flowers on grounds from which blue, green and teal stand out."""
    return [
        dataclasses.replace(
            imagegen.sample_attributes(rng, upright=True),
            petal_color="blue",
            center_color="white" if GROUNDS[i % 5] != "white" else "yellow",
            background_color=GROUNDS[i % 5],
            num_petals=int(rng.integers(4, 8)),
        )
        for i in range(number)
    ]


def in_color(flowers, *colors):
    """Draw flowers with petals of one colour, or mixed from two."""
    drawn = [
        imagegen.draw_flowers([dataclasses.replace(f, petal_color=color) for f in flowers])
        for color in colors
    ]
    return np.mean(drawn, axis=0).round().astype("uint8")


flowers = some_flowers(5)
pictures = in_color(flowers, "blue", "green")
imagegen.show(pictures, columns=5, scale=3)

# %% [markdown]
# The model has no word for them, and says so:

# %%
print(f"{len(model.encoder.tokenizer.words)} words:", *model.encoder.tokenizer.words)
try:
    model.generate("a teal flower")
except ValueError as error:
    print(error)

# %% tags=["hide"]
assert 25 <= len(model.encoder.tokenizer.words) <= 35

# %% [markdown]
# ## One vector learns
#
# For the model, a word is a vector of 64 numbers. A new word is one more vector, $v$. Which one? The one with
# which the model explains the five pictures best. "Best" means by the very loss that it was trained with:
#
# $$v^* = \arg\min_v\ \mathbb{E}\,\lVert y - f(x_t, t, c(v)) \rVert^2.$$
#
# Here $x_t$ is one of the pictures with the noise of time $t$, $f$ is the network and $y$ its target. What the text encoder
# makes of a caption with the new word is $c(v)$. Network and encoder stay as they are. Gradient descent moves
# $v$ alone.
#
# The captions say all that we can say of the pictures, and have the new word where the colour would be. So
# the word need not learn what a petal is, or what is in the background. It stands for what is left.

# %%
captions = [imagegen.caption(flower, name_center=True) for flower in flowers]
captions = [caption.replace("blue", "<teal>") for caption in captions]
for caption in captions:
    print(caption)

# %% [markdown]
# Angle brackets mark the word as new. It starts from the vector
# of a word that comes near, and 240 steps are enough. Before, we keep what the model paints and the weights
# that it has, to compare.

# %%
unrelated = ["a red flower with five petals on a white background", "seven pink petals"]
before = model.generate(unrelated, seed=0)
weights = [np.array(weight) for weight in model.averaged.weights]
words = np.array(model.averaged_encoder.word_vectors)

concept = imagegen.learn_concept(
    model,
    pictures,
    "<teal>",
    initial_word="blue",
    prompts=captions,
    num_steps=240,
    learning_rate=0.03,
)
print(concept.word, concept.vector.shape)

# %% [markdown]
# ## The word at work
#
# Above are flowers in blue. Below are the same prompts and the same noise, with the new word in the place of
# "blue". None of them is among the five pictures.

# %% alt="Two rows of eight flowers: blue petals above, and below the same flowers with teal petals."
prompts = [imagegen.caption(flower, name_center=True) for flower in some_flowers(48)]
in_teal = [prompt.replace("blue", "<teal>") for prompt in prompts]
blue_flowers, teal_flowers = model.generate(prompts, seed=3), model.generate(in_teal, seed=3)
imagegen.show(np.concatenate([blue_flowers[:8], teal_flowers[:8]]), columns=8, scale=2)

# %% [markdown]
# Does it work each time? The petals' *tint* is their median colour, divided by its largest channel, so that
# light and shadow don't matter. We look which is nearest: the tint of the five pictures, or that of one of
# the eight colours with names.

# %%
COLORS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]
axis = (np.arange(32) + 0.5) / 16 - 1
ring = abs(np.hypot(axis, axis[:, None]) - 0.5) < 0.18


def tints(images):
    found = []
    for image in images.astype("float32"):
        ground = np.median(image[[0, 1, -2, -1]], axis=(0, 1))
        petals = image[ring][abs(image[ring] - ground).sum(axis=1) > 90]
        color = np.median(petals, axis=0) if len(petals) else ground
        found.append(color / color.max())
    return np.array(found)


with_names = [
    imagegen.FlowerAttributes(5, color, COLORS[i - 1], COLORS[i - 2])
    for i, color in enumerate(COLORS)
]
known = [*tints(imagegen.draw_flowers(with_names)), tints(pictures).mean(axis=0)]


def count_teal(images):
    nearest = np.linalg.norm(tints(images)[:, None] - known, axis=2).argmin(axis=1)
    return int((nearest == len(COLORS)).sum())


print(f"teal with the word 'blue':   {count_teal(blue_flowers)} of {len(prompts)}")
print(f"teal with the word '<teal>': {count_teal(teal_flowers)} of {len(prompts)}")

# %% tags=["hide"]
assert count_teal(blue_flowers) <= 4
assert count_teal(teal_flowers) >= 0.85 * len(prompts)

# %% [markdown]
# The word goes with the others, also with numbers, centres and grounds that the five pictures didn't have:

# %% alt="Six teal flowers with different numbers of petals and grounds."
phrases = [
    "<teal> petals",
    "a <teal> flower with three petals",
    "a <teal> flower with nine petals on a white background",
    "a <teal> flower with six petals and a red centre on a yellow background",
    "five <teal> petals on a pink background",
    "a <teal> flower on a purple background",
]
imagegen.show(
    model.generate(phrases, seed=5),
    titles=phrases,
    columns=3,
    scale=3,
)

# %% [markdown]
# ## And nothing else changes
#
# Teaching a person a word doesn't make them forget others. Training a network on five pictures would: it would
# soon paint all petals teal. Here only the vector was free. The weights of the network and the vectors of all
# other words are the same numbers as before. And prompts without the word give the same pictures, bit for bit:

# %%
after = model.generate(unrelated, seed=0)
same_weights = all(
    np.array_equal(old, np.array(new))
    for old, new in zip(weights, model.averaged.weights, strict=True)
)
other_words = np.arange(len(words)) != model.encoder.tokens(["<teal>"])[0, 0]
same_words = np.array_equal(
    words[other_words], np.array(model.averaged_encoder.word_vectors)[other_words]
)
print("same weights: ", same_weights)
print("same words:   ", same_words)
print("same pictures:", np.array_equal(before, after))

# %% tags=["hide"]
assert same_weights
assert same_words
assert np.array_equal(before, after)

# %% [markdown]
# ## A word in a file
#
# All that was learned is one vector. It fits into a file of a kilobyte or two, and whoever has the same model
# can load the word from there:

# %%
import tempfile
from pathlib import Path

path = Path(tempfile.mkdtemp()) / "teal.json"
concept.save(path)
print(f"{path.stat().st_size} bytes")

other = imagegen.DiffusionModel.from_preset("captioned-32")
imagegen.add_concept(other, imagegen.Concept.load(path))
again = other.generate(in_teal[:2], seed=3)
print("the same flowers:", np.array_equal(again, model.generate(in_teal[:2], seed=3)))

# %% tags=["hide"]
assert np.array_equal(again, model.generate(in_teal[:2], seed=3))

# %% [markdown]
# ## Where is the word?
#
# A vector of 64 numbers can't be looked at, but its neighbours can. The cosine of the angle between the new
# word and each of the others:

# %% alt="Bars: the cosine between the new word and each colour. Those of green and blue are the highest."
import matplotlib.pyplot as plt

table = np.array(model.averaged_encoder.word_vectors)
tokens = model.encoder.tokens(COLORS)[:, 0]
lengths = np.linalg.norm(table[tokens], axis=1) * np.linalg.norm(concept.vector)
cosines = table[tokens] @ concept.vector / lengths

figure, axes = plt.subplots(figsize=(6.4, 2.4))
axes.bar(COLORS, cosines, color=["0.75" if color == "white" else color for color in COLORS])
axes.axhline(0, color="0.3", linewidth=0.8)
axes.set_ylabel("cosine")
plt.show()

# %% tags=["hide"]
assert {COLORS[i] for i in np.argsort(cosines)[-2:]} == {"green", "blue"}

# %% [markdown]
# It began at "blue" and moved towards "green". A vector can only ask for what captions have asked for
# before. In the drawings that the model learned from, petals are plain, striped or spotted, and no caption says
# which. So the model paints something between the three. A word learned from five striped flowers, and one
# learned from five plain ones, paint the same mottled petals. In a model that read hundreds of millions of
# captions, there are few such gaps. There, five pictures of a toy are enough to paint it in oil, on the moon,
# and with a hat on.
#
# ## What we have learnt
#
# - Textual inversion looks for a word's vector by the loss of the diffusion model. Everything else is frozen.
# - What captions say of the pictures, the word need not learn.
# - The word goes with all others, and pictures without it stay as they were.
# - It finds what the model can be told. It can't teach the network to paint what it never could.
#
# ## Try it
#
# - Leave the captions out, so that `learn_concept` uses its own. What else does the word mean then?
# - Take one picture instead of five. Take five that are all on yellow.
# - Draw five striped flowers and teach it `<striped>`. What becomes of the petals?
# - Start from "red". Does it get to teal?
#
# In the reference: [learn_concept][imagegen.learn_concept], [add_concept][imagegen.add_concept],
# [Concept][imagegen.Concept].
