# %% [markdown] needs=["samplers"]
# # Editing pictures
#
# A diffusion model that has only learnt to remove noise can do more than make pictures from nothing. It can
# finish a sketch, fill a hole, continue a picture beyond its edge and enlarge a small one. None of that needs
# any more training. In this chapter we do all of it with one model, and look at how each edit works.
#
# !!! abstract "What you will learn"
#     - How to turn a draft into a picture, and what `strength` does.
#     - How to repaint, extend and enlarge pictures.
#     - How to find the noise that a picture comes from, and walk from one picture to another.
#     - What none of these edits can do.
#
# The model is the preset of [Flowers from noise](flowers_from_noise.py). The pictures are some that it has
# never seen. To edit a photograph of your own, read it with `imagegen.center_square("photo.jpg", 64)`: that cuts
# it to a square, and shrinks it to the size that the model paints. This model knows flowers only.

# %% alt="Four pictures of flowers." caption="Four pictures that the model has never seen."
import imagegen

import numpy as np

model = imagegen.DiffusionModel.from_preset("flowers-64")
flowers = imagegen.datasets.flowers(image_size=64, split="test")
species = ["corn poppy", "oxeye daisy", "hibiscus", "barbeton daisy"]
first_of_each = [
    list(flowers.labels).index(flowers.names.index(name)) for name in species
]
images = flowers.images[first_of_each]
imagegen.show(images, columns=4)

# %% [markdown]
# ## Image to image
#
# Sampling begins with pure noise and ends with a picture. On the way, the large shapes come first and
# the detail last. So what happens if we begin in the middle? We take a picture, a *draft*, and
# add as much noise as belongs to that point of the way:
#
# $$x_t = s_t \cdot \text{draft} + n_t \cdot \epsilon,$$
#
# with the signal rate $s_t$, the noise rate $n_t$ and fresh noise $\epsilon$. From there the model
# walks on as always. What the noise has hidden, the model invents. What still shows through, it keeps.
#
# `strength` says how far back we begin: at 0.3, with three tenths of the diffusion time left. At 0 nothing
# happens, and at 1 nothing is left of the draft.

# %% alt="Four flowers, each in five rows. At low strength petals and leaves change a little; at 0.9 only colours and the rough shape are left." caption="The further back we begin, the less is left of the draft."
strengths = (0.3, 0.5, 0.7, 0.9)
rows = [images]
for strength in strengths:
    rows.append(
        imagegen.image_to_image(model, images, strength=strength, seed=1)
    )
titles = [
    f"strength {strength}" for strength in (0, *strengths) for _ in images
]
imagegen.show(np.concatenate(rows), columns=4, titles=titles)

# %% [markdown]
# How far are the results from the draft? We count in levels, of which a byte has 256.

# %%
for strength, row in zip(strengths, rows[1:], strict=True):
    difference = np.abs(row.astype(float) - images).mean()
    print(
        f"strength {strength}: {difference:.0f} levels from the draft, on "
        "average"
    )

# %% tags=["hide"]
differences = [np.abs(row.astype(float) - images).mean() for row in rows]
assert differences[0] == 0
assert differences == sorted(differences)
unchanged = imagegen.image_to_image(model, images, strength=0, seed=1)
assert (unchanged == images).all()
anew = imagegen.image_to_image(model, images, strength=1, num_steps=5, seed=1)
assert (anew == model.generate(4, num_steps=5, seed=1)).all()

# %% [markdown]
# ### From a sketch
#
# The draft doesn't have to be that good. A few discs of colour are enough.

# %% alt="Four crude drawings of flowers made of discs." caption="Drafts: discs of colour."
from PIL import Image, ImageDraw


def sketch(background, discs):
    """Draw discs of (x, y, radius, color), in units of a picture's width."""
    canvas = Image.new("RGB", (256, 256), background)
    draw = ImageDraw.Draw(canvas)
    for x, y, radius, color in discs:
        draw.circle((256 * x, 256 * y), 256 * radius, fill=color)
    return imagegen.center_square(canvas, 64)


def ring(count, radius, disc_radius, color):
    """Petals around the middle."""
    angles = 2 * np.pi * np.arange(count) / count
    places = 0.5 + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [(x, y, disc_radius, color) for x, y in places]


