# %% [markdown] needs=["latent_spaces", "text_to_image"]
# # Latent diffusion
#
# Every diffusion model of pictures so far worked on pixels. That is why the pictures are small: with twice the
# side, a picture has four times the pixels, and every step of sampling costs four times as much. Stable
# Diffusion paints pictures of 512 x 512 pixels all the same, because its diffusion never touches a pixel.
#
# !!! abstract "What you will learn"
#     - How to pack pictures into latents, and what that costs.
#     - How to train a diffusion model on latents, with the code that you know.
#     - How pixels and latents compare, by cost and by quality.
#     - What the parts of Stable Diffusion are: you have met all of them.
#
# ## Most pixels say what their neighbours say
#
# A picture of 64 x 64 pixels in three colours has 12,288 numbers. Few of them are news: most pixels look like
# the one beside them. An *autoencoder* keeps the news. Its encoder packs a picture into a *latent*, and its
# decoder unpacks it. In [Latent spaces](latent_spaces.py) a latent had two numbers, and all it had to hold was a digit. Here it is a
# small picture itself, with 16 x 16 places and eight numbers for each, its *channels*. What is left of a
# picture is packed where it was: the upper left place of a latent knows the upper left of the picture.

# %% alt="Eight drawn flowers in three rows: the pictures, three channels of their latents as coarse colours, and the pictures as the decoder restores them." caption="A picture, its latent as colours, and the picture again."
import imagegen

import numpy as np

autoencoder = imagegen.VAE.from_preset("captioned-64-autoencoder")
images, captions, attributes = imagegen.datasets.captioned_flowers(
    200, image_size=64, seed=3, upright=True
)
latents, _ = autoencoder.encode(images)
restored = imagegen.to_uint8(autoencoder.decode(latents))

print(f"picture {images.shape[1:]}: {images[0].size} numbers")
print(f"latent  {latents.shape[1:]}: {latents[0].size} numbers")


def as_colors(latents):
    """Three channels as red, green and blue, each stretched to its range."""
    low, high = np.quantile(latents[..., :3], [0.01, 0.99], axis=(0, 1, 2))
    colors = np.clip((latents[..., :3] - low) / (high - low), 0, 1)
    return imagegen.to_uint8(colors).repeat(4, axis=1).repeat(4, axis=2)


imagegen.show(
    np.concatenate([images[:8], as_colors(latents[:8]), restored[:8]]),
    columns=8,
)

# %% [markdown]
# Above are the pictures, below what the decoder makes of their latents, and between them three of the eight
# channels, as if they were colours. A sixth of the numbers is enough for nearly all one can see:

# %%
error = abs(restored.astype("float32") - images).mean()
read = imagegen.drawn.prompt_adherence(restored, attributes)
print(f"restored pictures are off by {error:.1f} of 255 levels")
print(
    f"colours and petals are still read rightly from {read.everything:.1%} of "
    "them"
)

# %% tags=["hide"]
assert error < 6
assert read.everything > 0.97

# %% [markdown]
# The autoencoder was trained as in [Latent spaces](latent_spaces.py): the restored picture should be near the original, and a small
# KL term makes neighbouring latents decode to similar pictures. The term is small on purpose. A large one would
# make all latents look like noise from a standard normal distribution, as the digits' did, and blur the
# pictures. Latents need not look like noise here: how they are distributed, the diffusion model learns.
#
# ## Latents of the right size
#
# Noise has the variance 1, and schedules are made for pictures with the variance 1. Latents have whatever
# the encoder gives them:

# %%
np.set_printoptions(precision=2, suppress=True)
print("mean     ", latents.mean(axis=(0, 1, 2)))
print("deviation", latents.std(axis=(0, 1, 2)))

