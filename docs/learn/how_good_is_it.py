# %% [markdown] needs=["flowers_from_noise", "samplers"]
# # How good is it?
#
# A model has made pictures. Are they good? You can look, and you should. But which of two samplers is better,
# and was the last hour of training worth it? That takes numbers. In this chapter we measure a model from
# several sides, and find out what each number sees and what it doesn't.
#
# !!! abstract "What you will learn"
#     - How to measure how far a model's pictures are from real ones, and how sure that figure is.
#     - How to find out whether a model copies.
#     - How to tell quality from variety.
#     - Which of the numbers to trust, and how far.
#
# ## A hundred pictures
#
# The model is the preset of [Flowers from noise](flowers_from_noise.py). It makes a hundred
# pictures, in ten steps each, by the method that [Samplers](samplers.py) found best for so few. They
# come in batches of one size, so that one compiled program serves all of them.

# %% alt="A hundred generated pictures of flowers, in ten rows of ten." caption="A hundred pictures to be measured."
import imagegen

import numpy as np


def generate(model, num_images, prompts=None):
    """Generate pictures in batches of 25, each from a seed of its own."""
    sampling = {
        "num_steps": 10,
        "sampler": imagegen.DPMSolver2M(),
        "guidance_scale": None,
    }
    batches = [
        model.generate(
            prompts[start : start + 25] if prompts else 25,
            seed=start,
            **sampling,
        )
        for start in range(0, num_images, 25)
    ]
    return np.concatenate(batches)


model = imagegen.DiffusionModel.from_preset("flowers-64")
generated = generate(model, 100)
imagegen.show(generated, columns=10)

# %% tags=["hide"]
assert generated.shape == (100, 64, 64, 3)
assert generated.dtype == np.uint8

# %% [markdown]
# None was left out. Count for yourself: how many of them would you take for a flower? How many for a photograph
# of one? Your answer is a metric, and a good one. But it takes minutes, it depends on you, and it changes from
# day to day.
#
# ## Real pictures to compare with
#
# We compare with 500 pictures that the model has never seen.

# %%
training = imagegen.datasets.flowers(image_size=64, split="train")
held_out = imagegen.datasets.flowers(image_size=64, split="test")
has_photographs = held_out.source == "oxford"

# %% tags=["output"]
from IPython.display import Markdown

note = """
!!! warning "No photographs are at hand"
    The pictures called real on this page were painted by `flowers-64-species`, which learnt from the same
    photographs as the model that we measure. So no KID, FID, precision or recall that is computed here says
    how good a model is. Each compares two models, and in the table of presets one with itself. How it is
    computed, and what it can see, is the same.
"""
Markdown("" if has_photographs else note)

# %% [markdown]
# How far apart are two pictures? Pixel by pixel is a poor answer. A flower that has moved a little to
# the right has other colours at nearly all its edges, and is the same flower to us. So pictures are
# first turned into *features*: what is seen by a network that has learnt to tell things apart. Papers take
# InceptionV3, which knows a thousand kinds of things. We take the preset `species-64`, a small
# network that has learnt to name species of flowers. Its last layer but one gives 192 numbers for
# each picture.

# %%
network = imagegen.feature_model("species-64")
print(imagegen.preset_info("species-64").metrics)


def features_of(images):
    """Turn pictures into features."""
    return imagegen.extract_features(images, network)


held_out_features = features_of(held_out.images)
generated_features = features_of(generated)

# %% [markdown]
# Let us move all held-out pictures four pixels to the right. How far does that seem, in pixels and in
# features? The distance between two different pictures counts as 100%.

# %%
moved = np.roll(held_out.images, 4, axis=2)
moved[:, :, :4] = held_out.images[:, :, :1]


def share(samples, changed):
    """Mean distance to changed samples, as a share of that to others."""
    samples, changed = (
        array.reshape(500, -1).astype("float32") for array in (samples, changed)
    )
    change = np.linalg.norm(samples - changed, axis=1).mean()
    return (
        change
        / np.linalg.norm(samples - np.roll(samples, 1, axis=0), axis=1).mean()
    )


pixels_moved = share(held_out.images, moved)
features_moved = share(held_out_features, features_of(moved))
print(f"in pixels: {pixels_moved:.0%}, in features: {features_moved:.0%}")

