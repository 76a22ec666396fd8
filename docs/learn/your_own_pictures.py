# %% [markdown] needs=["flowers_from_noise", "text_to_image"]
# # Your own pictures
#
# So far every model learned from our data. Now it is your turn: a folder of pictures is all it takes.
#
# !!! abstract "What you will learn"
#     - How to load a folder as people have them, with all that goes wrong in such folders.
#     - Why training from nothing needs more pictures than you have.
#     - How to teach a trained model a new word from twelve pictures, within a minute.
#     - What becomes of it with two pictures: copies.
#     - How to save the model and its pictures, and what a GPU would change.
#
# ## A folder
#
# You already have a folder, and `imagegen.datasets.folder("its name", image_size=32)` loads it, as in the second cell
# below. This page has to make a folder first. It takes sunflowers, and treats them as life does: they come in all shapes, one was
# taken with the camera held upright, one is a PNG with a transparent background, and one file broke off in the middle
# of a download.

# %%
import pathlib

import imagegen

import keras
import numpy as np
from PIL import Image

flowers = imagegen.datasets.flowers(image_size=96)
sunflowers = flowers.images[flowers.labels == flowers.names.index("sunflower")]
mine, others = sunflowers[:12], sunflowers[12:]

folder = pathlib.Path("my pictures") / "sunflower"
folder.mkdir(parents=True, exist_ok=True)
for number, picture in enumerate(mine[:10]):
    left, top = number, number // 2
    Image.fromarray(picture[top : 96 - top, left : 96 - left]).save(
        folder / f"{number}.jpg"
    )

# The sensor lies on its side, and a note in the file says so.
note = Image.Exif()
note[0x0112] = 6
Image.fromarray(np.rot90(mine[10])).save(folder / "upright.jpg", exif=note)

# Only a disc around the flower is opaque.
rows, columns = np.mgrid[:96, :96] - 47.5
disc = np.uint8(255 * (rows**2 + columns**2 < 46**2))
Image.fromarray(np.dstack([mine[11], disc])).save(folder / "cut out.png")

whole = (folder / "0.jpg").read_bytes()
(folder / "broken.jpg").write_bytes(whole[:1000])
print(*sorted(file.name for file in folder.iterdir()), sep=", ")

# %% [markdown]
# `datasets.folder` reads it. Each picture is turned as its camera says, laid on a background where it is transparent, cut
# to a square, and resized. What can't be read is left out, and a warning names it.

# %% alt="Twelve small pictures of sunflowers, all upright. One has a white background." caption="What is read from it."
pictures = imagegen.datasets.folder("my pictures", image_size=32)
print(pictures.names, pictures.images.shape)
imagegen.show(pictures.images, columns=6, scale=3)

# %% tags=["hide"]
assert pictures.names == ["sunflower"]
assert len(pictures) == 12
assert list(pictures.broken) == ["sunflower/broken.jpg"]
upright = pictures.paths.index("sunflower/upright.jpg")
as_taken = imagegen.center_square(Image.fromarray(mine[10]), 32)
assert np.abs(pictures.images[upright].astype(int) - as_taken).mean() < 6
cut_out = pictures.images[pictures.paths.index("sunflower/cut out.png")]
assert cut_out[0, 0].tolist() == [255, 255, 255]

# %% [markdown]
# The names of sub-folders are the classes. Captions are read from a text file beside each picture, or from a `metadata.csv`.
# An archive works as a folder does. A large folder is not loaded: its pictures are read batch by
# batch while the model trains. So there can be a hundred thousand of them.
#
# Look at what you loaded before you train on it. A minute of looking saves hours.
#
# ## From nothing
#
# A new model begins with random weights. All that it will ever know is in these twelve pictures.

# %% alt="Six patterns of blurs in yellow, green and brown." caption="All that twelve pictures teach a beginner."
keras.utils.set_random_seed(0)
network = imagegen.UNet(
    32, [16, 32, 48], block_depth=1, norm="group", embedding_dim=32
)
beginner = imagegen.DiffusionModel(
    network, prediction=imagegen.VelocityPrediction(), loss="mean_squared_error"
)
beginner.normalizer.adapt(pictures.images)
beginner.compile(keras.optimizers.AdamW(3e-3))
history = beginner.fit(pictures.batches(12), epochs=100, verbose=0)
print(
    f"loss: {history.history['loss'][0]:.2f} at first, "
    f"{history.history['loss'][-1]:.2f} at last"
)
imagegen.show(beginner.generate(6, num_steps=10, seed=1), columns=6, scale=3)

# %% tags=["hide"]
assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]