sketches = np.stack(
    [
        sketch(
            "darkgreen",
            [*ring(12, 0.3, 0.13, "gold"), (0.5, 0.5, 0.2, "saddlebrown")],
        ),
        sketch(
            "olivedrab",
            [(0.5, 0.42, 0.32, "crimson"), (0.5, 0.42, 0.08, "khaki")],
        ),
        sketch(
            "black", [*ring(5, 0.22, 0.18, "hotpink"), (0.5, 0.5, 0.08, "gold")]
        ),
        sketch(
            "darkslategray",
            [
                (0.3, 0.38, 0.22, "mediumpurple"),
                (0.3, 0.38, 0.06, "gold"),
                (0.7, 0.6, 0.22, "white"),
                (0.7, 0.6, 0.06, "gold"),
            ],
        ),
    ]
)
imagegen.show(sketches, columns=4)

# %% tags=["hero"] alt="The drawings turn into flowers: at strength 0.8 petals have edges and the background has leaves, at 0.9 shapes begin to differ from the drawing." caption="The same drafts at three strengths."
rows = [
    imagegen.image_to_image(model, sketches, strength=strength, seed=2)
    for strength in (0.6, 0.8, 0.9)
]
titles = [
    f"strength {strength}" for strength in (0.6, 0.8, 0.9) for _ in sketches
]
imagegen.show(np.concatenate(rows), columns=4, titles=titles)

# %% [markdown]
# There is no best strength. At 0.6 the result obeys, but still looks like discs. At 0.9 it looks more
# like a flower, and begins to disobey. A good draft, with the shading and the texture of the real thing,
# needs less.
#
# **What it can't do.** All the model knows is that a draft under noise looks like one of its flowers under noise.
# It doesn't know what you meant. A blue patch can be a petal or the sky. Words can tell which:
# [Latent diffusion](latent_diffusion.py#a-sketch-and-a-prompt) gives a sketch and a prompt. The method is called
# [SDEdit](https://arxiv.org/abs/2108.01073).
#
# ### Variations
#
# With other noise, the same draft gives another picture. That is all that a variation is.

# %% alt="A flower and four variations of it, alike in colour and place and different in their petals." caption="A picture, and four variations of it."
some = imagegen.variations(model, images[2], 4, strength=0.8, seed=4)
imagegen.show(np.concatenate([images[2:3], some]), columns=5)

# %% [markdown]
# ## Inpainting
#
# Now part of the picture stays exactly as it is, and the rest is painted anew. The *mask* is white
# where the model may paint. Sampling starts from noise everywhere. But at each step the kept part is put
# in place: the picture itself, with as much noise as this step has,
#
# $$x_t \leftarrow m\, x_t + (1 - m)\,(s_t \cdot \text{picture} + n_t \cdot \epsilon),$$
#
# with the mask $m$. So the model always sees the kept part, at the noise that it expects, and paints
# something that goes with it.

# %% alt="Four flowers whose right half is white, and the same with a right half that the model painted. Many don't match the left half." caption="Above, what is given; below, the first attempt at the right halves."
mask = np.zeros((64, 64), bool)
mask[:, 32:] = True
with_hole = np.where(mask[..., None], 255, images).astype("uint8")
once = imagegen.inpaint(
    model, images, mask, num_steps=30, num_resamplings=1, seed=3
)
imagegen.show(np.concatenate([with_hole, once]), columns=4)

# %% [markdown]
# It half works. The new half hears about the old one too late. When a step settles on a shape, the two halves
# have only met as noise, and what is settled stays.
#
# The cure is to let them talk: take the step, put the noise of the step back, and repeat. In each round the
# painted part moves a little more towards what fits the kept part. The method is called
# [RePaint](https://arxiv.org/abs/2201.09865), and the rounds are `num_resamplings`. This is the whole step:
#
# ```source
# imagegen.RePaint.step
# ```
#
# `visit` is one round. The first two lines go back from the next level to this one, with the noise
# that the forward process would add. Then the kept part is put in place, and `self.base`, the
# sampler that you chose, takes its step.

# %% alt="The same four flowers, with right halves that continue the petals and colours of the left." caption="With five rounds in each step, both halves agree."
five = imagegen.inpaint(
    model, images, mask, num_steps=30, num_resamplings=5, seed=3
)
imagegen.show(np.concatenate([with_hole, five]), columns=4)

# %% [markdown]
# Is that better, or do we only see what we hope to see? At the seam, neighbouring pixels should differ as much as
# they do in the pictures themselves, and no more.


