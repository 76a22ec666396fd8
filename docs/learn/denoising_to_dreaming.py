# %% [markdown] needs=["latent_spaces"]
# # From denoising to dreaming
#
# The [chapter before](latent_spaces.py) made new digits by walking through a map of them. This one
# takes another road. It begins with something modest and useful: cleaning noise out of a picture. Step
# by step it asks for more, until there is nothing left to clean, only noise. What comes out then is
# a picture that nobody took.
#
# !!! abstract "What you will learn"
#     - How to train a network that takes noise out of a picture, and one that makes a picture larger.
#     - How to measure whether they do it well.
#     - Why they guess, and when a guess must not be trusted.
#     - Why one step from noise to a picture gives a blur, and many small steps don't.
#
# ## Taking noise out
#
# Noise is what a camera adds when there is little light: each pixel is a bit too bright or too
# dark, at random. We add it ourselves: to each pixel, a number from the normal distribution, times a
# *strength*. Pixels go from 0, black, to 1, white. So at a strength of 1, the noise is as large as the
# difference between paper and ink.

# %% alt="Four rows of nine digits: clean, and under noise of strength 0.3, 0.6 and 1, where the digits are hard to make out." caption="From row to row more noise: none, 0.3, 0.6 and 1."
import imagegen

import keras
import numpy as np

train = imagegen.to_float(imagegen.datasets.digits(split="train").images[:5000])
test = imagegen.to_float(imagegen.datasets.digits(split="test").images[:1000])

rng = np.random.default_rng(0)


def add_noise(pictures, strength):
    """Add normal noise to each pixel."""
    return pictures + strength * rng.standard_normal(pictures.shape, "float32")


strengths = (0, 0.3, 0.6, 1)
rows = [add_noise(test[:9], strength) for strength in strengths]
imagegen.show(imagegen.to_uint8(np.concatenate(rows)), columns=9)

# %% [markdown]
# Look at the third row. You can still read most of these digits. How? You know what digits look
# like, and you look for strokes. A network can learn the same, and all it needs is examples: noisy
# pictures to look at, and the clean ones as answers. It is an autoencoder like the one in the chapter
# before, with one change: its target is not its input, but its input without the noise.
#
# ```source
# imagegen.denoising_autoencoder
# ```
#
# Convolutions with stride 2 look at neighbourhoods and halve the picture. Transposed ones enlarge
# it again. (The package's are computed [in another way][imagegen.SubPixelConv2DTranspose], several
# times faster.) The loss is the mean squared error, and each training picture has a strength of its
# own, up to 1.

# %%
keras.utils.set_random_seed(0)
denoiser = imagegen.denoising_autoencoder((28, 28, 1))
denoiser.compile(keras.optimizers.Adam(2e-3), loss="mean_squared_error")

for _ in range(3):
    noisy = add_noise(
        train, rng.uniform(0, 1, (len(train), 1, 1, 1)).astype("float32")
    )
    denoiser.fit(noisy, train, batch_size=128, verbose=0)

noisy_test = add_noise(test, 0.6)
cleaned = denoiser.predict(noisy_test, verbose=0)

# %% alt="Three rows of nine digits: noisy, cleaned, and as they were. The cleaned ones look nearly like the originals." caption="Noisy, cleaned, and as they were."
rows = [noisy_test[:9], cleaned[:9], test[:9]]
imagegen.show(imagegen.to_uint8(np.concatenate(rows)), columns=9)

# %% [markdown]
# The top row is what the network sees, the middle row what it answers, and the bottom row the truth. It has
# seen none of these digits before.
#
# How good is that, as a number? The *peak signal-to-noise ratio*, PSNR, compares the mean squared
# error with the largest possible one, that of black against white, on a logarithmic scale in
# *decibels*:
#
# $$\text{PSNR} = 10 \log_{10} \frac{1^2}{\text{mean squared error}}$$
#
# More is better. Ten decibels more mean a tenth of the squared error, and three mean half of it.


# %%
def psnr(pictures, originals):
    """Peak signal-to-noise ratio of each picture, in decibels."""
    errors = np.square(np.clip(pictures, 0, 1) - originals).mean(axis=(1, 2, 3))
    return 10 * np.log10(1 / errors)


print(f"noisy:   {psnr(noisy_test, test).mean():.1f} dB")
print(f"cleaned: {psnr(cleaned, test).mean():.1f} dB")

# %% tags=["hide"]
assert psnr(cleaned, test).mean() > psnr(noisy_test, test).mean() + 6
assert (psnr(cleaned, test) > psnr(noisy_test, test)).mean() > 0.99