# %% [markdown]
# After a hundred steps it has the colours. Thousands of steps would bring petals, too, but only *these* twelve
# flowers: a model that sees nothing else learns them by heart. The flowers of this site come from thousands of
# photographs and hours of training. So don't begin from nothing when you have few pictures. Begin with
# a model that knows how pictures look.
#
# ## Fine-tuning
#
# The preset `captioned-32` paints drawn flowers from captions. It never saw a photograph. We teach it what a
# sunflower is.
#
# `with_names` returns a copy that has a place for one more word. So far the word means nothing: its vector is
# random.

# %%
model = imagegen.DiffusionModel.from_preset("captioned-32")
taught = imagegen.with_names(model, ["sunflower"])
noise = {"num_steps": 15, "seed": 3, "guidance_scale": 2.0}
untaught = taught.generate("a sunflower", num_images=6, **noise)
print(
    len(taught.encoder.tokenizer.words),
    "words, the last one:",
    taught.encoder.tokenizer.words[-1],
)

# %% [markdown]
# From sunflowers alone it would learn fast, and forget everything else: soon each of its flowers would be a sunflower.
# That is *catastrophic forgetting*. The cure is to go on showing it what it knows. Half of what it sees now are
# sunflowers. The other half are drawings with their captions, as in its first training. Where you don't have the data
# that a model was trained on, let the model paint it: that is *prior preservation*. Real data keeps more.
#
# One more thing must stay as it is: the empty prompt. [Guidance](text_to_image.py) moves away from it. If
# half of what goes without a caption were sunflowers, guidance would move all other flowers away from
# sunflowers. So some drawings go without a caption, and no sunflower does.


# %%
def teach(images, prompt, epochs=4):
    """Teaches a copy of the model a word, among those that it knows."""
    taught = imagegen.with_names(model, ["sunflower"])
    drawings, captions, _ = imagegen.datasets.captioned_flowers(
        192, image_size=32, seed=1
    )
    captions = [
        "" if number % 8 == 0 else caption
        for number, caption in enumerate(captions)
    ]
    repeated = np.resize(images, drawings.shape)
    # No more captions are left out at random: the empty ones were chosen above.
    taught.prompt_dropout = 0.0
    keras.utils.set_random_seed(0)
    steps = epochs * 2 * len(drawings) // 16
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    taught.compile(keras.optimizers.Adam(rate, clipnorm=1.0))
    history = taught.fit(
        np.concatenate([repeated, drawings]),
        [prompt] * len(drawings) + captions,
        batch_size=16,
        epochs=epochs,
        verbose=0,
    )
    print(
        f"{len(images)} pictures, {steps} steps: loss "
        f"{history.history['loss'][-1]:.2f}"
    )
    return taught


taught = teach(pictures.images, "a sunflower")

# %% [markdown]
# Above, what the word showed before. In the middle, from the same noise, what it shows now. Below, a prompt that has nothing to
# do with it, before and after.

# %% tags=["hero"] alt="A row of drawings; a row of sunflowers that look like photographs; a row of three red flowers before and three after." caption="Before and after the lesson."
painted = taught.generate("a sunflower", num_images=6, **noise)
prompt = "a red flower with five petals on a blue background"
kept = [
    each.generate(prompt, num_images=6, **noise)[:3] for each in (model, taught)
]
imagegen.show(np.concatenate([untaught, painted, *kept]), columns=6, scale=3)

# %% tags=["hide"]
middle = pictures.images.mean(axis=0)


def from_middle(images):
    return np.abs(images - middle).mean()


assert from_middle(painted) < 0.7 * from_middle(untaught)
assert np.abs(kept[0].astype(int) - kept[1]).mean() < 0.6 * from_middle(kept[1])

# %% [markdown]
# The word goes into sentences with words that the model has known all along. The background obeys. The flower pays for
# it: on red it is hardly there, and on blue it is ragged. No sunflower that the model was shown had a background of
# one colour.

# %% alt="Three flowers that hardly stand out from a red background, and three ragged ones on blue." caption="Two words that were never together in training."
mixed = ["a sunflower on a red background"] * 3 + [
    "a sunflower on a blue background"
] * 3
imagegen.show(taught.generate(mixed, **noise), columns=6, scale=3)

# %% [markdown]
# ## How many pictures?
#
# We do the same with the first two pictures of the folder.

# %% alt="A row with two sunflowers, and a row of six that all look like one of the two." caption="Two pictures, and six copies."
of_two = teach(pictures.images[:2], "a sunflower")
from_two = of_two.generate("a sunflower", num_images=6, **noise)
imagegen.show(
    np.concatenate([np.resize(pictures.images[:2], from_two.shape), from_two]),
    columns=6,
    scale=3,
)