# %%
def step_at_seam(pictures):
    """How much the pixels left and right of the seam differ, in levels."""
    left, right = (
        pictures[:, :, 31].astype(float),
        pictures[:, :, 32].astype(float),
    )
    return np.abs(left - right).mean()


print(f"the pictures themselves: {step_at_seam(images):.0f} levels")
print(f"painted, without resampling: {step_at_seam(once):.0f} levels")
print(f"painted, each step taken five times: {step_at_seam(five):.0f} levels")

# %% tags=["hide"]
assert step_at_seam(images) < step_at_seam(once)
assert step_at_seam(five) < 0.75 * step_at_seam(once)

# %% [markdown]
# And the kept pixels are the given ones, bit for bit:

# %%
print(
    "kept pixels unchanged:", bool((five[:, ~mask] == images[:, ~mask]).all())
)

# %% tags=["hide"]
assert (five[:, ~mask] == images[:, ~mask]).all()

# %% [markdown]
# A mask can have any shape. Here is a hole in the middle, filled four times.

# %% alt="A flower with a white square in its middle, and four different fillings." caption="One hole, four fillings."
hole = np.zeros((64, 64), bool)
hole[20:44, 20:44] = True
empty = np.where(hole[..., None], 255, images[:1]).astype("uint8")
filled = imagegen.inpaint(
    model, np.repeat(images[:1], 4, axis=0), hole, num_steps=20, seed=5
)
titles = ["to fill", "first", "second", "third", "fourth"]
imagegen.show(np.concatenate([empty, filled]), columns=5, titles=titles)

# %% [markdown]
# **What it can't do.** The model has no idea what was behind the mask. It paints what flowers usually
# have at such a place. And it sees the whole picture only as far as its training went: a small model
# continues colours and textures well, but rarely completes the symmetry of a flower.
#
# ## Outpainting
#
# What lies beyond the edge of a picture? To the model this is one more hole. A window of 64 x 64
# pixels wanders outwards, so that half of it lies on the picture and half on nothing. The empty half is
# inpainted, and the window moves on.

# %% alt="Two flowers, each continued on all four sides into a picture twice as wide and high, with more leaves and flowers around." caption="The given pictures are in the middle."
two = images[[0, 2]]
wide = imagegen.outpaint(
    model, two, 32, num_steps=20, num_resamplings=4, seed=1
)
imagegen.show(wide, columns=2, scale=3)

# %% [markdown]
# The given picture is in the middle, unchanged. Colours run on beyond its edge. But you can find the edge, because
# the texture changes there: what the model adds is smoother, or striped where there should be leaves.

# %% tags=["hide"]
assert wide.shape == (2, 128, 128, 3)
assert (wide[:, 32:96, 32:96] == two).all()

# %% [markdown]
# **What it can't do.** The window sees no further than its own 64 pixels. So nothing holds the far
# ends of a wide picture together, and to a model of flowers everything out there is flowers, too.
#
# ## Super-resolution
#
# A small picture says what the large one is *on average*: each of its pixels is the mean of a
# block, here of 4 x 4. The chapter [From denoising to dreaming](denoising_to_dreaming.py) trains a
# network for that alone. A diffusion model can do it untrained. At every step it has an estimate of the clean
# picture, and we correct the means of its blocks:
#
# ```source
# imagegen.WithBlockMeans.step
# ```
#
# `known` is the small picture. Every block is moved up or down until its mean is right, and what varies within the
# block is left to the model. The sampler around it, `self.base`, doesn't notice.

# %% alt="Five rows of flowers: coarse pixels, a blurred enlargement, two sharp enlargements that differ in detail, and the originals." caption="Sixteen times as many pixels: two guesses, and the truth."
blocks = images.reshape(4, 16, 4, 16, 4, 3)
small = np.rint(blocks.mean(axis=(2, 4))).astype("uint8")
bicubic = np.stack(
    [
        np.asarray(Image.fromarray(s).resize((64, 64), Image.BICUBIC))
        for s in small
    ]
)
first, second = (
    imagegen.super_resolve(model, small, 4, seed=seed) for seed in (0, 1)
)
coarse = small.repeat(4, axis=1).repeat(4, axis=2)
labels = ["16 x 16", "bicubic", "a guess", "another", "the original"]
titles = [label for label in labels for _ in small]
imagegen.show(
    np.concatenate([coarse, bicubic, first, second, images]),
    columns=4,
    titles=titles,
)