# %% tags=["hide"]
assert features_moved < pixels_moved

# %% [markdown]
# ## KID: two clouds of points
#
# Each picture is now a point. The real ones are a cloud of points, and the generated ones are
# another. A good model's cloud lies where the real one does, and has its shape. The *kernel inception
# distance* measures how far apart two clouds are. A kernel $k$ says how alike two points are:
#
# $$k(x, y) = \left( \tfrac{1}{d} x^\top y + 1 \right)^3$$
#
# with $d$ features. The distance is made of three means of it:
#
# $$\mathrm{KID} = m_{xx} + m_{yy} - 2 \, m_{xy}$$
#
# over all pairs of different points of the first cloud, of the second, and over all pairs of one
# point of each.
#
# If points are alike within the clouds and not between them, the clouds are apart. If there is no difference, the
# distance is 0. Because of the cube, the distance sees not only where the clouds lie, but also how wide and how
# lopsided they are. (Statisticians call this a squared *maximum mean discrepancy*, and this way to compute it
# unbiased: on average, over many draws, it is right.)
#
# What would a perfect model get? That is the first thing to ask of any metric. The real pictures
# themselves are such a model. So we cut the held-out ones into two halves at random, and measure how
# far they are apart: the *floor*.

# %%
random = np.random.default_rng(0)
half1, half2 = random.permutation(500).reshape(2, 250)
floor = imagegen.kernel_inception_distance(
    held_out_features[half1], held_out_features[half2]
)
kid = imagegen.kernel_inception_distance(generated_features, held_out_features)

for name, (distance, standard_error) in {
    "real to real": floor,
    "generated to real": kid,
}.items():
    print(f"{name}: {distance:z.4f} +- {standard_error:.4f}")

# %% tags=["hide"]
assert abs(floor.distance) < 3 * floor.standard_error

# %% [markdown]
# The floor is 0, give or take its error. It may even be below 0, because the estimate has no bias: it errs to
# both sides alike. The second figure of each line is the *standard error*: how much the
# distance would change with other pictures of the same kind. Two models whose distances differ by
# less than two or three of them have not been told apart.
#
# ## A ladder
#
# A distance alone says little. Is it much? We spoil real pictures on purpose, step by step, and see
# how the distance grows. One half of the held-out pictures is spoilt, and the other one is what they
# are compared with.

# %% alt="A flower in two rows of five: more and more blurred, and more and more noisy." caption="Changes of known size, to measure the measure with."
from PIL import Image, ImageFilter


def blurred(images, radius):
    """Blur pictures with a Gaussian of this radius, in pixels."""
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack(
        [np.asarray(Image.fromarray(image).filter(blur)) for image in images]
    )


def noisy(images, deviation):
    """Add normal noise of this deviation, in levels of 255."""
    noise = np.random.default_rng(0).normal(scale=deviation, size=images.shape)
    return np.rint(images + noise).clip(0, 255).astype("uint8")


rungs = {"blur": [0.5, 1, 2, 3, 4], "noise": [10, 20, 30, 40, 60]}
spoil = {"blur": blurred, "noise": noisy}
originals = held_out.images[half1]
daisy = list(held_out.labels[half1]).index(held_out.names.index("oxeye daisy"))

ladder, ladder_features, examples, titles = {}, {}, [], []
for kind, amounts in rungs.items():
    for amount in amounts:
        spoilt = spoil[kind](originals, amount)
        features = ladder_features[kind, amount] = features_of(spoilt)
        ladder[kind, amount] = imagegen.kernel_inception_distance(
            features, held_out_features[half2]
        )
        examples.append(spoilt[daisy])
        titles.append(f"{kind} {amount}: {ladder[kind, amount].distance:z.2f}")
imagegen.show(examples, titles=titles, columns=5, scale=2)

# %% tags=["fold"] alt="Two curves of KID over the amount of blur and of noise. Both begin near 0 and rise with each rung; a dashed line marks the generated pictures." caption="The dashed line says how much blur and noise the generated pictures are worth."
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
units = {
    "blur": "radius of the blur, pixels",
    "noise": "deviation of the noise, levels",
}
for ax, (kind, amounts) in zip(axes, rungs.items(), strict=True):
    rungs_up = [floor, *(ladder[kind, amount] for amount in amounts)]
    distances, errors = np.array(rungs_up).T
    ax.errorbar(
        [0, *amounts],
        distances,
        2 * errors,
        fmt="o-",
        color="tab:blue",
        capsize=3,
    )
    ax.axhline(
        kid.distance, color="tab:orange", linestyle="--", label="generated"
    )
    ax.set(title=f"real pictures with {kind}", xlabel=units[kind])