# %% [markdown]
# So the mean $\mu$ of each channel is subtracted, and the result is divided by the deviation $\sigma$. On the
# way out, both are undone. With the encoder $E$ and the decoder $D$,
#
# $$z = \frac{E(x) - \mu}{\sigma}, \qquad x = D(\sigma z + \mu).$$
#
# Without this, the noise at every step would be too weak or too strong for what it hides. Stable Diffusion
# does it with one number for all channels: it multiplies latents by 0.18215, one over their deviation.
#
# ## The same model, on latents
#
# Now comes the short part. A diffusion model takes arrays, and latents are arrays. Nothing about it has to
# change. The text encoder, cross-attention, guidance: all stay as they were.
#
# ```python
# latents, _ = autoencoder.encode(images)
#
# network = imagegen.UNet(16, [48, 96, 96], block_depth=2, channels=8, ...)
# model = imagegen.DiffusionModel(network, encoder=text_encoder, value_range=None)
# model.normalizer.adapt(latents)  # the mean and the deviation of each channel
# model.compile(optimizer="adamw")
# model.fit((latents, tokens))
#
# painter = imagegen.LatentDiffusion(model, autoencoder)
# ```
#
# Latents have no lowest and highest value, as pixels have. So nothing is clipped: `value_range=None`. Pictures are
# encoded once, before the training, and the training never sees a pixel.
# [LatentDiffusion][imagegen.LatentDiffusion] puts the two together: it takes prompts and returns pictures.
# `recipes/captioned_64.py` is the whole program. Its training doesn't begin from nothing. The network has the
# shape of `captioned-32`'s, so it takes over those weights, and only what reads and writes latents is new.
# Here is what it trained:

# %% alt="Eight sharp flowers of 64 pixels, each under its prompt." caption="Prompts, and what the latent model paints."
import textwrap

painter = imagegen.LatentDiffusion.from_preset("captioned-64")
prompts = [
    "a red flower with five petals on a blue background",
    "a white flower with eight petals and a yellow centre on a green "
    "background",
    "an orange flower with four petals and a purple centre on a white "
    "background",
    "a purple flower with six petals on a yellow background",
    "a pink flower with three petals and a green centre on a purple background",
    "a blue flower",
    "a green background",
    "",
]
painted = painter.generate(prompts, seed=1)
imagegen.show(
    painted,
    titles=[textwrap.fill(p, 26) or "(nothing)" for p in prompts],
    columns=4,
    scale=2,
)

# %% [markdown]
# ## From noise to latent to picture
#
# All steps happen among latents. What they look like can be seen when each is decoded. Upper row: the noisy
# latents, as colours. Middle: the decoder's view of them. It never met noise in its training, and makes
# strange textures of it. Lower row: the model's estimate of the clean latent, decoded.

# %% alt="Seven steps from noise to a flower. The latents are coarse colours, their decoded forms turn from a strange texture into a flower, and the estimates from a blur into a flower." caption="From noise to a flower: the latents, decoded, and the estimates."
prompt = "a white flower with six petals and a red centre on a blue background"
steps = list(painter.model.generate_steps([prompt], num_steps=20, seed=1))
shown = [0, 3, 6, 9, 12, 15, 19]
noisy, clean = (
    np.concatenate([steps[step][part] for step in shown]) for part in (0, 1)
)
decoded = imagegen.to_uint8(autoencoder.decode(np.concatenate([noisy, clean])))
titles = [f"after step {step + 1}" for step in shown] + 2 * len(shown) * [""]
imagegen.show(
    np.concatenate([as_colors(noisy), decoded]),
    titles=titles,
    columns=len(shown),
)

# %% [markdown]
# ## What it costs, and what it saves
#
# A convolution does the same at every place. Over 64 x 64 pixels it works sixteen times as much as over
# 16 x 16 places of a latent. To see whether a processor agrees, we time networks of the same widths and depth
# on eight pictures. One works on pixels, one on latents, and one on patches of 2 x 2 pixels, as our models of
# pixels do. They take turns, and the medians count.

# %%
import statistics
import time


def network(size, **options):
    return imagegen.UNet(
        size,
        [48, 96, 96],
        block_depth=1,
        norm="group",
        embedding_dim=64,
        **options,
    )