# %% [markdown]
# Bicubic enlargement is the usual way, and blurs. The guesses are sharp. And each of them, made small
# again, is the small picture:


# %%
def means_of_blocks(pictures):
    return pictures.reshape(4, 16, 4, 16, 4, 3).mean(axis=(2, 4))


for name, pictures in {
    "bicubic": bicubic,
    "a guess": first,
    "another": second,
}.items():
    error = np.abs(means_of_blocks(pictures) - small)
    print(
        f"{name}: off by {error.mean():.2f} levels on average, "
        f"{error.max():.1f} at most"
    )

# %% tags=["hide"]
for guess in (first, second):
    assert np.abs(means_of_blocks(guess) - small).max() <= 1
assert np.abs(means_of_blocks(bicubic) - small).max() > 1

# %% [markdown]
# **What it can't do.** Recover. Infinitely many large pictures have this small one, and the two guesses differ. The
# number of petals in them is no evidence. If you count pixel by pixel, the blur is even the safer bet, because a
# wrong guess is wrong twice: detail is missing where it should be, and it is where it shouldn't be.


# %%
def psnr(pictures):
    """Mean peak signal-to-noise ratio, in decibels: higher is closer."""
    errors = ((pictures.astype(float) - images) ** 2).mean(axis=(1, 2, 3))
    return (10 * np.log10(255**2 / errors)).mean()


print(
    f"bicubic {psnr(bicubic):.1f} dB, a guess {psnr(first):.1f} dB, another "
    f"{psnr(second):.1f} dB"
)

# %% tags=["hide"]
assert max(psnr(first), psnr(second)) < psnr(bicubic)

# %% [markdown]
# ## Back to the noise
#
# A deterministic sampler such as [DDIM][imagegen.DDIM] always makes the same picture out of the same noise. Is there
# a noise for *every* picture then, even for one from elsewhere? There is, nearly. We only have to walk the same way
# backwards, from the picture to the noise. This is called *inversion*.
#
# A step forwards splits $x_t$ into a clean estimate and noise $\hat\epsilon(x_t, t)$, and mixes both at the
# next level's rates $s_{t'}$ and $n_{t'}$. Solved for where it came from:
#
# $$x_t = \frac{s_t}{s_{t'}}\left(x_{t'} - n_{t'}\, \hat\epsilon(x_t, t)\right) + n_t\, \hat\epsilon(x_t, t).$$
#
# The trouble is that $x_t$ is on both sides: to go back, we need the noise that the network would see at the place
# where we arrive. So we guess that place, let the network look, guess better, and look again.
#
# ```source
# imagegen.InverseDDIM.step
# ```
#
# How well do we come back? The more steps there are, the nearer $x_t$ is to $x_{t'}$, and the better are
# the guesses.

# %%
lines = []
for num_steps in (5, 15, 30):
    noise = imagegen.ddim_inversion(model, images, num_steps=num_steps)
    again = model.generate(
        len(noise), noise=noise, num_steps=num_steps, sampler=imagegen.DDIM()
    )
    round_trip = np.abs(again.astype(float) - images).mean()
    lines.append(
        f"{num_steps:2} steps: {round_trip:.2f} levels away, there and back"
    )
print("\n".join(lines))

# %% tags=["hide"]
assert round_trip < 3

# %% alt="Four flowers; below each its noise, a pattern of worms in which the outlines of the flower can be guessed; and the flowers again." caption="A picture, the noise that it comes from, and the way back."
visible = imagegen.to_uint8(noise, value_range=(-3, 3))
imagegen.show(
    np.concatenate([images, visible, again]),
    columns=4,
    titles=[
        label for label in ("picture", "its noise", "and back") for _ in images
    ],
)

# %% [markdown]
# Look closely at the noise. The outlines of the flowers are faintly there. A perfect model would leave nothing of
# them, because the noise it learnt from had no pattern. What ours can't explain about a picture, it leaves in the
# noise.
#
# ### From one picture to another
#
# Once two pictures are noise, we can walk between them as we walk between any two noises: by
# [slerp][imagegen.slerp], along a great circle. Each noise on the way is turned into a picture.

# %% alt="Six pictures in which one flower becomes another, above the same way as a fade from one picture to the other." caption="A walk through noise, above; a fade through pixels, below."
frames = imagegen.interpolate_images(
    model, images[2], images[3], 6, num_steps=30
)
shares = np.linspace(0, 1, 6)[:, None, None, None]
fade = imagegen.to_uint8(
    (1 - shares) * images[2] + shares * images[3], value_range=(0, 255)
)
imagegen.show(np.concatenate([frames, fade]), columns=6)