axes[0].set(ylabel="KID, with two standard errors")
axes[0].legend(loc="upper left")
plt.show()

# %% tags=["hide"]
for kind, amounts in rungs.items():
    distances = [ladder[kind, amount].distance for amount in amounts]
    assert distances == sorted(distances), kind
    assert (
        distances[-1]
        > floor.distance + 5 * ladder[kind, amounts[-1]].standard_error
    ), kind

# %% [markdown]
# The distance rises with each rung. So the ladder says what a distance means:

# %%
for kind, amounts in rungs.items():
    distances = [
        floor.distance,
        *(ladder[kind, amount].distance for amount in amounts),
    ]
    if kid.distance > distances[-1]:
        print(f"generated pictures are farther than any rung of {kind}")
    else:
        amount = np.interp(kid.distance, distances, [0, *amounts])
        print(
            f"generated pictures are as far as real ones with {kind} "
            f"{amount:.1f}"
        )

# %% [markdown]
# As far, but not alike: they may be neither blurred nor noisy. A distance has no direction.
#
# ## FID, and why not
#
# Most papers report another distance between the same two clouds, the *Fréchet inception distance*.
# It takes each for a normal distribution, with its mean $\mu$ and covariance $\Sigma$:
#
# $$\mathrm{FID} = \lVert \mu_1 - \mu_2 \rVert^2 + \operatorname{tr} \left( \Sigma_1 + \Sigma_2
# - 2 (\Sigma_1 \Sigma_2)^{1/2} \right)$$
#
# It is a fine distance, if there are many pictures. What is its floor? Here are real pictures against other real
# ones, as many as the first column says. Each line is the mean of five draws.

# %%
counts = [25, 50, 100, 250]
rows = ["| pictures | FID | KID | its standard error |", "|---|---|---|---|"]
floors = []
for count in counts:
    draws = []
    for _ in range(5):
        pair = held_out_features[
            random.permutation(500).reshape(2, 250)[:, :count]
        ]
        fid = imagegen.frechet_inception_distance(*pair)
        draws.append((fid, *imagegen.kernel_inception_distance(*pair)))
    floors.append(np.mean(draws, axis=0))
    fid, distance, standard_error = floors[-1]
    rows.append(
        f"| {count} | {fid:.1f} | {distance:z.4f} | {standard_error:.4f} |"
    )
Markdown("\n".join(rows))

# %% tags=["hide"]
fids, distances, standard_errors = np.array(floors).T
assert (np.diff(fids) < 0).all()
assert fids[0] > 3 * fids[-1]
assert (np.abs(distances) < 2 * standard_errors).all()

# %% [markdown]
# Both halves are real pictures, so the true distance is 0. FID finds a lot all the same, and the fewer pictures
# there are, the more it finds. A covariance of 192 features has 18,528 numbers, and it takes many pictures to know
# them. Papers use 50,000. So a FID can only be compared with a FID of as many pictures. KID stays at 0, within its
# error. That is why we use it.
#
# ## Precision and recall
#
# A model can fail in two ways. Its pictures can be bad. Or they can be good, and always the same few.
# One distance can't tell which. So let us ask two questions:
#
# - **Precision**: what share of the generated pictures is near a real one?
# - **Recall**: what share of the real pictures is near a generated one?
#
# "Near" needs a measure. Around each point of a cloud goes a ball, so wide that it reaches the third
# nearest point of the same cloud. What lies in at least one of the balls is near the cloud.


# %%
def row(name, features):
    """Measure pictures against the second half of the held-out ones."""
    real = held_out_features[half2]
    precision, recall = imagegen.precision_and_recall(features, real)
    distance = imagegen.kernel_inception_distance(features, real).distance
    return f"| {name} | {distance:z.3f} | {precision:.0%} | {recall:.0%} |"