# %% [markdown]
# ### More noise than it can see through
#
# What if the noise gets stronger still? Here is one digit, under more and more of it. From the
# fourth picture on, there is more noise than the network has ever met, and no eye finds the digit.

# %% alt="A digit under growing noise, and the network's answers: clear at first, then bent, then smeared, and at last no digit at all." caption="The more noise, the freer the answer."
strengths = (0.3, 0.6, 1, 1.5, 2.5, 6)
harder = np.concatenate(
    [add_noise(test[4:5], strength) for strength in strengths]
)
answers = denoiser.predict(harder, verbose=0)
imagegen.show(
    imagegen.to_uint8(np.concatenate([harder, answers])),
    titles=[f"noise {strength}" for strength in strengths]
    + [""] * len(strengths),
    columns=len(strengths),
)

# %% tags=["hide"]
many = [add_noise(test[:200], strength) for strength in strengths]
qualities = [
    psnr(denoiser.predict(part, verbose=0), test[:200]).mean() for part in many
]
assert (np.diff(qualities) < 0).all()

# %% [markdown]
# As the noise grows, the answer becomes a guess, and then a smear. It is made of pieces of strokes,
# because strokes are all that this network knows. It never says "I can't read this". Keep
# that in mind.
#
# ## Making pictures larger
#
# *Super-resolution* is the next thing to ask for: turn a small picture into a large one. Here too,
# training data cost nothing. Take large pictures, shrink them, and ask for the large ones back. Our small pictures have 16 x 16 pixels, each the mean of 4 x 4 pixels of a flower. 500 flowers
# are held out of the training.