def one_step(network):
    samples = np.zeros((8, *network.input_shape[0][1:]), "float32")
    network.predict_on_batch([samples, np.ones((8, 1, 1, 1), "float32")])


contenders = {
    "pixels": network(64),
    "patches": network(64, patch_size=2),
    "latents": network(16, channels=8),
}
seconds = {name: [] for name in contenders}
for turn in range(6):
    for name, contender in contenders.items():
        start = time.perf_counter()
        one_step(contender)
        if turn:  # The first turn compiles.
            seconds[name].append(time.perf_counter() - start)
pixels, patches, in_latents = (
    statistics.median(times) for times in seconds.values()
)
print(
    f"a step among pixels takes {pixels / in_latents:.0f} times as long as one "
    "among latents"
)
print(f"a step among patches takes {patches / in_latents:.0f} times as long")

# %% tags=["hide"]
assert pixels / in_latents > 4

# %% [markdown]
# The decoder adds its share, but only once a picture, after the last step.
#
# Cheaper is easy. Is it as good? The fairest rival costs the same. It is a twin of the latent model: the same
# network, on 64 x 64 pixels in patches of 4 x 4. There are as many patches as a latent has places, so a step
# takes as long. The twin began with the same weights and saw the same drawings, as often
# (`recipes/captioned_64.py --pixels`). That took 15 minutes on two cores, more than a page has. These are its
# answers to eight prompts:
#
# ![Eight flowers in the colours that their prompts name, under a grain that covers all of them](../assets/pixels-64.webp){ width=526 height=64 loading=lazy }
#
# And these are the latent model's, painted now:

# %% alt="Eight flowers in the same colours, with smooth grounds and clear edges." caption="The latent model's answers to the same prompts."
asked = [
    "a purple flower with six petals and a red centre on a yellow background",
    "a white flower with five petals and an orange centre on a pink background",
    "a white flower with four petals and a green centre on a yellow background",
    "a purple flower with five petals and a blue centre on a white background",
    "an orange flower with six petals and a green centre on a blue background",
    "a blue flower with seven petals and a purple centre on a white background",
    "a blue flower with six petals and a red centre on a white background",
    "a pink flower with five petals and a purple centre on a blue background",
]
answers = painter.generate(asked, guidance_scale=2.0, seed=0)
imagegen.show(answers, columns=8)

# %% [markdown]
# The twin has understood its prompts. But each of its patches has 48 numbers to get right, most of which say
# what a neighbour says, and the grain is what it gets wrong. The latent model has eight numbers for a place, and
# the decoder knows what drawings look like: it makes no grain. `benchmarks/prompt_adherence.py` asked both
# for 512 flowers and read the pictures back, at a guidance scale of 2. This is the share in which each thing
# was as told:
#
# | the network sees | petals | centre | background | number |
# |---|---|---|---|---|
# | patches of pixels, equal cost | 81% | 72% | 81% | 81% |
# | latents | 100% | 99% | 100% | 100% |
#
# Where the program that reads pictures back finds no flower under the grain, nothing counts as right. Smaller patches have less
# grain, and cost more: `captioned-32` has patches of 2 x 2 and does all that it is told, on a quarter of the area.
# For 64 x 64 pixels, each of its steps would take four times the arithmetic.
#
# These figures were measured once. To see whether they hold, we ask the latent model again, for 48 other flowers:

# %%
rng = np.random.default_rng(7)
asked = []
while len(asked) < 48:
    flower = imagegen.drawn.sample_attributes(rng)
    if flower.num_petals <= 8:
        asked.append(imagegen.drawn.caption(flower, name_center=True))
told = imagegen.drawn.prompt_adherence(
    painter.generate(asked, guidance_scale=2.0, num_steps=12, seed=1), asked
)
print(f"petals' colour  {told.petal_color:.0%}")
print(f"centre          {told.center_color:.0%}")
print(f"background      {told.background_color:.0%}")
print(f"petals' number  {told.num_petals:.0%}")