few = noisy(np.repeat(held_out.images[half1[:25]], 10, axis=0), 10)
few_features = features_of(few)
head = ["| pictures | KID | precision | recall |", "|---|---|---|---|"]
rows = [
    row("other real ones", held_out_features[half1]),
    row("25 real ones, again and again", few_features),
    row("real, blur 3", ladder_features["blur", 3]),
    row("real, noise 60", ladder_features["noise", 60]),
    row("generated", generated_features),
]
Markdown("\n".join(head + rows))

# %% tags=["hide"]
real_shares, few_shares, noise_shares, generated_shares = (
    imagegen.precision_and_recall(features, held_out_features[half2])
    for features in (
        held_out_features[half1],
        few_features,
        ladder_features["noise", 60],
        generated_features,
    )
)
assert min(real_shares) > 0.75
assert max(real_shares) < 1
assert few_shares.precision > 0.75
assert few_shares.recall < real_shares.recall / 2
assert noise_shares.precision > 0.2
assert noise_shares.recall < real_shares.recall / 2
assert generated_shares.recall < real_shares.recall

# %% [markdown]
# The first line is again the best possible: real pictures don't reach 100% either. The second
# is a model that knows 25 flowers by heart, and repeats them with a little noise. Its precision is
# good, and its recall is not. That is what the two are for. In the last line, the recall of our model
# is below that of real pictures: its flowers don't cover all that real ones show.
#
# The strong noise should make us think. Nobody would call such a picture good, and yet precision finds many of
# them near real ones. What the network makes of noise is vague, a point in the middle of everything, and in the
# middle there are balls all around. So in these features a good precision proves little, even one above that of
# real pictures. It is recall that notices: vague points don't cover the cloud.
#
# ## Are they copies?
#
# A model that repeats its training pictures gets nearly the best result of all, and no metric above would
# notice. So for each generated picture we look for the training picture that is nearest to it.
# Training saw each of them mirrored as well, so we search both.

# %% tags=["output"]
note = """
Without the photographs, the search is among painted flowers, which this model never learnt from. It shows
how one looks for copies, and can't find any.
"""
Markdown("" if has_photographs else note)

# %%
known = np.concatenate([training.images, training.images[:, :, ::-1]])
known_features = features_of(known)
in_features = imagegen.nearest_neighbors(generated_features, known_features)

# %% [markdown]
# In pixels, we compare 32 x 32 means of four pixels each. That is enough to know a copy, and four
# times faster.


# %%
def small(images):
    """Halve the size: each new pixel is the mean of 2 x 2 old ones."""
    count, height, width, channels = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2, channels).mean(
        axis=(2, 4), dtype="float32"
    )


num_compared = 100
known_small, held_out_small = small(known), small(held_out.images)
generated_small = small(generated[:num_compared])
in_pixels = imagegen.nearest_neighbors(generated_small, known_small)

# %% [markdown]
# We don't pick a few at random to look at, but the most suspicious: the six generated pictures that
# are the nearest to a training picture, in features (first two rows) and in pixels (the last two).

# %% tags=["hero"] alt="Four rows of six: generated flowers, and below each the training picture nearest to it, in features and then in pixels. They share colours and shapes." caption="Generated pictures, and their nearest neighbours among those learnt from."
suspects = np.argsort(in_features.distances[:, 0])[:6]
twins = np.argsort(in_pixels.distances[:, 0])[:6]
imagegen.show(
    np.concatenate(
        [
            generated[suspects],
            known[in_features.indices[suspects, 0]],
            generated[twins],
            known[in_pixels.indices[twins, 0]],
        ]
    ),
    columns=6,
    titles=(["generated"] * 6 + ["nearest"] * 6) * 2,
)

# %% [markdown]
# Now all of them, in numbers. How near is too near? Held-out pictures tell. No model can have copied
# them, and they have nearest training pictures, too.

# %% tags=["fold"] alt="Two panels with the shares of pictures below each distance to the nearest training picture, in features and in pixels, for generated and for held-out pictures." caption="If the model copied, its curve would begin further left than that of held-out pictures."
held_in_features = imagegen.nearest_neighbors(held_out_features, known_features)
held_in_pixels = imagegen.nearest_neighbors(
    held_out_small[:num_compared], known_small
)
pixel_scale = np.sqrt(generated_small[0].size)