# %% alt="Six flowers of 64 x 64 pixels, and below them the same of 16 x 16." caption="What a network for super-resolution is given, below, and what it should find, above."
def shrink(pictures):
    """Make pictures a quarter as high and wide, by means of 4 x 4 pixels."""
    count, height, width, channels = pictures.shape
    blocks = pictures.reshape(count, height // 4, 4, width // 4, 4, channels)
    return blocks.mean(axis=(2, 4))


def repeat(pictures):
    """Draw each pixel as 4 x 4 pixels."""
    return pictures.repeat(4, axis=1).repeat(4, axis=2)


training = imagegen.datasets.flowers(split="train")
testing = imagegen.datasets.flowers(split="test")
large, held_out = (
    imagegen.to_float(flowers.images) for flowers in (training, testing)
)
small, small_held_out = shrink(large), shrink(held_out)
print(f"{len(large):,} flowers for training, and {len(held_out)} held out")

species = [
    "passion flower",
    "corn poppy",
    "oxeye daisy",
    "rose",
    "blanket flower",
    "gazania",
]
chosen = [
    list(testing.labels).index(testing.names.index(name)) for name in species
]
imagegen.show(
    np.concatenate([held_out[chosen], repeat(small_held_out[chosen])]),
    columns=6,
)

# %% [markdown]
# The classical way is *bicubic interpolation*: through the few pixels, draw a smooth surface, piece by
# piece, and read it off at more places. It looks at 4 x 4 pixels and knows nothing about flowers. We let it
# compete with a network made for the task: [ESPCN](https://arxiv.org/abs/1609.05158), of 2016.
#
# ```source
# imagegen.espcn
# ```
#
# All convolutions work on the small picture, where pixels are few, and so it is fast. The last one
# computes 16 numbers for each pixel and colour. Then they are put side by side as 4 x 4 pixels: one
# pixel's *depth* becomes *space*. This is called a *sub-pixel convolution*. Here it is with four
# numbers:

# %%
pixel = np.float32([1, 2, 3, 4]).reshape(1, 1, 1, 4)
print(keras.ops.convert_to_numpy(imagegen.DepthToSpace(2)(pixel))[0, :, :, 0])

# %% [markdown]
# One thing is not in the paper. The network doesn't have to paint the whole picture. It only computes what
# is *missing* from the small picture with repeated pixels, and that is added. This is called
# *residual learning*, and comes from [VDSR](https://arxiv.org/abs/1511.04587). Later networks, such as
# [EDSR](https://arxiv.org/abs/1707.02921), are larger by far.
#
# We train it on some 20,000 examples in all, while the learning rate falls to 0. (`-(-a // b)` divides and
# rounds up: the last batch of an epoch may be a small one.)

# %%
EPOCHS = round(20_000 / len(large))
keras.utils.set_random_seed(0)
network = imagegen.espcn(4)
learning_rate = keras.optimizers.schedules.CosineDecay(
    3e-3, EPOCHS * -(-len(large) // 32)
)
network.compile(keras.optimizers.Adam(learning_rate), loss="mean_squared_error")
network.fit(small, large, batch_size=32, epochs=EPOCHS, verbose=0)
print(f"{network.count_params():,} parameters")

# %%
size = held_out.shape[1:3]
enlarged = {
    "repeated pixels": repeat(small_held_out),
    "bicubic": keras.ops.convert_to_numpy(
        keras.ops.image.resize(small_held_out, size, interpolation="bicubic")
    ),
    "ESPCN": network.predict(small_held_out, verbose=0),
}
quality = {
    name: psnr(pictures, held_out) for name, pictures in enlarged.items()
}

# %% tags=["fold"]
from IPython.display import Markdown

rows = ["| enlarged by | mean PSNR |", "|---|---|"]
rows += [
    f"| {name} | {values.mean():.2f} dB |" for name, values in quality.items()
]
Markdown("\n".join(rows))

# %%
wins = quality["ESPCN"] > quality["bicubic"]
print(
    f"ESPCN is nearer to the truth than bicubic on {wins.mean():.0%} of "
    f"{len(wins)} pictures"
)

# %% tags=["hide"]
assert quality["bicubic"].mean() > quality["repeated pixels"].mean()
assert quality["ESPCN"].mean() > quality["bicubic"].mean() + 0.3
assert wins.mean() > 0.9

# %% alt="Six flowers in four rows: coarse squares, smooth blurs, somewhat sharper pictures, and the originals, which have much more detail." caption="Given, enlarged by bicubic interpolation, by the network, and the truth."
rows = [pictures[chosen] for pictures in (*enlarged.values(), held_out)]
imagegen.show(imagegen.to_uint8(np.concatenate(rows)), columns=6)

# %% [markdown]
# From top to bottom: the small picture, bicubic, ESPCN, the truth. The network's edges are sharper, on
# pictures that it has never seen. Its advantage is real, and modest. The fine veins and stamens of the
# truth are not there. How could they be? They are not in the small picture.
#
# Networks like this one, and larger, run in many phones, and improve photographs before their owners see
# them.
#
# ## Guessing is not recovering
#
# What the network adds is a guess. It can't be anything else, because many large pictures have the same
# small one. To see that, replace the fine detail of one flower with that of another.

# %% alt="Two large pictures with different detail, their small pictures, which are the same, and the network's answers, which are the same." caption="Two pictures with the same small one get the same answer."
first, other = held_out[chosen[0]], held_out[chosen[5]]
coarse = repeat(shrink(first[None]))[0]
detail = other - repeat(shrink(other[None]))[0]
# As much of the detail as fits between black and white.
room = np.where(detail > 0, 1 - coarse, coarse) / np.maximum(
    np.abs(detail), 1e-6
)
room = np.minimum(room.reshape(16, 4, 16, 4, 3).min(axis=(1, 3, 4)), 1)
forged = coarse + repeat(room[None, ..., None])[0] * detail

pair = np.stack([first, forged])
small_pair = shrink(pair)
answers = network.predict(small_pair, verbose=0)
trio = np.stack([pair, repeat(small_pair), answers], axis=1).reshape(
    6, 64, 64, 3
)
imagegen.show(
    imagegen.to_uint8(trio),
    titles=["a flower", "16 x 16", "answer", "another", "16 x 16", "answer"],
    columns=3,
    scale=2,
)
print(
    "largest difference of the large pictures: "
    f"{np.abs(pair[0] - pair[1]).max():.2f}"
)
print(f"of the small ones: {np.abs(small_pair[0] - small_pair[1]).max():.6f}")

# %% tags=["hide"]
assert np.abs(pair[0] - pair[1]).max() > 0.1
assert np.abs(small_pair[0] - small_pair[1]).max() < 1e-5
assert np.abs(answers[0] - answers[1]).max() < 1e-3
assert pair.min() > -1e-6
assert pair.max() < 1 + 1e-6

# %% [markdown]
# Two different pictures, one small picture, one answer. It can't be right for both. Nothing in the small
# picture says which of them it was, and so what is lost can't be *recovered*. It can only be replaced with
# something likely.
#
# Some phones are known for their photographs of the moon. The craters in them are finer than so small a lens
# can resolve. People who photographed a blurred picture of the moon from a screen got
# craters, too. The phone knows what the moon looks like, and draws what it knows. For the moon that
# is charming. For a face, a number plate or a tumour it is not: the phone draws what is likely, whatever was
# there. So a sharpened picture is no evidence. Never use one in forensics.
#
# ## Pushed to the limit
#
# The less there is to see, the more there is to guess. So let us go further. We shrink flowers to 4 x 4
# pixels, and let the network enlarge them twice.

# %% alt="Six flowers, each as 4 x 4 squares of colour and enlarged to a smooth, shapeless blur." caption="Enlarging sixteen times: the best answer has no detail left."
tiny = shrink(small_held_out[chosen])
twice = tiny
for _ in range(2):
    twice = network.predict(twice, verbose=0)
imagegen.show(
    imagegen.to_uint8(np.concatenate([repeat(repeat(tiny)), twice])), columns=6
)

# %% [markdown]
# A shapeless blur, and not for lack of training. Which answer has the smallest mean squared
# error, when many are possible? The mean of all of them:
#
# $$\operatorname*{arg\,min}_{y}\ \operatorname{E}\left[ (x - y)^2 \right] = \operatorname{E}[x]$$
#
# Where few pictures are possible, their mean is sharp. Where many are, it is a blur.
#
# Noise can be pushed further than shrinking: until nothing but noise is left. *Any* picture could be under
# it. What does a network answer then? We ask a denoiser that was trained for hours, on photographs of
# flowers, with noise of all strengths: the preset `flowers-64`. A [later chapter](flowers_from_noise.py)
# takes it apart. All that matters here is that it can go from noise to a picture in as many steps as we
# like. We let it take one.

# %% alt="In the first row six pictures of noise, in the second six round blurs of different colours on dull green." caption="Pure noise, and the one-step answers to it."
model = imagegen.DiffusionModel.from_preset("flowers-64")
noise = imagegen.samplers.initial_noise(6, (64, 64, 3), seed=3)
one_step = model.generate(36, num_steps=1, seed=3)

shown = [imagegen.to_uint8(noise, value_range=(-2.5, 2.5)), one_step[:6]]
imagegen.show(np.concatenate(shown), columns=6)

# %% [markdown]
# Blurs. They have a colour, because what this network saw in training was never quite pure noise: it held
# 0.02 of a picture. Over all pixels together, that is enough to tell a colour by. So the network takes the
# chance colour of the noise for a trace of a flower. There is no trace of a shape.
#
# Are they what we think they are, means of all that is possible? We compare the mean of 36 answers with the
# mean of all flowers.

# %% alt="Two similar blurs side by side: the mean of the answers, and the mean of all flowers." caption="On average, the answers are the average flower."
answers = imagegen.to_float(one_step)
mean_answer, mean_flower = answers.mean(axis=0), large.mean(axis=0)
imagegen.show(
    [mean_answer, mean_flower],
    titles=["mean of the answers", "mean of all flowers"],
    scale=3,
)


def difference(pictures, others):
    """Mean difference, in levels of 255."""
    return 255 * np.abs(pictures - others).mean()


print(
    f"the mean of the answers is {difference(mean_answer, mean_flower):.0f} "
    "from the mean flower"
)
print(f"an answer is {difference(answers, mean_flower):.0f} from it")
print(f"a flower is {difference(large[::10], mean_flower):.0f} from it")

# %% tags=["hide"]
assert difference(mean_answer, mean_flower) < 12
assert difference(answers, mean_flower) < 27
assert difference(large[::10], mean_flower) > 1.5 * difference(
    answers, mean_flower
)
np.testing.assert_allclose(model.schedule.schedule.min_signal_rate, 0.02)

# %% [markdown]
# The differences are in levels of 255. The mean flower is what the answers have in common. So that is why
# one step fails. It doesn't fail at its task: the mean is the best answer to the question. The question is
# too much for one step.

# %% tags=["output"]
note = """
The preset learnt from photographs, and the flowers of this page are painted. So the mean of the painted
ones stands in for that of the photographs.
"""
Markdown(note) if testing.source == "painted" else None

# %% [markdown]
# ## A little at a time
#
# We have met the way out already. Where there is *little* noise, there is little to guess, and the answer is
# sharp. So never go the whole way at once. Take the blur for what it is: a hint of which way to go. Move a little
# towards it, which takes a little of the noise out. What is left is a slightly less noisy picture, and fewer
# flowers could be under it. Ask again. Now the answer is a little less of
# a blur. And so on, in a loop. The whole is called *reverse diffusion*.
#
# Here is the loop at work on one flower, after 1, 10, 20, 30, 40 and 50 steps. The top row is the picture
# after the step, the bottom row the answer that the step followed.

# %% tags=["hero"] alt="Above, noise that clears up to a flower; below, a blur that becomes a sharper and sharper flower." caption="Above, what is there; below, what the network sees in it."
steps = list(model.generate_steps(6, num_steps=50, seed=3))
noisy, clean = (np.stack(pictures) for pictures in zip(*steps, strict=True))
shown = [0, 9, 19, 29, 39, 49]
imagegen.show(np.concatenate([noisy[shown, 1], clean[shown, 1]]), columns=6)

# %% [markdown]
# And here are all six, from the same noise as before. The top row is what one step gives, the bottom row
# what the loop gives:

# %% alt="Above six round blurs, below six different flowers." caption="One step, and many."
loop = noisy[-1]
imagegen.show(np.concatenate([one_step[:6], loop]), columns=6)


def detail(pictures):
    """Mean difference between neighbouring blocks of 4 x 4 pixels."""
    return np.abs(np.diff(shrink(pictures.astype("float32")), axis=-2)).mean()


print(
    f"neighbouring blocks of 4 x 4 pixels differ by {detail(one_step):.1f} "
    "after one step,"
)
print(f"by {detail(loop):.1f} after the loop,")
print(f"and by {detail(255 * held_out):.1f} in the data")

# %% tags=["hide"]
assert detail(loop) > 2 * detail(one_step)
np.testing.assert_allclose(clean[0].astype(int), one_step[:6], atol=2)

# %% [markdown]
# It is the same network, and the same noise. Only the loop is new. None of these flowers was ever under the
# noise, and none was ever photographed. The noise is a pretext: asked to see a flower in it, the network
# dreams one up. Guessing what isn't there was a fault in a camera. Here it is the whole point.
#
# Every block of stone has a statue inside it, Michelangelo is supposed to have said, and the sculptor has to
# find it. Every block of noise has a flower inside it. It takes many small cuts, and each depends on what the
# ones before have laid bare.
#
# ## What we have learnt
#
# - A denoising autoencoder is trained from noisy pictures to clean ones. Training data cost nothing
#   but noise.
# - A sub-pixel network enlarges pictures. It beats bicubic interpolation on flowers that it has not
#   seen, by a little.
# - Both guess. What is lost can't be recovered, only replaced by something likely.
# - Trained with the squared error, a network answers with the mean of all that is possible. For pure
#   noise, that is the mean of all flowers, a blur.
# - A loop of many small steps never has to guess much at once, and ends with a single flower.
#
# ## Exercises
#
# **1.** Give the first network a clean sheet under noise. What does it see there?

# %% tags=["solution"] alt="Nine noisy pictures without a digit, and below them what the network makes of them: pieces of strokes"
empty = add_noise(np.zeros((9, 28, 28, 1), "float32"), 1)
found = denoiser.predict(empty, verbose=0)
imagegen.show(imagegen.to_uint8(np.concatenate([empty, found])), columns=9)
print(
    f"ink: {found.mean():.3f} per pixel; cleaned digits have "
    f"{cleaned.mean():.3f}"
)

# %% [markdown] tags=["solution"]
# Faint pieces of strokes. Where noise happens to be bright in a row, the network takes it for a trace of ink.

# %% tags=["hide", "solution"]
assert 0.005 < found.mean() < cleaned.mean()

# %% [markdown]
# **2.** Train ESPCN on 64 flowers only. Does it still beat bicubic on the pictures held out?

# %% tags=["solution"]
keras.utils.set_random_seed(0)
student = imagegen.espcn(4)
student.compile(keras.optimizers.Adam(1e-3), loss="mean_squared_error")
student.fit(small[:64], large[:64], batch_size=16, epochs=60, verbose=0)
its_quality = psnr(student.predict(small_held_out, verbose=0), held_out)
print(f"64 flowers: {its_quality.mean():.2f} dB", end=", ")
print(f"{len(large):,} flowers: {quality['ESPCN'].mean():.2f} dB", end=", ")
print(f"bicubic: {quality['bicubic'].mean():.2f} dB")

# %% [markdown] tags=["solution"]
# A few pictures go a long way here. A flower of 64 x 64 pixels has thousands of small neighbourhoods, and
# they are all that ESPCN looks at.

# %% tags=["hide", "solution"]
assert its_quality.mean() < quality["ESPCN"].mean()

# %% [markdown]
# **3.** The loop took 50 steps. From how many steps on is a flower as detailed as after 50?

# %% tags=["solution"]
for num_steps in (1, 2, 4, 8, 16):
    sharpness = detail(model.generate(6, num_steps=num_steps, seed=3))
    print(f"{num_steps:2} steps: neighbouring blocks differ by {sharpness:.1f}")
print(f"50 steps: {detail(loop):.1f}")

# %% [markdown]
# What exactly does the loop do, and why is it right? The [next chapter](diffusion_from_the_equations.py)
# answers with equations, on points in the plane, where every step can be seen.
