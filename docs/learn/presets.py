# %% [markdown]
# # Presets
#
# Trained models that come with the package: they load by name, without a download. This page lists
# them. It is made from the package's own list, so it can't be out of date, and every picture is
# generated when the site is built.

# %%
import imagegen

presets = {name: imagegen.preset_info(name) for name in imagegen.list_presets()}

# %% tags=["fold"]
from importlib.resources import files

from IPython.display import Markdown

sizes = {
    name: files("imagegen").joinpath("weights", f"{name}.keras").stat().st_size
    for name, preset in presets.items()
    if not preset.url and not preset.file
}
rows = ["| name | what it is | size |", "|---|---|---|"]
for name, preset in presets.items():
    size = f"{sizes[name] / 1000:,.0f} KB" if name in sizes else "a download"
    if preset.file:
        size = f"in [`{preset.file}`](#{preset.file})"
    rows.append(f"| [`{name}`](#{name}) | {preset.description} | {size} |")
rows.append(f"| | together | {sum(sizes.values()) / 1000:,.0f} KB |")
Markdown("\n".join(rows))

# %% tags=["hide"]
assert sum(sizes.values()) <= 35_000_000

# %% [markdown]
# The size is that of the file in the package. Two presets may be parts of one file. Kernels and matrices are stored in half precision, those of
# students and of `clip-flowers-32` in one byte for each number. What occurs twice in a file is stored once.
#
# ## One by one
#
# The pictures are the first eight of a seed, none left out. Small ones are shown at twice their size.

# %% tags=["fold"]
import base64
import io

import keras
import numpy as np
from PIL import Image


def examples(name, model):
    """Let a model make eight pictures, and say what they show."""
    if isinstance(model, imagegen.VAE) and len(model.decoder.input_shape) == 2:
        latents = np.random.default_rng(0).standard_normal(
            (8, model.decoder.input_shape[-1])
        )
        return imagegen.to_uint8(model.decode(latents)), ""
    if isinstance(model, imagegen.VAE):
        size = model.decoder.output_shape[1]
        if name.startswith("flowers"):
            flowers = imagegen.datasets.flowers(image_size=size, split="test")
            latents, _ = model.encode(flowers.images[:8])
            return imagegen.to_uint8(model.decode(latents)), "there and back"
        flowers = imagegen.datasets.captioned_flowers(8, image_size=size)
        latents, _ = model.encode(flowers.images)
        return imagegen.to_uint8(
            model.decode(latents)
        ), "drawings, there and back"
    if not isinstance(
        model, imagegen.DiffusionModel | imagegen.LatentDiffusion
    ):
        return None, ""
    encoder = model.diffusion_model().encoder
    prompts = 8
    if "-species" in name:
        prompts = list(encoder.names[:: len(encoder.names) // 8][:8])
    elif name == "flowers-128":
        prompts = [
            "a photo of a sunflower",
            "a red rose",
            "a white rose on a dark background",
        ]
        prompts += [
            "a dandelion",
            "a purple clematis",
            "an orange dahlia",
            "a gazania",
        ]
        prompts.append("a pink hibiscus")
    elif name.startswith(("captioned", "clip")):
        colors = [
            "red",
            "orange",
            "yellow",
            "green",
            "blue",
            "purple",
            "pink",
            "white",
        ]
        prompts = [
            f"a {color} flower".replace("a o", "an o") for color in colors
        ]
    subjects = "" if prompts == 8 else ", ".join(prompts)
    own = model.diffusion_model().sampling.get("guidance_scale", 2)
    return model.generate(prompts, guidance_scale=own, seed=0), subjects


def picture(pictures, subjects):
    """Embed pictures in two rows, at twice their size or at 128 pixels."""
    buffer = io.BytesIO()
    factor = min(2, 128 // pictures.shape[1])
    large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    Image.fromarray(imagegen.grid(large, columns=4)).save(buffer, "png")
    data = base64.b64encode(buffer.getvalue()).decode()
    alt = f"Eight generated pictures. {subjects}".strip()
    return f'<img src="data:image/png;base64,{data}" alt="{alt}">\n\n{subjects}'


cards = []
for name, preset in presets.items():
    model = imagegen.presets.load(name, keras.Model)
    pictures, subjects = examples(name, model)
    cards += [f"### `{name}` {{ #{name} }}", preset.description]
    if pictures is not None:
        cards.append(picture(pictures, subjects))
    facts = {
        "data": preset.data,
        "training": preset.training,
        "measured": preset.metrics,
        "licence": preset.licence,
        "recipe": f"`{preset.recipe}`",
    }
    kind, count = type(model).__name__, model.count_params()
    head = f"| class | `{kind}`, {count:,} numbers |\n|---|---|"
    cards.append(
        "\n".join(
            [head, *(f"| {name} | {fact} |" for name, fact in facts.items())]
        )
    )
Markdown("\n\n".join(cards))

# %% [markdown]
# [How good is it?](how_good_is_it.py) explains KID and the negative ELBO, and
# [text to image](text_to_image.py) how it is measured whether a model paints what it is told. Figures on those pages
# come from fewer pictures, so they differ. A recipe is a script in the repository that makes the preset anew. Where the
# file in the package was trained in other stretches, the recipe says how.
#
# ## Load one by name
#
# Each class loads its own kind.

# %% alt="Ten digits on a line through the latent space."
vae = imagegen.VAE.from_preset("digits-2d")
line = imagegen.walk([[-2, 0], [2, 0]], 10, interpolation=imagegen.lerp)
imagegen.show(vae.decode(line), columns=10)

# %% [markdown]
# A name of another kind is refused, in a sentence that says why:

# %%
try:
    imagegen.VAE.from_preset("flowers-64")
except ValueError as error:
    print(error)

# %% [markdown]
# ## Load one of your own
#
# Train a model, write it to a folder of your own, and load it by its path. A preset is an ordinary
# `.keras` file.

# %%
from pathlib import Path

path = Path("my_digits.keras")
sha256 = imagegen.save_preset(vae, path)
mine = imagegen.VAE.from_preset(path)
print(f"{path.stat().st_size / 1000:,.0f} KB, {mine.count_params():,} numbers")

# %% tags=["hide"]
latents = np.random.default_rng(1).standard_normal((4, 2))
np.testing.assert_allclose(mine.decode(latents), vae.decode(latents), atol=1e-6)

# %% [markdown]
# Of a `DiffusionModel`, `model.save_preset(path)` writes the averaged weights only, in half the
# space.
#
# ## Load one from the web
#
# `save_preset` returned the file's checksum. Put the file on a server, and add the checksum to its
# address:

# %%
address = f"https://example.org/{path.name}#sha256={sha256}"
print(address)

# %% [markdown]
# `VAE.from_preset(address)` fetches the file, once. It is kept in the folder that the environment
# variable `IMAGEGEN_CACHE` names, or in the user's cache. A file with another checksum is refused. An
# address without one is refused, too: a name can be given to another file, and a checksum can't.

# %%
try:
    imagegen.VAE.from_preset(address.partition("#")[0])
except ValueError as error:
    print(error)

# %% [markdown]
# No file is trusted to run code. Presets hold arrays and a description of the layers, never a pickle.
# A file that carries a function of its own is refused.