panels = {
    "in features": (
        in_features.distances[:, 0],
        held_in_features.distances[:, 0],
    ),
    "in pixels, levels of 255": (
        in_pixels.distances[:, 0] / pixel_scale,
        held_in_pixels.distances[:, 0] / pixel_scale,
    ),
}
figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
for ax, (title, both) in zip(axes, panels.items(), strict=True):
    for name, color, distances in zip(
        ("generated", "held-out"), ("tab:orange", "tab:blue"), both, strict=True
    ):
        ax.plot(
            np.sort(distances),
            np.linspace(0, 100, len(distances)),
            color=color,
            label=name,
        )
    ax.set(xlabel=title, xlim=(0, None))
axes[0].set(ylabel="% that are nearer than this")
axes[0].legend(loc="upper left")
figure.suptitle("Distance to the nearest training picture", fontsize="medium")
plt.show()

# %%
for title, both in panels.items():
    for name, distances in zip(("generated", "held-out"), both, strict=True):
        low, middle = np.percentile(distances, [5, 50])
        print(
            f"{title}: {name}, 5% are nearer than {low:.1f}, half nearer than "
            f"{middle:.1f}"
        )

# %% tags=["hide"]
generated_to_known, held_out_to_known = panels["in features"]
assert generated_to_known.min() > held_out_to_known.min()
assert np.percentile(generated_to_known, 5) > np.percentile(
    held_out_to_known, 5
)

# %% [markdown]
# In features, generated pictures keep a greater distance from the training pictures than held-out ones
# do. In pixels the question is not so simple: smooth pictures are near everything in pixels, copied or
# not. So there is a better question. Are generated pictures nearer to training pictures than to equally
# many pictures that training never saw? A copyist's would be.

# %%
some = random.permutation(len(known_small))[:500]
to_training, to_held_out = (
    imagegen.nearest_neighbors(generated_small, others).distances.mean()
    / pixel_scale
    for others in (known_small[some], held_out_small)
)
print(f"to the nearest of 500 training pictures: {to_training:.1f} levels")
print(f"to the nearest of 500 held-out pictures: {to_held_out:.1f} levels")

# %% tags=["hide"]
assert to_training > 0.9 * to_held_out

# %% [markdown]
# The two distances are about the same. A model that copies often would have shown itself here. That ours never
# copies isn't proven: a hundred pictures are few.
#
# If you ask for a species by name, with guidance, you get more typical pictures, and these are a little nearer to
# the training photographs. The difference to held-out ones was small when we measured a thousand: half of
# the painted pictures were nearer than 3.86 in features, and half of the photographs nearer than 4.02. In
# pixels there was none (`benchmarks/flowers_quality.py`).
#
# ## All presets
#
# Now we measure the presets that learned from handwriting, or from photographs of 64 x 64 pixels. (Students are
# measured against their teachers, in [Fewer steps](fewer_steps.py).) A model that takes
# names of species paints those of the held-out pictures, here without guidance. For a [VAE](latent_spaces.py) there is a
# better measure than KID. It can say how likely a picture is, or at least give a bound, the *negative ELBO*:
# how much information it takes to describe a digit, in *nats*. A nat is 1.44 bits. The fewer, the better. We take digits that were held out
# of training, in ten parts, whose scatter gives the standard error. Models of drawn flowers are measured
# in [another chapter](text_to_image.py), by what they were told to draw.

# %%
import keras

digits = imagegen.datasets.digits(split="test").images
parts = np.array_split(digits, 10)
rows = ["| preset | metric | value | standard error |", "|---|---|---|---|"]
for name in ("digits-2d", "digits-16d", "flowers-64", "flowers-64-species"):
    preset = imagegen.presets.load(name, keras.Model)
    if isinstance(preset, imagegen.VAE):
        bounds = [imagegen.negative_elbo(preset, part).nats for part in parts]
        error = np.std(bounds, ddof=1) / np.sqrt(len(parts))
        rows.append(
            f"| `{name}` | negative ELBO, nats | {np.mean(bounds):.1f} | "
            f"{error:.1f} |"
        )
    if isinstance(preset, imagegen.DiffusionModel):
        prompts = None
        if preset.encoder is not None:
            species = [held_out.names[label] for label in held_out.labels]
            known_species = [
                one for one in species if one in preset.encoder.names
            ]
            prompts = random.choice(known_species, 75).tolist()
        pictures = (
            generated if name == "flowers-64" else generate(preset, 75, prompts)
        )
        distance, error = imagegen.kernel_inception_distance(
            features_of(pictures), held_out_features
        )
        rows.append(f"| `{name}` | KID | {distance:.4f} | {error:.4f} |")