# %% [markdown]
# These are good pictures, and that is the trouble: they are the two that it was given. A measure tells more than the eye
# does. For every painted sunflower we look for the nearest picture of its training, and take the mean
# difference of their pixels, in levels of 255. How near is near? Sunflowers that no model has seen give
# the scale: they are as far from the folder as a new flower should be.


# %%
def distance(images, known):
    """The mean difference to the nearest known picture, in levels."""
    apart = np.abs(images[:, None].astype("float32") - known[None]).mean(
        axis=(2, 3, 4)
    )
    return apart.min(axis=1).mean()


unseen = np.stack(
    [imagegen.center_square(Image.fromarray(one), 32) for one in others]
)
for name, images, known in (
    ("of twelve pictures", painted, pictures.images),
    ("of two pictures", from_two, pictures.images[:2]),
):
    print(
        f"painted by the model {name}: {distance(images, known):.0f} levels "
        "from the nearest"
    )
    print(
        f"unseen sunflowers: {distance(unseen, known):.0f} levels from the "
        "nearest"
    )

# %% tags=["hide"]
ratios = [
    distance(images, known) / distance(unseen, known)
    for images, known in (
        (painted, pictures.images),
        (from_two, pictures.images[:2]),
    )
]
assert ratios[1] < 0.8 * ratios[0]
assert ratios[1] < 0.6

# %% [markdown]
# Two pictures become two copies. With twelve, what is painted lies between its examples. Five to twenty pictures are
# the usual number, and they should differ in all that doesn't belong to the subject: background,
# light, side. What they have in common, the word will mean. The fewer pictures there are, the
# shorter the training should be.
#
# When all of the model moves, it can also forget more than you want. There are three cures:
#
# - Let the word learn alone first, with `taught.network.trainable = False`. Its vector finds what comes nearest among
#   all that the network can paint. Then the network has less to learn, and less to spoil.
# - Train the network in a [Rehearsal][imagegen.Rehearsal]. Old pictures then ask for the old answers, and
#   `sample_weight` says how much these count.
# - [with_lora][imagegen.with_lora] lets the network learn by small additions to its weights alone.
#
# ## Keep it
#
# A preset is one small file, and `from_preset` reads it like those of the package. Pictures know how they were
# made: `save_images` writes that into the file.

# %%
taught.save_preset("sunflower.keras")
size = pathlib.Path("sunflower.keras").stat().st_size / 1e6
again = imagegen.DiffusionModel.from_preset("sunflower.keras")
print(
    f"{size:.1f} MB, and the word is there: "
    f"{'sunflower' in again.encoder.tokenizer.words}"
)

told = {"prompt": "a sunflower", "model": "sunflower.keras", **noise}
paths = imagegen.save_images(painted, "painted", metadata=told)
print(paths[0], imagegen.read_metadata(paths[0]))

# %% [markdown]
# The file works elsewhere, too. `model.export` [writes it for other languages](../api/exporting.md), and in a terminal it takes
# no Python at all:
#
# ```bash
# python -m imagegen paint sunflower.keras "a sunflower" \
#     --num-images 8 --folder painted
# ```
#
# ## With more time
#
# The same steps make larger things. The preset `flowers-64-species` paints photographs at twice this size. It learns a
# new name from twelve pictures in some minutes on two cores. The script `benchmarks/fine_tuning.py` of the project
# measures how well, and what becomes of the old names.
#
# To train from nothing, give it a thousand pictures or more, of one kind, and hours. On a GPU set the policy
# `keras.mixed_precision.set_global_policy("mixed_bfloat16")` first, and take a batch of 64 or more: a small batch
# leaves most of a GPU idle. The code stays as it is. [Training on flowers](training_on_flowers.py) tells what such a
# training costs, and how a checkpoint lets it go on when it was stopped.
#
# ## What we have learnt
#
# - A folder is enough. What can't be read is named, and nothing is turned or cut in silence.
# - Few pictures call for a trained model, not for a new one.
# - Old pictures beside the new ones keep what a model knows, the empty prompt included.
# - Too few pictures come back as copies. The distance to the nearest one shows it.
#
# ## Try it
#
# - Put pictures of your own into the folder, under the name of what they show.
# - Leave the drawings out of `teach`. After how many epochs is a red flower no longer red?
# - Teach two words at once, from two sub-folders. Mix them in one prompt.
# - Take `imagegen.with_lora(imagegen.with_names(model, ["sunflower"]), rank=8)` for `taught`. What does it keep
#   better, and what does it learn less well?
#
# Next: [Many devices](many_devices.py). In the reference: [folder][imagegen.datasets.folder],
# [with_names][imagegen.with_names], [with_lora][imagegen.with_lora], [resized][imagegen.resized],
# [save_images][imagegen.save_images].
