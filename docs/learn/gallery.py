# %% [markdown]
# # Gallery
#
# What the models in this package make, large and unselected. Each picture on this page comes from a
# seed, and was painted when the site was built. So each line of code here gives the same picture on
# your machine, or nearly: another processor may round the last digit of a number differently.
#
# ## A meadow
#
# Sixty-four flowers, none left out. No photograph of them exists. They are painted with care: the
# [sampler](samplers.py) draws fresh noise in each of its 40 steps, and what it paints wrong in one step
# drowns in noise, to be painted anew. With so many steps the [poorer network](flowers_from_noise.py)
# hardly needs to push: 1.1 instead of the 1.5 that few steps want.

# %% alt="Sixty-four flowers of many colours, in eight rows of eight." caption="A meadow of sixty-four, none left out."
import imagegen

import numpy as np

model = imagegen.DiffusionModel.from_preset("flowers-64")
own_schedule, own_scale = model.schedule, model.autoguidance_scale
model.schedule, model.autoguidance_scale = own_schedule.schedule, 1.1
meadow = model.generate(64, num_steps=40, sampler=imagegen.DDPM(), seed=2026)
model.schedule, model.autoguidance_scale = own_schedule, own_scale
imagegen.show(meadow, columns=8)

# %% [markdown]
# Count for yourself. About fifteen of them look like shreds or smears of petals to us rather than like flowers.
#
# ## By name
#
# The preset `flowers-64-species` was told the species of each photograph. So you can ask for one.
# Where there is a name, the poorer network rests, because it knows none. Four flowers for each of eight
# names, in twelve steps of a method that needs few:

# %% alt="Eight rows of four flowers, each row another species: its colours and its shapes." caption="Four flowers a species."
gardener = imagegen.DiffusionModel.from_preset("flowers-64-species")
species = [
    "sunflower",
    "rose",
    "oxeye daisy",
    "stemless gentian",
    "passion flower",
    "common dandelion",
    "pelargonium",
    "hibiscus",
]
prompts = [name for name in species for _ in range(4)]
sampling = {"num_steps": 12, "sampler": imagegen.DPMSolver2M()}
named = gardener.generate(prompts, guidance_scale=3.0, seed=3, **sampling)
imagegen.show(named, columns=4, titles=prompts)

# %% [markdown]
# *Guidance* says how firmly the name is followed. At 1 the model paints what it learned. Above 1, it
# exaggerates what sets this species apart from flowers in general. At 0 the name is not heard. Within a
# column, all pictures begin with the same noise:

# %% alt="Five rows of six flowers, one column for each species. From the first row to the last, colours grow stronger and the species clearer." caption="From row to row more guidance."
scales = [0.0, 1.0, 2.0, 4.0, 8.0]
six = [
    "sunflower",
    "rose",
    "oxeye daisy",
    "passion flower",
    "common dandelion",
    "hibiscus",
]
rows = [
    gardener.generate(six, guidance_scale=scale, seed=1, **sampling)
    for scale in scales
]
titles = [f"{name}, {scale:g}" for scale in scales for name in six]
imagegen.show(np.concatenate(rows), columns=6, titles=titles)

# %% tags=["hide"]
assert meadow.shape == (64, 64, 64, 3)
assert all(name in gardener.encoder.names for name in species)

# %% [markdown]
# ## From one species to the next
#
# Inside the model a name is a vector. Between the vectors of two species there are others, which are
# no species at all. We walk around a circle of four, always from the same noise.

# %%
(vectors,) = gardener.encode_prompts(
    ["sunflower", "passion flower", "hibiscus", "oxeye daisy"]
)
around = imagegen.walk(vectors, 32, closed=True).astype("float32")
soil = np.repeat(
    imagegen.samplers.initial_noise(1, (64, 64, 3), seed=8), 32, axis=0
)
metamorphosis = gardener.generate(
    imagegen.Conditions(around),
    guidance_scale=3.0,
    noise=soil,
    seed=0,
    **sampling,
)
imagegen.Animation(
    metamorphosis,
    alt="One flower becomes another species, and another",
    frames_per_second=8,
    scale=4,
)

# %% [markdown]
# ## Twice as large
#
# The preset `flowers-128` paints 128 pixels a side, in [latents](latent_diffusion.py#photographs), and is told species and
# colours in words. Twenty-four species, a picture each, none picked. Those with small flowers, such as gaura and toad
# lily, it hasn't learned:

# %% alt="Twenty-four pictures of flowers with their names, 128 pixels wide, of all colours." caption="Twenty-four species at 128 pixels."
photographer = imagegen.LatentDiffusion.from_preset("flowers-128")
named = [name for name in gardener.encoder.names if name != "lotus lotus"]
named = named[:: len(named) // 24][:24]
large = photographer.generate(
    [f"a photo of a {name}" for name in named], seed=4
)
imagegen.show(large, columns=6, scale=1, titles=named)

# %% [markdown]
# ## By sentence
#
# The preset `captioned-64` read captions of drawn flowers, and [paints in latents](latent_diffusion.py).
# Ten sentences, and what it makes of them:

# %% alt="Ten drawn flowers, each with the petals, the centre and the background that its sentence names." caption="Ten sentences."
painter = imagegen.LatentDiffusion.from_preset("captioned-64")
sentences = [
    "a red flower with three petals and a yellow centre on a blue background",
    "a white flower with eight petals and an orange centre on a green "
    "background",
    "a purple flower with five petals and a yellow centre on a pink background",
    "an orange flower with six petals and a white centre on a purple "
    "background",
    "a pink flower with four petals and a red centre on a white background",
    "a blue flower with seven petals and a white centre on a yellow background",
    "a green flower with eight petals and a pink centre on an orange "
    "background",
    "a yellow flower with five petals and a purple centre on a red background",
    "a white flower with six petals and a blue centre on a red background",
    "a blue flower with three petals and a pink centre on a green background",
]
painted = painter.generate(sentences, guidance_scale=2.0, seed=7)
imagegen.show(painted, columns=5, scale=2, titles=sentences)

# %% tags=["hide"]
told = imagegen.drawn.prompt_adherence(painted, sentences)
assert told.petal_color >= 0.9
assert told.background_color >= 0.9

# %% [markdown]
# And the way around four of them. [Text to image](text_to_image.py) tells what lies between two sentences.

# %%
stations = [sentences[i] for i in (0, 2, 7, 5)]
options = {"closed": True, "guidance_scale": 2.0, "seed": 7, "batch_size": 10}
stroll = imagegen.prompt_walk(painter, stations, 40, **options)
imagegen.Animation(
    stroll,
    alt="A drawn flower changes its colours and its petals",
    frames_per_second=8,
    scale=4,
)

# %% [markdown]
# ## A walk through noise
#
# Now the other way round: no name, and noise that turns, slowly, from one draw to another. `walk`
# keeps to the sphere on which noise lies. Each frame is a flower of its own.

# %%
noises = imagegen.samplers.initial_noise(5, (64, 64, 3), seed=21)
path = imagegen.walk(noises, 48, closed=True).astype("float32")
wandering = model.generate(48, noise=path, seed=0, **sampling)
imagegen.Animation(
    wandering,
    alt="Flowers that melt into each other",
    frames_per_second=8,
    scale=4,
)

# %% [markdown]
# The same walk, every fourth frame:

# %% alt="Twelve flowers, each a little like the one before." caption="Every fourth frame of the walk."
imagegen.show(wandering[::4], columns=6)

# %% [markdown]
# ## How they come into being
#
# Nine flowers while they are painted. On the left is what the model is given at each step, on the right
# the picture that it believes to be hidden in it.

# %%
noisy, clean = zip(*model.generate_steps(9, num_steps=30, seed=12), strict=True)
film = [
    np.concatenate(
        [imagegen.grid(left, columns=3), imagegen.grid(right, columns=3)],
        axis=1,
    )
    for left, right in zip(noisy, clean, strict=True)
]
imagegen.Animation(
    [*film, *film[-1:] * 10],
    alt="Noise clears up and becomes nine flowers; beside it, blurs become the "
    "same flowers",
    frames_per_second=8,
    scale=2,
)

# %% tags=["hide"]
np.testing.assert_array_equal(noisy[-1], clean[-1])

# %% [markdown]
# ## Digits
#
# The model of [Latent spaces](latent_spaces.py) lays all digits out in a plane. Here is the plane,
# thirty by thirty, such that each picture stands for an equal share of the prior:

# %% alt="Thirty rows of thirty digits. Neighbours are alike, and regions of each digit flow into each other." caption="The plane of digits."
vae = imagegen.VAE.from_preset("digits-2d")
plane = vae.decode(imagegen.latent_grid(30, limit=None))
imagegen.show(imagegen.grid(plane, columns=30, padding=0), scale=1)

# %% [markdown]
# With sixteen dimensions there is no plane to look at, but there is more room for handwriting. A
# hundred samples:

# %% alt="A hundred handwritten digits, of varied handwriting. Most are clear, and some are no digit." caption="A hundred digits from sixteen dimensions."
wider = imagegen.VAE.from_preset("digits-16d")
latents = np.random.default_rng(0).standard_normal((100, 16))
imagegen.show(imagegen.grid(wider.decode(latents), columns=10), scale=2)

# %% [markdown]
# About two thirds can be read at once. The others lie between digits, where the prior has room and the training had
# none.
#
# [How good is it?](how_good_is_it.py) says in numbers how good all that is. What each model was
# trained on, and for how long, is listed under [Presets](presets.py).