Markdown("\n".join(rows))

# %% [markdown]
# A hundred pictures or fewer are what a page has time for. The script `benchmarks/flowers_quality.py` takes
# a thousand, and more steps. [Presets](presets.py) lists what was measured when each of them was
# made.
#
# ## How many steps?
#
# The chapter on [samplers](samplers.py) measured how near a sampler comes to the end of its road. But
# does it matter for the pictures? Sixteen pictures for each point of the curves, all from the
# same noise:

# %% tags=["fold"] alt="Four curves of KID over 4, 8 and 12 evaluations of the network. All fall, and DPM-Solver++ at even log signal-to-noise ratios is the lowest with few." caption="How much quality a number of evaluations buys."
even_times = model.schedule.schedule
walks = {
    "DDIM and Euler": (imagegen.DDIM(), even_times, "tab:blue"),
    "Heun, even log SNR": (imagegen.Heun(), model.schedule, "tab:green"),
    "DDPM": (imagegen.DDPM(), even_times, "tab:red"),
    "DPM-Solver++(2M), even log SNR": (
        imagegen.DPMSolver2M(),
        model.schedule,
        "tab:orange",
    ),
}
evaluations = [4, 8, 12]
curves, painted = {}, {}
for name, (sampler, schedule, _) in walks.items():
    model.schedule = schedule
    cost = 2 if sampler == imagegen.Heun() else 1
    for count in evaluations:
        painted[name] = model.generate(
            16, num_steps=count // cost, sampler=sampler, seed=1
        )
        curves.setdefault(name, []).append(
            imagegen.kernel_inception_distance(
                features_of(painted[name]), held_out_features
            )
        )

figure, axes = plt.subplots(figsize=(6.4, 3.6))
for place, (name, points) in enumerate(curves.items()):
    distances, errors = np.array(points).T
    # A little to the side, so that error bars don't hide each other.
    places = np.array(evaluations) * 1.02 ** (place - 1.5)
    axes.errorbar(
        places,
        distances,
        errors,
        fmt="o-",
        capsize=3,
        label=name,
        color=walks[name][2],
    )
axes.set(
    title="Quality and cost",
    xlabel="evaluations of the network",
    ylabel="KID",
    xscale="log",
)
axes.set_xticks(evaluations, [str(count) for count in evaluations])
axes.minorticks_off()
axes.legend()
plt.show()

# %% tags=["hide"]
for name, points in curves.items():
    assert points[-1].distance < points[0].distance, name
best_with_four = min(curves, key=lambda name: curves[name][0].distance)
assert best_with_four == "DPM-Solver++(2M), even log SNR"

# %% [markdown]
# The error bars are one standard error, and sixteen pictures are few. But all points share their noise
# and their real pictures, so chance has less to do with how they differ than the bars
# suggest. All of them fall: more steps give better pictures, down to the model's own error. With few evaluations, the
# right method at the right stops is worth more than anything else.
#
# All but DDPM are deterministic. Each of those carries its errors along: a petal that goes astray in
# the first steps stays astray. DDPM draws fresh noise in each step. What it painted wrong drowns in
# that noise, and is painted anew. This takes many steps, and less help from the
# [poorer network](flowers_from_noise.py#what-is-different-in-the-preset). The first
# row is by DPM-Solver++ in 12 steps, the second by DDPM in 64:

# %% alt="Two rows of eight flowers, one of each kind. In both some are heaps of petals." caption="The same noise, with two settings of the sampler."
in_12 = painted["DPM-Solver++(2M), even log SNR"][:8]
model.schedule, own_scale = even_times, model.autoguidance_scale
model.autoguidance_scale = 1.1
in_64 = model.generate(8, num_steps=64, sampler=imagegen.DDPM(), seed=1)
model.autoguidance_scale = own_scale
imagegen.show(np.concatenate([in_12, in_64]), columns=8, scale=2)