# %% tags=["hide"]
assert min(told.petal_color, told.background_color, told.num_petals) > 0.95
assert told.center_color > 0.9

# %% [markdown]
# ## What is lost
#
# No picture can be better than its decoder. A vein finer than the autoencoder can hold is gone, however long
# the diffusion model is trained. So look at what happens to real detail:

# %% alt="Details of four flowers, enlarged, as drawn and as restored. Spots and stripes are a little softer below." caption="Above as drawn, below as restored."
striped = [
    i for i, flower in enumerate(attributes) if flower.pattern != "plain"
][:4]
details = np.concatenate(
    [images[striped, 8:40, 16:48], restored[striped, 8:40, 16:48]]
)
imagegen.show(details, columns=4, scale=4)

# %% [markdown]
# Spots and stripes are there, with softer edges. In Stable Diffusion the
# same happens to letters and to faces in the distance. There, a place of the latent stands for 8 x 8 pixels,
# and a face of 20 pixels has fewer than three places a side.
#
# ## Editing
#
# All the edits of [Editing pictures](editing_pictures.py) work on latents too, except enlarging, which needs
# pixels. Pictures are encoded on the way in. With a prompt, a drawing gets petals of another colour, all
# over or in its lower half alone:

# %% alt="Three flowers: the original, one repainted by another prompt, and one whose lower half alone was repainted." caption="Latents are edited as pixels are."
original = images[:1]
print(captions[0])
wanted = captions[0].replace("pink", "red")
repainted = imagegen.image_to_image(
    painter, original, prompts=[wanted], strength=0.8, seed=2
)
mask = np.zeros((64, 64), "float32")
mask[32:] = 1
half = imagegen.inpaint(painter, original, mask, prompts=[wanted], seed=2)
imagegen.show(
    np.concatenate([original, repainted, half]),
    titles=["original", "repainted", "lower half only"],
    columns=3,
    scale=3,
)

# %% tags=["hide"]
assert wanted != captions[0]

# %% [markdown]
# ## Photographs
#
# The same parts, larger: the preset `flowers-128` paints photographs of 128 x 128 pixels. Its autoencoder keeps 16 x
# 16 places of 12 numbers, a sixteenth of the numbers of a picture. Nobody described the photographs that it learned
# from. The data set knows their species, and the recipe read the rest off the pixels: the colour in the middle, and
# whether the background is green, dark or white. So it was told "a photo of a sunflower", and "a yellow rose on a dark
# background".
#
# Twelve prompts, one picture each, none picked:

# %% alt="Twelve pictures of flowers, 128 pixels wide. Most look like photographs of the flower that the prompt names, and have its colour; fine petals are painterly." caption="Twelve prompts at 128 pixels."
photographer = imagegen.LatentDiffusion.from_preset("flowers-128")
prompts = [
    "a photo of a sunflower",
    "a yellow iris",
    "a red rose",
    "a white rose on a dark background",
    "a purple clematis",
    "a pink rose",
    "a dandelion",
    "a blue morning glory",
    "an orange dahlia",
    "a pink hibiscus",
    "a white flower on a dark background",
    "a close-up of a gazania",
]
photographs = photographer.generate(prompts, seed=0)
imagegen.show(photographs, columns=4, scale=1, titles=prompts)

# %% tags=["hide"]
assert photographer.autoencoder.latent_shape == (16, 16, 12)
assert photographs[0].size == 16 * np.prod(photographer.sample_shape)
colors = photographs[:, 44:84, 44:84].mean(axis=(1, 2))
red, yellow, white, dark_corner = (
    colors[2],
    colors[1],
    colors[3],
    photographs[3, :12, :12].mean(),
)
assert red[0] > red[1] + 30
assert yellow[1] > yellow[2] + 30
assert white.min() > dark_corner