# %% [markdown]
# The bottom row is a fade through the pixels: in the middle it shows two flowers at once. The way through the noise
# shows a single flower all the way.

# %% tags=["hide"]
ends, others = (
    np.abs(frames[which].astype(float) - images[[2, 3]]).mean(axis=(1, 2, 3))
    for which in ([0, -1], [-1, 0])
)
assert (ends < others / 4).all()
assert (ends < 5).all()

# %% [markdown]
# **What it can't do.** The way back to the noise leads through what the model believes. A picture
# of something it never saw also gets a noise, but not one that it would ever draw, and the ways to and
# from it are less smooth.
#
# ## What we have learnt
#
# - Editing means beginning in the middle, or holding on to what is known. The model itself stays as it is.
# - `strength` trades obedience for realism, and there is no best value.
# - What is kept has to have its say before the rest is settled. Resampling repeats each step until both parts agree,
#   at several times the cost.
# - What a model adds, it guesses. It can look right, and be wrong.
# - A deterministic sampler can be walked backwards, and a picture from elsewhere becomes a point among
#   the noises.
#
# ## Exercises
#
# **1.** Repaint everything *but* the flower. Where does its edge show?

# %% tags=["solution"] alt="Four flowers, and the same with new backgrounds. A disc in the middle of each is unchanged"
rows, columns = np.mgrid[:64, :64]
outside = np.hypot(rows - 31.5, columns - 31.5) > 24
around = imagegen.inpaint(
    model, images, outside, num_steps=12, num_resamplings=3, seed=6
)
imagegen.show(np.concatenate([images, around]), columns=4)

# %% [markdown] tags=["solution"]
# In a ring, wherever the disc cuts through petals or sky. A mask that follows the flower would leave less to mend.

# %% tags=["hide", "solution"]
assert (around[:, ~outside] == images[:, ~outside]).all()

# %% [markdown]
# **2.** Enlarge by 8, from 8 x 8 pixels. How much do two guesses differ now?

# %% tags=["solution"] alt="Four coarse pictures of 8 by 8 pixels, and two rows of flowers that were guessed from them"
tiny = np.rint(images.reshape(4, 8, 8, 8, 8, 3).mean(axis=(2, 4))).astype(
    "uint8"
)
guesses = [imagegen.super_resolve(model, tiny, 8, seed=seed) for seed in (0, 1)]
coarse = tiny.repeat(8, axis=1).repeat(8, axis=2)
imagegen.show(np.concatenate([coarse, *guesses]), columns=4)
apart = {4: (first, second), 8: guesses}
apart = {
    factor: np.abs(np.float32(a) - b).mean() for factor, (a, b) in apart.items()
}
print(
    f"by 4: the guesses differ by {apart[4]:.0f} levels, by 8: by "
    f"{apart[8]:.0f}"
)

# %% tags=["hide", "solution"]
assert apart[8] > apart[4]

# %% [markdown]
# **3.** Invert with a single iteration, so that the network looks only once in each step. How far off is the
# round trip?

# %% tags=["solution"]
two, offs = images[:2], []
for iterations in (1, 2, 4):
    noise = imagegen.ddim_inversion(
        model, two, num_steps=15, num_iterations=iterations
    )
    back = model.generate(
        len(noise), noise=noise, num_steps=15, sampler=imagegen.DDIM()
    )
    offs.append(np.abs(back.astype(float) - two).mean())
    print(
        f"{iterations} iterations: {offs[-1]:.2f} levels away, there and back"
    )

# %% [markdown] tags=["solution"]
# Looking once means taking the noise at the present place for the noise at the next. Looking again mends most
# of that.

# %% tags=["hide", "solution"]
assert offs[-1] < offs[0]

# %% [markdown]
# Next: [Words and pictures](words_and_pictures.py), where a machine learns which sentence belongs to which picture.
# In the reference: [image_to_image][imagegen.image_to_image], [variations][imagegen.variations],
# [inpaint][imagegen.inpaint], [outpaint][imagegen.outpaint], [super_resolve][imagegen.super_resolve],
# [ddim_inversion][imagegen.ddim_inversion] and [interpolate_images][imagegen.interpolate_images].