# %% [markdown]
# By KID, the gain is small: of a thousand pictures each, it was 0.028, and 0.023 for DDPM in 128 steps
# (`benchmarks/flowers_quality.py`). Eight pictures are too few to tell by eye. Of a hundred that were painted like
# the second row, we saw no flower in about ten. When DPM-Solver++ painted them in 12 steps, it was eighteen.
#
# ## How long to train?
#
# An hour of training is worth more on one machine than on another. So we count multiply-adds: those of a forward
# pass, times three for a step, because the way back costs twice as much. Three models learned from the same
# 9,000 pictures. The first is the network of
# [*Deep Learning with Python*](sources.md), "the book", with its recipe. The other two are the network
# of our preset, with our recipe. One of them was told the species. The other never heard of any, like the
# book's.
#
# After 1, 2, 4, ... epochs, 500 pictures of each of the first two were compared with the held-out ones. The one
# that was told species painted each as often as it occurs, guided at a scale of 3. The third was measured once,
# at its end, by 1,000 pictures. It has no names to be guided by, but a poorer network to move away from, and
# the training of that one is in its bill. All that takes hours on two cores, so here is the record that
# `benchmarks/flowers_training.py` left:

# %% tags=["fold"] alt="KID over the arithmetic of training, both logarithmic. The book's curve is the upper one. That of our recipe, told species, lies far below, and the point of our recipe without names lies below the book's end." caption="Quality against arithmetic, for two recipes."
import csv

RECORD = """\
recipe,epochs,pictures,tera_multiply_adds,kid,standard_error
book,1,9000,29.7,0.3413,0.0075
book,2,18000,59.5,0.1552,0.0058
book,4,36000,118.9,0.1168,0.0068
book,8,72000,237.9,0.0794,0.0057
species,1,9000,8.5,0.2477,0.0075
species,2,18000,16.9,0.1608,0.0062
species,4,36000,33.9,0.0981,0.0051
species,8,72000,67.7,0.0374,0.0032
species,16,144000,135.4,0.0198,0.0024
unnamed,27,243000,234.8,0.0230,0.0027
"""
lines = {}
for line in csv.DictReader(RECORD.splitlines()):
    numbers = [
        float(line[key])
        for key in ("tera_multiply_adds", "kid", "standard_error")
    ]
    lines.setdefault(line["recipe"], []).append(numbers)

shown = {
    "book": ("the book's recipe", "tab:blue"),
    "species": ("ours, told species", "tab:orange"),
    "unnamed": ("ours, told no names", "tab:green"),
}
figure, axes = plt.subplots(figsize=(6.4, 3.6))
for recipe, (label, color) in shown.items():
    cost, distances, errors = np.array(lines[recipe]).T
    axes.errorbar(
        cost, distances, errors, fmt="o-", capsize=3, label=label, color=color
    )
axes.set(
    title="Quality and training",
    xlabel="multiply-adds, in units of 10¹²",
    ylabel="KID",
    xscale="log",
    yscale="log",
)
for axis, ticks in (
    (axes.xaxis, (10, 30, 100, 200)),
    (axes.yaxis, (0.02, 0.05, 0.1, 0.2, 0.3)),
):
    axis.set_ticks(ticks, [str(tick) for tick in ticks])
axes.minorticks_off()
axes.legend()
plt.show()


# %%
def distance_at(recipe, cost):
    """Where a curve is at a cost, on logarithmic axes."""
    costs, distances, _ = np.array(lines[recipe]).T
    return np.exp(np.interp(np.log(cost), np.log(costs), np.log(distances)))


shares = []
end = lines["unnamed"][-1][0]
for recipe, cost in [
    ("species", 30),
    ("species", 60),
    ("species", 120),
    ("unnamed", end),
]:
    theirs, ours = distance_at("book", cost), distance_at(recipe, cost)
    shares.append(ours / theirs)
    print(
        f"{cost:3.0f} units: the book's {theirs:.3f}, {shown[recipe][0]} "
        f"{ours:.3f}"
    )

# %% tags=["hide"]
assert max(shares) < 1 / 3