# %% [markdown]
# Colours and backgrounds obey. Of the species, those with many photographs and a plain shape come out best: sunflowers,
# dandelions, gazanias. Others are a flower of the right colour and no more. This model saw each photograph and its
# mirror image some ninety times, in four hours on two processor cores. The [presets](presets.py#flowers-128) say what was measured.
#
# ### Subject and style
#
# A prompt combines what is shown with how it is shown. Here are four subjects in six styles, as far as this model's
# words go. All twenty-four pictures begin with the same noise:

# %% tags=["hero"] alt="Four rows of six flowers. Sunflowers, roses, passion flowers and hibiscus keep their shape along a row. Along a column they are photographs, close-ups, white, purple, on black and on green." caption="Rows: sunflower, rose, passion flower, hibiscus. Columns: the style."
subjects = ["sunflower", "rose", "passion flower", "hibiscus"]
styles = {
    "photo": "a photo of a {}",
    "close-up": "a close-up of a {}",
    "white": "a white {}",
    "purple": "a purple {}",
    "on dark": "a {} on a dark background",
    "on green": "a {} on a green background",
}
one_noise = imagegen.samplers.initial_noise(1, photographer.sample_shape, 5)
same_noise = np.repeat(one_noise, 24, axis=0)
combined = [
    style.format(subject) for subject in subjects for style in styles.values()
]
table = photographer.generate(combined, noise=same_noise, seed=0)
imagegen.show(table, columns=6, titles=[*styles, *[""] * 18])

# %% tags=["hide"]
corners = table[:, :16, :16].mean(axis=(1, 2, 3)).reshape(4, 6)
assert (corners[:, 4] < corners[:, 5]).all()

# %% [markdown]
# Background and colour are changed in every row, and the shape stays. Between a photo and a close-up it makes hardly
# any difference: the recipe put one phrase or the other before a name by chance, so they mean the same.
#
# ### A sketch and a prompt
#
# [Editing pictures](editing_pictures.py#from-a-sketch) turns sketches into flowers, and can't say which flower. Now a
# sketch says where things are, and a prompt says what they are. This sketch has no colours. At a strength of 0.9 they come
# from the words, and the outline from the sketch:

# %% alt="A grey disc with nine petals on green. Beside it, six flowers of about its size and place: yellow sunflowers, a purple passion flower, a red rose, a white rose, a pink hibiscus and an orange dahlia." caption="A sketch, and what six prompts make of it."
from PIL import Image, ImageDraw

canvas = Image.new("RGB", (128, 128), "darkgreen")
pen = ImageDraw.Draw(canvas)
for angle in np.linspace(0, 2 * np.pi, 9, endpoint=False):
    x, y = 64 + 36 * np.cos(angle), 64 + 36 * np.sin(angle)
    pen.circle((x, y), 18, fill="gray")
pen.circle((64, 64), 20, fill="dimgray")
sketch = np.asarray(canvas)
wanted = [
    "a photo of a sunflower",
    "a purple passion flower",
    "a red rose",
    "a white rose on a dark background",
    "a pink hibiscus",
    "an orange dahlia",
]
drafts = np.repeat(sketch[None], 6, axis=0)
obeyed = imagegen.image_to_image(
    photographer, drafts, prompts=wanted, strength=0.9, seed=2
)
imagegen.show(np.concatenate([drafts[:1], obeyed]), columns=7)

# %% tags=["hide"]
reds = obeyed[:, 44:84, 44:84].mean(axis=(1, 2))
assert reds[2, 0] > reds[2, 1] + 20
assert reds[3].mean() > obeyed[3, :12, :12].mean() + 30

# %% [markdown]
# ### Beyond the edge, by words
#
# [Outpainting](editing_pictures.py#outpainting) takes a prompt, too. It says what lies around a picture:

# %% alt="Two pictures half as wide again as the white rose in their middle. Around the rose it is dark in the one, and in the other there are sunflowers and a blue sky." caption="A white rose, continued by its own prompt, and by that of a sunflower."
around = ["a white rose on a dark background", "a photo of a sunflower"]
wide = imagegen.outpaint(
    photographer,
    np.repeat(photographs[3:4], 2, axis=0),
    32,
    prompts=around,
    num_steps=20,
    num_resamplings=4,
    seed=1,
)
imagegen.show(wide, columns=2)

# %% tags=["hide"]
assert (wide[:, 32:160, 32:160] == photographs[3]).all()

# %% [markdown]
# The words are heard. The edge is still to be seen, since a place of the latents stands for 8 x 8 pixels, and the rose's
# own pixels are put back as they were.
#
# ## You now know how Stable Diffusion works
#
# An autoencoder, a text encoder, a network with cross-attention that removes noise, a schedule, a sampler
# and guidance: these are the parts of Stable Diffusion, and there is no other. The large models differ in
# size, and in what is inside some of the parts.

# %% tags=["fold"] alt="The parts of Stable Diffusion as boxes: prompt and negative prompt go through the text encoder, noise through the denoiser twenty times, and the latent through the decoder into a picture." caption="The parts of Stable Diffusion. Beneath each name is what it is called here."
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

figure, axes = plt.subplots(figsize=(7.6, 3.9))
axes.set(xlim=(0, 12), ylim=(0, 6.2), aspect="equal")
axes.axis("off")


def box(x, y, width, height, name, ours, color):
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0.08",
            facecolor=color,
            edgecolor="none",
        )
    )
    # On its own paper: letters in a colour stay as they are on a dark page.
    style = {"ha": "center", "va": "center", "color": "#1b2a41"}
    axes.text(x + width / 2, y + height / 2 + 0.2, name, weight="bold", **style)
    axes.text(x + width / 2, y + height / 2 - 0.28, ours, size=8, **style)


def arrow(start, end, text="", shift=(0, 0.12), **options):
    style = {"arrowstyle": "-|>", "color": "0.35", "linewidth": 1.5, **options}
    axes.annotate("", end, start, arrowprops=style)
    middle = (np.array(start) + end) / 2 + shift
    axes.text(*middle, text, ha="center", va="bottom", size=8, color="0.25")


box(0.3, 4.5, 2.6, 1.2, "text encoder", "TextEncoder", "#dbe7f6")
box(4.2, 4.4, 3.2, 1.4, "denoiser, guided", "UNet, guide", "#f9dfc7")
box(8.7, 4.5, 2.4, 1.2, "decoder", "VAE.decode", "#d8edd6")
axes.text(1.6, 6.05, "prompt, negative prompt", ha="center", size=8)
arrow((1.6, 6.0), (1.6, 5.82))
arrow((3.0, 5.1), (4.1, 5.1), "vectors\nof words")
arrow((7.5, 5.1), (8.6, 5.1), "last\nlatent")
arrow((7.2, 4.3), (4.4, 4.3), connectionstyle="arc3,rad=-0.55")
axes.text(5.8, 3.0, "a step of the sampler: once more", ha="center", size=8)
latent_pictures = as_colors(noisy)
for x, picture in [
    (0.75, latent_pictures[0]),
    (4.95, latent_pictures[5]),
    (9.05, decoded[-1]),
]:
    axes.imshow(
        picture,
        extent=(x, x + 1.7, 0.6, 2.3),
        interpolation="nearest",
        zorder=2,
    )
axes.set(xlim=(0, 12), ylim=(0, 6.2))
axes.text(1.6, 0.2, "noise", ha="center", size=8)
axes.text(5.8, 0.2, "latent on the way", ha="center", size=8)
axes.text(9.9, 0.2, "picture", ha="center", size=8)
arrow((2.0, 2.4), (4.4, 4.3), connectionstyle="arc3,rad=0")
arrow((9.9, 4.4), (9.9, 2.4))
plt.show()