# %% [markdown]
# At equal cost, our recipe comes three to five times nearer to the photographs, with names and without. Why?
# For each picture its network does less than a third of the arithmetic, so it sees three times as many. It
# has something to be guided by. And there are the [other changes](flowers_from_noise.py). What each of these
# is worth alone, this record doesn't tell. Names help much: told species, the model needs half as much
# training to come as near. How firmly the third model moves away from the poorer network was chosen by this
# very measure, from three scales. At the one that the preset has by default, 1.5, its distance is 0.027, a
# little more than a third of the book's.
#
# ## What no number here sees
#
# - **What the network is blind to.** A metric sees through a network's eyes. Ours is small, has only
#   ever seen flowers of 64 x 64 pixels, and gets some of their species wrong. Where it is blind, the
#   metric is, too.
# - **What the network has learnt by heart.** It was trained on the very photographs that our model
#   learnt from. So measure against held-out pictures only.
# - **A single picture.** KID, FID, precision and recall speak of many. None of them says whether
#   *this* flower has a stem too many.
# - **Another feature space.** Distances in InceptionV3's features are other numbers. A figure without
#   its feature space, number of pictures, and real pictures to compare with is no figure.
# - **What was tuned to it.** Whoever chooses among a hundred models by KID gets the one that is good at
#   KID.
#
# So look at pictures, at many of them, unselected. Numbers are for what the eye can't do: compare thousands with
# thousands, and in the same way tomorrow as today.
#
# ## What we have learnt
#
# - Pictures are compared as features, and a metric compares clouds of them.
# - Every metric has a floor, what real pictures score against real ones. Measure it first.
# - KID has no bias, so a few hundred pictures will do, and it comes with a standard error. FID wants thousands,
#   and always the same number.
# - A ladder of spoilt pictures tells what a distance means.
# - Precision and recall tell quality from variety, as far as the features can.
# - Copies are found by nearest neighbours, and held-out pictures tell how near is too near.
# - Few steps want a deterministic sampler of high order. Many steps with fresh noise forget errors.
# - At equal cost, the recipe decides: what the network is told, and how it is built and trained.
#
# ## Exercises
#
# **1.** Climb other ladders: turn real pictures upside down, make them grey, or cut a square out of each. Which
# of these does the network see best?

# %% tags=["solution"]
upside_down = originals[:, ::-1]
grey = originals.mean(axis=-1, keepdims=True).repeat(3, axis=-1).astype("uint8")
cut = originals.copy()
cut[:, 24:40, 24:40] = 0
for name, spoilt in {
    "upside down": upside_down,
    "grey": grey,
    "cut": cut,
}.items():
    told = imagegen.kernel_inception_distance(
        features_of(spoilt), held_out_features[half2]
    )
    print(f"{name:12} {told.distance:.3f} +- {told.standard_error:.3f}")

# %% [markdown] tags=["solution"]
# A flower upside down is nearly the same flower. Without its colour it is another, to a network that has learnt
# to tell species apart.

# %% [markdown]
# **2.** Build a copyist: put 25 training pictures with weak noise among 75 generated ones. Which number finds
# them?

# %% tags=["solution"]
copies = noisy(training.images[:25], 8)
mixed = np.concatenate([generated[:75], copies])
mixed_features = features_of(mixed)
for name, features in {
    "generated": generated_features,
    "a quarter copied": mixed_features,
}.items():
    told = imagegen.kernel_inception_distance(features, held_out_features)
    nearest = np.sort(
        imagegen.nearest_neighbors(features, known_features).distances[:, 0]
    )
    print(
        f"{name}: KID {told.distance:z.3f}, a tenth is nearer than "
        f"{nearest[10]:.1f} to training"
    )

# %% [markdown] tags=["solution"]
# KID gets *better*: copies of photographs are photographs. Only the nearest neighbours give them away.

# %% tags=["hide", "solution"]
found = imagegen.nearest_neighbors(mixed_features, known_features).distances[
    :, 0
]
assert np.median(found[75:]) < 0.5 * np.median(found[:75])

# %% [markdown]
# **3.** How many pictures does a KID need to tell our model from real pictures? Take fewer and fewer, until the
# distance is no longer three standard errors from the floor.

# %% tags=["solution"]
for count in (100, 50, 25, 12):
    told = imagegen.kernel_inception_distance(
        generated_features[:count], held_out_features
    )
    print(
        f"{count:3} pictures: {told.distance / told.standard_error:.1f} "
        "standard errors from 0"
    )

# %% [markdown]
# Next: [Editing pictures](editing_pictures.py), where a walk begins half-way, at a picture of your own. The
# [reference of metrics](../api/metrics.md) has the formula and the paper of each.