# %% [markdown]
# | Part | Here | Stable Diffusion 1 | Stable Diffusion 3 |
# |---|---|---|---|
# | picture | 64 x 64 | 512 x 512 | 1024 x 1024 |
# | latent | 16 x 16 x 8 | 64 x 64 x 4 | 128 x 128 x 16 |
# | text encoder | two layers, 64 numbers a word | CLIP, 768 numbers a word | two CLIPs and T5, 4,096 numbers a word |
# | denoiser | U-Net with cross-attention | U-Net with cross-attention | a transformer that pictures and words share |
# | trained to find | velocity | noise | velocity of a straight path |
# | learned from | 75,000 drawings | hundreds of millions of pictures with texts | about a billion |
#
# In the words of the [paper][rombach], the autoencoder does the *perceptual compression*: it drops what
# nobody sees. The diffusion model does the *semantic* one: it learns what pictures are about.
#
# [rombach]: https://arxiv.org/abs/2112.10752
#
# ## What we have learnt
#
# - An autoencoder packs a picture into a latent with fewer places. Diffusion works there, at a fraction of
#   the cost.
# - Latents are scaled to the variance 1. Nothing else changes in the model, the sampler or the training.
# - The decoder is the limit of all detail.
# - Autoencoder, text encoder, denoiser, sampler, guidance: these are the parts of Stable Diffusion.
#
# ## Exercises
#
# **1.** Give the decoder a latent of zeros, and one of noise. What does it take them for?

# %% tags=["solution"] alt="A grey square with a hint of a flower, and a square full of coloured shreds"
scale = latents.std(axis=(0, 1, 2))
nothing = np.zeros((1, 16, 16, 8), "float32")
static = (
    np.random.default_rng(0).normal(size=nothing.shape).astype("float32")
    * scale
)
imagegen.show(
    autoencoder.decode(np.concatenate([nothing, static])), columns=2, scale=3
)

# %% [markdown] tags=["solution"]
# For no flower at all. The decoder only says how the details of a latent look. What a flower is, only the
# diffusion model knows.

# %% [markdown]
# **2.** Go from one drawing to another by [slerp][imagegen.slerp] between their latents, and by a cross-fade of their
# pixels. Which is the better way?

# %% tags=["solution"] alt="Two rows of seven: two flowers fade into each other, in much the same way in both rows"
shares = np.linspace(0, 1, 7)
ends = [latent.ravel() for latent in latents[:2]]
way = np.stack([imagegen.slerp(share, *ends) for share in shares]).reshape(
    -1, 16, 16, 8
)
fade = [(1 - share) * images[0] + share * images[1] for share in shares]
decoded_way = imagegen.to_uint8(autoencoder.decode(way))
imagegen.show(np.concatenate([decoded_way, np.uint8(fade)]), columns=7, scale=1)

# %% tags=["hide", "solution"]
apart = np.abs(decoded_way[3].astype(int) - fade[3]).mean()
assert apart < np.abs(images[0].astype(int) - images[1]).mean()

# %% [markdown] tags=["solution"]
# Neither. The latents have places, and what is at one place fades there, as a pixel does. Compare the two numbers
# of [Latent spaces](latent_spaces.py), where every point is a digit.

# %% [markdown]
# **3.** Sample in 5 steps and in 20. How much of the time goes into the decoder?

# %% tags=["solution"]
for num_steps in (5, 20):
    samples = painter.sample(asked[:8], num_steps=num_steps, seed=0)
    painter.to_images(samples)  # Both are compiled now.
    start = time.perf_counter()
    samples = painter.sample(asked[:8], num_steps=num_steps, seed=0)
    middle = time.perf_counter()
    painter.to_images(samples)
    share = (time.perf_counter() - middle) / (time.perf_counter() - start)
    print(f"{num_steps} steps: {share:.0%} of the time in the decoder")

# %% [markdown]
# Next: [Fewer steps](fewer_steps.py), where four steps are enough, or one. In the reference:
# [LatentDiffusion][imagegen.LatentDiffusion], [VAE][imagegen.VAE],
# [UNet][imagegen.UNet].
