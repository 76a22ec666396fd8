# %% [markdown] needs=["denoising_to_dreaming"]
# # Diffusion from the equations
#
# The [chapter before](denoising_to_dreaming.py) ends with a loop that turns noise into flowers. Why
# does it work? This chapter builds such a loop from its equations, on data so small that every
# picture shows all of it: points in the plane.
#
# !!! abstract "What you will learn"
#     - How to drown data in noise, step by step or in one jump.
#     - What the way back looks like, and which part of it a network has to learn.
#     - How to train that network, and draw new points.
#     - How to measure whether the new points are as good as real ones.
#
# ## Points on an S
#
# A picture of 64 x 64 pixels in three colours is a point in a space of 12,288 dimensions. Nobody
# can look into that space. So we take data of two dimensions: 10,000 points near a curve in the
# shape of an S.

# %%
import imagegen

import keras
import matplotlib.pyplot as plt
import numpy as np

points = imagegen.datasets.s_curve(10_000)
print(points.shape, "deviations:", points.std(axis=0).round(3))


# %% tags=["fold"] alt="Ten thousand points that form a thick letter S." caption="The data: 10,000 points."
def draw(axes, points, title="", limit=0.25):
    """Draw points as a cloud, without axes."""
    axes.plot(
        *points[:5000].T,
        ".",
        markersize=1.2,
        alpha=0.5,
        color="tab:blue",
        rasterized=True,
    )
    axes.set(
        xlim=(-limit, limit),
        ylim=(-limit, limit),
        aspect="equal",
        xticks=[],
        yticks=[],
    )
    axes.set_title(title)


figure, axes = plt.subplots(figsize=(3.2, 3.2))
draw(axes, points, "the data")
plt.show()

# %% tags=["hide"]
assert points.shape == (10_000, 2)
np.testing.assert_allclose(points.std(axis=0), [0.07, 0.137], atol=0.005)

# %% [markdown]
# Most of the plane is empty, as most of the space of pictures is empty: nearly every picture is
# noise. To generate is to find new points where the data are, without a description of the curve. A
# network sees the points, and nothing else.
#
# ## The forward process: a chain
#
# First the easy direction. We destroy the data, in many small steps. Each step shrinks a point
# $x_{t-1}$ a little and adds a little noise. As a distribution:
#
# $$q(x_t \mid x_{t-1}) = \mathcal N\left(\sqrt{1 - \beta_t}\, x_{t-1},\ \beta_t I\right)$$
#
# Read it like this: given the point before, the next one is normally distributed. Its mean is the point
# before, shrunk. Its variance is $\beta_t$ in each coordinate. (It has nothing to do with the $\beta$ of
# a VAE.) Drawing from it takes one line, with noise $\epsilon$ of mean 0 and variance 1:
#
# $$x_t = \sqrt{1 - \beta_t}\, x_{t-1} + \sqrt{\beta_t}\, \epsilon$$
#
# Each step knows the one before and nothing older. That is called a *Markov chain*. The betas are
# chosen, not learnt. Here they follow a *sigmoid*, an S of its own: hardly any noise at first, and
# a bit more in each later step.

# %%
betas = imagegen.sigmoid_betas(100, start=1e-5, end=0.5e-2)
rng = np.random.default_rng(0)

chain = [points]
for beta in betas:
    noise = rng.standard_normal(points.shape)
    chain.append(np.sqrt(1 - beta) * chain[-1] + np.sqrt(beta) * noise)

# %% tags=["fold"] alt="Ten panels, from the clear S at step 0 over a blurred S at step 40 to a shapeless cloud at step 90." caption="Every tenth step of a hundred."
figure, panels = plt.subplots(2, 5, figsize=(6.4, 2.9))
for step, axes in zip(range(0, 100, 10), panels.flat, strict=True):
    draw(axes, chain[step], f"step {step}", limit=0.6)
plt.show()

# %% tags=["hide"]
np.testing.assert_allclose([betas[0], betas[-1]], [2.2e-5, 0.5e-2], rtol=0.02)

# %% [markdown]
# A drop of ink in water. No step knows about an S, and after a hundred steps there is none left. Nothing is
# learnt in this direction: the betas are chosen, and dice are rolled.
#
# ## One jump instead of many steps
#
# To train, we need points at step 15, and at step 80, and at any other, again and again. Must
# we walk there each time? No. Put the first two steps together, with $\alpha_t = 1 - \beta_t$:
#
# $$x_2 = \sqrt{\alpha_2 \alpha_1}\, x_0 + \sqrt{\alpha_2 \beta_1}\, \epsilon_1
# + \sqrt{\beta_2}\, \epsilon_2$$
#
# The two noises are independent and normal, so their sum is normal too. Its variance is the sum of theirs:
# $\alpha_2 (1 - \alpha_1) + (1 - \alpha_2) = 1 - \alpha_1 \alpha_2$. The next step goes the same
# way. So in the end only the product counts,
#
# $$\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t,$$
#
# $$q(x_t \mid x_0) = \mathcal N\left(\sqrt{\bar\alpha_t}\, x_0,\ (1 - \bar\alpha_t) I\right).$$
#
# And this is any step in one jump:
#
# $$x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon$$
#
# The factor of the data is called the *signal rate*, and that of the noise the *noise rate*. Their squares
# sum to 1. Later chapters write $s_t$ for the first and $n_t$ for the second, and
# [Notation](notation.md) lists all symbols.

# %%
alphas_cumprod = np.cumprod(1 - np.array(betas))


def jump(points, step):
    """Go from the data to a step of the chain at once."""
    signal_rate = np.sqrt(alphas_cumprod[step - 1])
    noise_rate = np.sqrt(1 - alphas_cumprod[step - 1])
    return signal_rate * points + noise_rate * rng.standard_normal(points.shape)


jumped = jump(points, 15)

# %% tags=["fold"] alt="Two blurred S, one reached in fifteen steps and one in a jump, which look the same." caption="Fifteen steps, and one jump."
figure, panels = plt.subplots(1, 2, figsize=(5, 2.7))
draw(panels[0], chain[15], "15 steps")
draw(panels[1], jumped, "one jump")
plt.show()

# %% [markdown]
# They look the same. To be sure, we measure how far apart two clouds of points are. On a line, that is easy:
# sort both clouds, and move the first point to the first, the second to the second, and so on. The root mean
# square of how far they move is the *Wasserstein distance*. In the plane, we let both clouds cast their
# shadows on many lines in random directions, and take the mean of the squares over them: the *sliced*
# Wasserstein distance.

# %%
distance = imagegen.sliced_wasserstein_distance
print(f"steps and jump:     {distance(chain[15], jumped):.4f}")
print(f"two jumps:          {distance(jump(points, 15), jumped):.4f}")
print(f"jumps to 15 and 20: {distance(jump(points, 20), jumped):.4f}")

# %% tags=["hide"]
same = [distance(jump(points, 15), jump(points, 15)) for _ in range(8)]
assert distance(chain[15], jumped) < 2 * max(same)
assert min(distance(jump(points, 20), jumped) for _ in range(4)) > 2 * max(same)
for step in (1, 15, 50, 100):
    rates = (
        np.sqrt(alphas_cumprod[step - 1]),
        np.sqrt(1 - alphas_cumprod[step - 1]),
    )
    expected = np.hypot(rates[0] * points.std(axis=0), rates[1])
    np.testing.assert_allclose(chain[step].std(axis=0), expected, rtol=0.04)

# %% [markdown]
# Two random clouds are never at distance 0, even if they come from the same place. Steps and jump are as
# near each other as two jumps are. Nothing tells them apart.
#
# ## The choice of betas
#
# The package has the usual shapes of betas. A `DiscreteSchedule` takes them and knows the rates at
# each step. Here are the signal rates of a thousand steps. All but the constant betas and the
# cosine run from 0.0001 to 0.02.

# %% tags=["fold"] alt="Five curves of betas over the step, and five falling curves of signal rates; the cosine falls most evenly." caption="Five ways to choose betas, and the signal that they leave."
shapes = {
    "constant": imagegen.constant_betas(),
    "linear": imagegen.linear_betas(),
    "quadratic": imagegen.quadratic_betas(),
    "sigmoid": imagegen.sigmoid_betas(),
    "cosine": imagegen.cosine_betas(),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.9))
for name, values in shapes.items():
    left.plot(values, label=name)
    right.plot(
        np.sqrt(imagegen.DiscreteSchedule(values).alphas_cumprod), label=name
    )
left.set(title="betas", xlabel="step", ylim=(0, 0.03))
right.set(title="signal rate", xlabel="step", ylim=(0, 1))
left.legend(loc="upper left")
plt.show()

# %% [markdown]
# The cosine's betas are made from its signal rates: they grow beyond the left figure, to 0.999.
#
# Where did our hundred steps end?

# %%
signal_rate, noise_rate = (
    np.sqrt(alphas_cumprod[-1]),
    np.sqrt(1 - alphas_cumprod[-1]),
)
print(f"signal rate {signal_rate:.2f}, noise rate {noise_rate:.2f}")

# %% tags=["hide"]
assert f"{signal_rate:.2f}" == "0.88"
assert f"{noise_rate:.2f}" == "0.47"

# %% [markdown]
# The S cannot be seen any more, but 0.88 of it is still there. It drowns because the S is small:
# its deviations are 0.07 and 0.14, and the noise's is 0.47. And pure noise has a
# deviation of 1. To start the way back from there would be to start where no data point has ever been.
#
# There are two ways out. You can start from what the chain really ends with. Or you can do two things that
# work for data of every kind:
#
# 1. *Normalize*: shift and scale the data to mean 0 and variance 1 in each coordinate.
# 2. *Take betas that reach noise*: so much of it that nothing is left of the data.
#
# Then the chain ends in pure noise, whatever the data are. From here on, this is our chain:

# %%
schedule = imagegen.DiscreteSchedule(
    imagegen.sigmoid_betas(1000, start=1e-4, end=0.02)
)
print(f"signal rate at the end: {np.sqrt(schedule.alphas_cumprod[-1]):.4f}")

mean, deviation = points.mean(axis=0), points.std(axis=0)
normalized = (points - mean) / deviation

# %% tags=["hide"]
assert np.sqrt(schedule.alphas_cumprod[-1]) < 0.01
np.testing.assert_allclose(normalized.std(axis=0), 1, atol=1e-4)

# %% [markdown]
# ## The way back
#
# We want to run the film in reverse: given $x_t$, draw the point before, $x_{t-1}$. What is its
# distribution? Bayes' rule needs the distribution of all data at every step, which is exactly what we don't
# know. It is *intractable*.
#
# But suppose that somebody told us where the point began, $x_0$. Then everything is normal, and
# Bayes' rule can be worked out. What we know before looking at $x_t$ is the jump $q(x_{t-1} \mid
# x_0)$. What $x_t$ adds is the step $q(x_t \mid x_{t-1})$. Their product, made to integrate to 1,
# is the *posterior*:
#
# $$q(x_{t-1} \mid x_t, x_0) = \mathcal N\left(\tilde\mu_t,\ \tilde\beta_t I\right)$$
#
# Its mean is a mixture of where the point began and where it is:
#
# $$\tilde\mu_t = a_t\, x_0 + b_t\, x_t$$
#
# $$a_t = \frac{\beta_t \sqrt{\bar\alpha_{t-1}}}{1 - \bar\alpha_t}, \quad
# b_t = \frac{(1 - \bar\alpha_{t-1}) \sqrt{\alpha_t}}{1 - \bar\alpha_t}$$
#
# And this is its variance:
#
# $$\tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\, \beta_t$$
#
# In code, $a_t$ is the weight of the clean sample, and $b_t$ that of the noisy one:
#
# ```source
# imagegen.DiscreteSchedule.posterior
# ```
#
# Is the formula right? Bayes' rule can also be computed by brute force, on a grid of numbers. We do that for
# one coordinate, at step 3: the point began at 1 and is now at 0.97.

# %%
step, began, now = 3, 1.0, 0.97
grid = np.linspace(0.93, 1.05, 2001)


def normal(x, mean, variance):
    """The density of the normal distribution."""
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(
        2 * np.pi * variance
    )


before = schedule.alphas_cumprod[step - 2]
prior = normal(grid, np.sqrt(before) * began, 1 - before)
likelihood = normal(
    now, np.sqrt(schedule.alphas[step - 1]) * grid, schedule.betas[step - 1]
)
by_force = prior * likelihood / np.trapezoid(prior * likelihood, grid)

posterior_mean, posterior_variance = schedule.posterior(began, now, step)
formula = normal(grid, posterior_mean, posterior_variance)

# %% tags=["fold"] alt="A wide bell around 1, a narrower one around 0.97, and between them the posterior, the narrowest, on which force and formula agree." caption="Bayes' rule by brute force and by formula."
figure, axes = plt.subplots(figsize=(5.6, 3.2))
axes.plot(grid, prior, color="gray", label="before looking at $x_t$")
axes.plot(grid, likelihood, color="tab:orange", label="what $x_t$ adds")
axes.plot(grid, by_force, color="lightblue", linewidth=5, label="their product")
axes.plot(grid, formula, color="tab:blue", linewidth=1.5, label="the formula")
axes.set(
    title="Where was the point one step ago?", xlabel="$x_{t-1}$", yticks=[]
)
axes.legend()
plt.show()

# %% tags=["hide"]
np.testing.assert_allclose(by_force, formula, atol=1e-6 * formula.max())
assert now < posterior_mean < began

# %% [markdown]
# The posterior lies between the two, and is narrower than both. How much do the beginning and the
# present count later in the chain?

# %%
for step in (1, 3, 30, 300, 1000):
    began_weight, variance = schedule.posterior(1.0, 0.0, step)
    now_weight, _ = schedule.posterior(0.0, 1.0, step)
    print(f"step {step:4}: {began_weight:.4f} of the beginning", end=", ")
    print(f"{now_weight:.4f} of the present, deviation {variance**0.5:.4f}")

# %% tags=["hide"]
began_weights = [
    schedule.posterior(1.0, 0.0, step)[0] for step in (1, 3, 30, 300, 1000)
]
np.testing.assert_allclose(began_weights[0], 1)
assert (np.diff(began_weights) < 0).all()
assert schedule.posterior(1.0, 0.0, 1)[1] == 0

# %% [markdown]
# Early in the chain, which is the end of the way back, the beginning counts for a lot. Late in the chain it
# hardly counts: there, a step back is mostly noise, with a tiny push in the right direction. At
# step 1, the variance is 0: the point before is $x_0$ itself. Programs that work with the logarithm
# of the variance have to clip it there. This one takes no logarithm.
#
# ## What the network has to learn
#
# As long as the steps are small, the way back is nearly normal too. So a network could learn its mean and
# its variance. But the posterior has nearly all of that already. Only one thing is missing: nobody tells us
# $x_0$. So a network has to guess it, from $x_t$ and the step. The variance comes from the posterior.
#
# The network may just as well guess the noise $\epsilon$ in $x_t$, all of it, not only what the last step
# added. Each gives the other, by the formula of the jump:
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\ \hat\epsilon(x_t, t)}{\sqrt{\bar\alpha_t}}$$
#
# So training is a quiz. Take a point, a random step $t$ and some noise $\epsilon$, jump to $x_t$,
# and ask which noise it was:
#
# $$\text{loss} = \operatorname{mean} \left( \epsilon - \hat\epsilon(x_t, t) \right)^2$$
#
# with the mean over points and coordinates.
#
# [The paper](https://arxiv.org/abs/2006.11239) derives this from a bound on the likelihood of the
# data, much as the loss of a VAE is derived. Then it drops the factors in front, because the
# pictures are better without them.
#
# The network is a *multilayer perceptron*, layers in which everything is connected with everything.
# It is *conditional*: besides the point, it is told how noisy the point is. How? The noise rate
# becomes sines and cosines, an *embedding*, so that rates close to each other are easy to tell apart. And
# the embedding tells each layer how to scale and to shift its channels.
#
# ```source
# imagegen.point_mlp
# ```
#
# The last layer starts at 0. So the first guess is "there is no noise". (The lines on `jumps` are for a later
# chapter, [Fewer steps](fewer_steps.py).)
#
# ## Training
#
# `DiffusionModel` holds the network together with the chain. It normalizes the data, draws steps
# and noise, jumps, and computes the loss. It is made for pictures, and clips what it estimates to
# the range of their pixels. Points have no such range, so we set `value_range=None`. The optimizer
# is Adam, with the usual rate of 0.001, on 128 points at a time. Gradients are *clipped* to a
# length of 1, so that no single batch pulls too hard.

# %%
keras.utils.set_random_seed(0)

embedding = imagegen.SinusoidalEmbedding(32, max_frequency=30)
network = imagegen.point_mlp(2, width=64, time_embedding=embedding)
model = imagegen.DiffusionModel(
    network, schedule=schedule, loss="mean_squared_error", value_range=None
)
model.normalizer.adapt(points)
model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0))

progress = {}


def sample_now(epoch, logs):
    """Keep what the model samples after some passes, every tenth step."""
    if epoch + 1 in (1, 3, 10, 30, 100):
        steps = model.generate_steps(
            800, num_steps=100, sampler=imagegen.DDPM(), seed=0
        )
        progress[epoch + 1] = [noisy for noisy, _ in steps][9::10]


history = model.fit(
    points,
    batch_size=128,
    epochs=100,
    verbose=0,
    callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=sample_now)],
)

losses = history.history["loss"]
print(f"{network.count_params():,} parameters")
print(
    f"loss after 1 pass: {losses[0]:.3f}, after {len(losses)}: {losses[-1]:.3f}"
)

# %% tags=["hide"]
assert losses[-1] < 0.36 < losses[0] < 1

# %% [markdown]
# A network that always says "there is no noise" has a loss of 1, the variance of the noise. The
# loss can't reach 0 either: of a point near the curve that is a little noisy, nobody can tell how
# much of its distance from the curve is noise. Only the samples tell.
#
# ??? note "What others choose"
#     A second copy of the network holds a running average of the weights, and this copy makes the samples.
#     [Training on flowers](training_on_flowers.py#averaged-weights) tells why. The [lecture](sources.md)
#     trains such a network for 1,000 passes, and its average keeps 0.9 of itself in each training step. Here
#     100 passes are enough, and the average keeps 0.999 of itself: it looks back over about 1,000 of the
#     8,000 steps, and is calmer. The loss is the mean squared error, which is the one of the theory.
#
# ## Sampling
#
# Now we run the film in reverse. Start with pure noise. At each step, let the network guess the noise,
# compute $\hat x_0$ from it, put that in the place of $x_0$, and draw from the posterior:
#
# $$x_{t-1} = \tilde\mu_t(\hat x_0, x_t) + \sqrt{\tilde\beta_t}\ z$$
#
# with new noise $z$. In the literature, this step is called `p_sample`:


# %%
def p_sample(noisy, step, rng):
    """Go one step back."""
    clean = keras.ops.convert_to_numpy(
        model.denoise(noisy, step / schedule.num_steps)
    )
    mean, variance = schedule.posterior(clean, noisy, step)
    return mean + np.sqrt(variance) * rng.standard_normal(noisy.shape)


rng = np.random.default_rng(1)
noisy = rng.standard_normal((1000, 2))
for step in range(1000, 990, -1):
    noisy = p_sample(noisy, step, rng)

# %% [markdown]
# So one step back draws from a normal distribution whose mean depends on the network. Papers write it
# $p_\theta(x_{t-1} \mid x_t)$, where $\theta$ are the network's weights. Here it is, for eight points at three steps. A
# circle is drawn at two deviations from the mean. An arrow leads from $x_t$ towards the mean. It is drawn fifty times
# too long, or you couldn't see it.

# %% tags=["fold"] alt="Three panels with a grey cloud, an S at step 250, and eight black points in each. At step 900 circles are large, at step 500 half as large, at step 250 hardly larger than the points. Arrows lead from the points inwards, and at step 250 onto the S." caption="Where a step back leads. Far from the data it is a large step at random with a slight push, and near the data a small step in a sure direction."
figure, panels = plt.subplots(1, 3, figsize=(6.4, 2.5))
for axes, step in zip(panels, (900, 500, 250), strict=True):
    signal = np.sqrt(schedule.alphas_cumprod[step - 1])
    cloud = signal * normalized[:1200]
    cloud += np.sqrt(1 - signal**2) * rng.standard_normal(cloud.shape)
    here = cloud[:8]
    seen = keras.ops.convert_to_numpy(
        model.denoise(here.astype("float32"), step / schedule.num_steps)
    )
    ahead, variance = schedule.posterior(seen, here, step)
    axes.plot(*cloud.T, ".", color="lightgray", markersize=1)
    axes.plot(*here.T, ".", color="black", markersize=5)
    axes.quiver(
        *here.T,
        *(50 * (ahead - here)).T,
        angles="xy",
        scale_units="xy",
        scale=1,
        color="tab:orange",
        width=0.012,
        zorder=3,
    )
    for centre in ahead:
        radius = 2 * np.sqrt(variance)
        circle = plt.Circle(centre, radius, fill=False, color="tab:blue")
        axes.add_patch(circle)
    axes.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal")
    axes.set(xticks=[], yticks=[], title=f"step {step}")
plt.show()

# %% [markdown]
# The network moves the circles and has no say in their size: $\tilde\beta_t$ is the posterior's. There are models that
# learn it as well. With many small steps it makes little difference.
#
# `model.denoise` computes $\hat x_0$, in which the network's averaged weights guess the noise.
# These are the first ten of a thousand steps. All of them, as one compiled program, are the sampler
# `DDPM`. Its name is that of the paper, *denoising diffusion probabilistic models*.
#
# Is it the same step? We let both take step 500 ten thousand times from one point, and compare
# where they arrive.

# %%
step = 500
times = np.float32([step, step - 1]) / schedule.num_steps
levels = [imagegen.Level(time, *schedule(time)) for time in times]
same_point = np.tile(np.float32([[0.8, -0.4]]), (10_000, 1))
sampler = imagegen.DDPM()
state = sampler.init(same_point, keras.ops.convert_to_tensor(0))
by_sampler, _, _ = sampler.step(model.denoise, same_point, *levels, state)
arrivals = {
    "p_sample": p_sample(same_point, step, rng),
    "DDPM": np.asarray(by_sampler),
}
for name, arrived in arrivals.items():
    print(f"{name:8} mean {arrived.mean(axis=0).round(3)}", end=", ")
    print(f"deviation {arrived.std(axis=0).round(4)}")

# %% tags=["hide"]
first, second = arrivals.values()
spread = np.sqrt(schedule.posterior(0.0, 0.0, step)[1])
np.testing.assert_allclose(
    first.mean(axis=0), second.mean(axis=0), atol=6 * spread / 100
)
np.testing.assert_allclose(first.std(axis=0), second.std(axis=0), rtol=0.06)

# %% [markdown]
# Now all thousand steps, for 10,000 points. `generate_steps` gives us, after each step, the points,
# and the clean points that the network saw in the noisier ones before.

# %%
seed = 0
noise = imagegen.samplers.initial_noise(len(points), (2,), seed)
reverse, guesses = [mean + deviation * noise], []
for noisy, clean in model.generate_steps(
    len(points), num_steps=1000, sampler=imagegen.DDPM(), seed=seed
):
    reverse.append(noisy)
    guesses.append(clean)
samples = reverse[-1]

# %% tags=["hero", "fold"] alt="Above, an oval cloud after 0, 250 and 500 steps, a blurred S after 750, and a clear S after 1,000. Below, the guesses: scattered at 0, a small spot at 250, a larger one at 500, then a coarse S, and a clear one." caption="The way back. The guesses are what steers the points."
figure, panels = plt.subplots(2, 5, figsize=(6.4, 2.9))
for column, step in zip(panels.T, (0, 250, 500, 750, 1000), strict=True):
    draw(column[0], reverse[step], f"{step} steps", limit=0.45)
    draw(column[1], guesses[min(step, 999)], limit=0.45)
panels[0, 0].set_ylabel("the points")
panels[1, 0].set_ylabel("the guesses")
plt.show()

# %% tags=["hide"]
spreads = [
    np.mean(guesses[step].std(axis=0) / deviation)
    for step in (0, 250, 500, 750)
]
assert spreads[1] < 0.3
assert spreads[1] < spreads[2] < spreads[3]
assert spreads[0] > 2 * spreads[1]
first_signal = float(np.sqrt(schedule.alphas_cumprod[-1]))
np.testing.assert_allclose(
    np.sqrt(1 - first_signal**2) / first_signal, 160, rtol=0.05
)
np.testing.assert_allclose(reverse[0].std(axis=0), deviation, rtol=0.05)

# %% [markdown]
# Look at the guesses in the bottom row. The first are wild: the signal rate is so small that any error in the
# guessed noise is multiplied by about 160. It does no harm, because the posterior hardly looks at them there.
# Soon all guesses are near the middle of the data. That is the best answer to pure noise, although there is
# hardly a data point there. Then the guesses become an S, coarse at first. No guess is taken for the answer.
# Each only says which way the next small step goes.
#
# Here it is as a film. A frame counts, pixel by pixel, how many points there are.


# %%
def density(points, size=120, limit=0.36):
    """Count points in pixels, and make many points bright."""
    edges = np.linspace(-limit, limit, size + 1)
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], [edges, edges])
    return 1 - np.exp(-counts[::-1] / 3)


frames = [density(reverse[step]) for step in range(0, 1001, 20)]
film = [frames[0]] * 5 + frames + [frames[-1]] * 15
imagegen.Animation(
    film,
    alt="A cloud of points contracts into an S",
    frames_per_second=12,
    scale=3,
)

# %% [markdown]
# And here is how the S came into the network. While it learned, it was asked for points after 1, 3, 10, 30 and 100
# passes over the data, in a hundred steps of the same chain. A row shows every tenth of these steps:

# %% tags=["fold"] alt="Five rows of ten panels, each row from a cloud to what the network makes of it. After one, three and ten passes the cloud stays a cloud, ever narrower; after thirty and a hundred it becomes a clear S in the last panels." caption="Sampling while the network learns: from row to row more passes, from left to right every tenth step."
figure, panels = plt.subplots(5, 10, figsize=(6.4, 3.5))
for row, (passes, stages) in zip(panels, progress.items(), strict=True):
    for axes, stage in zip(row, stages, strict=True):
        draw(axes, stage, limit=0.34)
    row[0].set_ylabel(passes)
panels[0, 0].set_title("step 10", size=8)
panels[0, 9].set_title("step 100", size=8)
plt.show()

# %% tags=["hide"]
to_data = [distance(stages[-1], points) for stages in progress.values()]
assert to_data[-1] < to_data[0] / 2

# %% [markdown]
# To get the film as a file, GIF, WebP or MP4, call [save_animation][imagegen.save_animation] with the same
# frames.
#
# ## Are the new points as good as real ones?
#
# They look right. But how near are they? We take *held-out* points, drawn from the same curve and never seen
# in training, and measure the sliced Wasserstein distance. The yardstick is the distance between two sets of
# held-out points: random points hardly get nearer than that. For comparison, we draw points from a normal
# distribution with the mean and the covariance of the data. It knows where the data are and how they are
# stretched, and nothing about an S.

# %%
held_out = [
    imagegen.datasets.s_curve(10_000, seed=seed) for seed in range(1, 7)
]
between = [
    distance(held_out[i], held_out[j]) for i in range(6) for j in range(i)
]
to_samples = [distance(samples, other) for other in held_out]
gaussian = rng.multivariate_normal(mean, np.cov(points.T), len(points))
to_gaussian = [distance(gaussian, other) for other in held_out]

ratio = np.mean(to_samples) / np.mean(between)
low, high = min(between), max(between)
print(
    f"held-out to held-out: {np.mean(between):.4f}, from {low:.4f} to "
    f"{high:.4f}"
)
print(
    f"samples to held-out:  {np.mean(to_samples):.4f}, which is {ratio:.2f} "
    "times as far"
)
print(f"Gaussian to held-out: {np.mean(to_gaussian):.4f}")

# %% tags=["hide"]
assert ratio <= 1.5
assert np.mean(to_gaussian) > 5 * np.mean(to_samples)

# %% [markdown]
# The samples are about as near to real points as other real points are. By this measure, the two
# can hardly be told apart.
#
# ## Three other views
#
# The same network can be read in other ways. Each of them has its own literature, and all of them
# meet in one function: the clean point $\hat x_0$ that is seen in a noisy one.
#
# **The score.** The distribution of noisy points at step $t$ has a density $p_t$. The direction in
# which it grows fastest, $\nabla \log p_t$, is called the *score*. A network that guesses noise
# knows it:
#
# $$\nabla \log p_t(x_t) \approx - \frac{\hat\epsilon(x_t, t)}{\sqrt{1 - \bar\alpha_t}}
# = \frac{\sqrt{\bar\alpha_t}\, \hat x_0 - x_t}{1 - \bar\alpha_t}$$
#
# So denoising is climbing towards where points are more likely. That is how [score-based
# models](https://arxiv.org/abs/2011.13456) came to the same algorithm from another side. Here is
# the field of directions at step 200:

# %% tags=["fold"] alt="Arrows over the plane that point towards a faint S from all sides." caption="At step 200 the score points to where points are likely."
step = 200
axis = np.linspace(-2.2, 2.2, 21, dtype="float32")
places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
seen = keras.ops.convert_to_numpy(
    model.denoise(places, step / schedule.num_steps)
)
signal = np.sqrt(schedule.alphas_cumprod[step - 1])
score = (signal * seen - places) / (1 - schedule.alphas_cumprod[step - 1])

figure, axes = plt.subplots(figsize=(3.8, 3.8))
noisy = mean + deviation * (
    signal * normalized + np.sqrt(1 - signal**2) * noise
)
axes.plot(
    *(((noisy - mean) / deviation)[:4000].T),
    ".",
    markersize=1,
    color="lightgray",
)
axes.quiver(*places.T, *score.T, color="tab:blue", width=0.004)
axes.set(aspect="equal", xticks=[], yticks=[], title="The score at step 200")
plt.show()

# %% tags=["hide"]
outside = np.linalg.norm(places, axis=1) > 2.5
assert (np.sum(places * score, axis=1)[outside] < 0).all()

# %% [markdown]
# **The differential equation.** Make the steps smaller and smaller, and the chain becomes an
# equation in continuous time. There is also an equation *without* new noise under which the points
# are distributed in the same way at every time: the [*probability
# flow*](https://arxiv.org/abs/2011.13456). Each point then has one path, from its noise to its
# place on the curve. Methods for differential equations can follow it, in far fewer steps. Here are two
# of them, which the chapter on [samplers](samplers.py) explains. Their distance to held-out points is
# counted as above, in multiples of the distance between two held-out sets.

# %%
ratios = []
for sampler, num_steps in ((imagegen.DDIM(), 50), (imagegen.DPMSolver2M(), 25)):
    found = model.generate(
        len(points), num_steps=num_steps, sampler=sampler, seed=seed
    )
    to_found = [distance(found, other) for other in held_out]
    ratios.append(np.mean(to_found) / np.mean(between))
    print(f"{sampler}, {num_steps} steps: {ratios[-1]:.2f} times as far")

# %% tags=["hide"]
assert max(ratios) < 2.5

# %% [markdown]
# **Flow matching.** The squares of the two rates sum to 1, so the rates move along a circle. Why not along a line? One
# can also [mix along a straight line](https://arxiv.org/abs/2209.03003), with $t$ from 0 to 1,
# $x_t = (1 - t)\, x_0 + t\, \epsilon$, and let the network learn the direction
# $\epsilon - x_0$ in which a point moves. Each pair of a point and a noise is then joined by a straight line. That
# doesn't make the paths of the samples straight, because many such lines cross: an exercise below draws them. In the
# package these are two objects, [FlowSchedule][imagegen.FlowSchedule] and [FlowPrediction][imagegen.FlowPrediction]. The
# rest stays as it is.
#
# The chapter on [samplers](samplers.py) compares all these ways back, on flowers.
#
# ## In your hands
#
# A network of this kind learns here, in your browser. Press *Train*, and when the S is there, *Play*.
#
# <div data-exhibit="diffusion_lab"></div>
#
# What this chapter says can be tried with these settings:
#
# - [The forward process](../explore/diffusion_lab.md?lab.schedule=sigmoid&lab.stops=even&lab.answer=exact&lab.drowned=1&lab.paths=0&lab.at=0.6):
#   move the slider from right to left, and the data drown. At each place, the samples on their way back
#   are spread as the drowned data are.
# - [DDPM](../explore/diffusion_lab.md?lab.schedule=sigmoid&lab.stops=even&lab.sampler=ddpm&lab.steps=1000&lab.at=1),
#   with all thousand steps.
# - [The guesses](../explore/diffusion_lab.md?lab.schedule=sigmoid&lab.stops=even&lab.answer=exact&lab.guesses=1&lab.paths=0&lab.at=0.3),
#   which begin near the middle of the data.
# - [The score](../explore/diffusion_lab.md?lab.schedule=sigmoid&lab.stops=even&lab.answer=exact&lab.arrows=score&lab.drowned=1&lab.paths=0&lab.at=0.8),
#   which points to where noisy points are more likely.
# - [Flow matching](../explore/diffusion_lab.md?lab.schedule=flow&lab.stops=even&lab.prediction=flow&lab.sampler=euler&lab.at=1),
#   and the paths that its samples take.
#
# [The diffusion lab](../explore/diffusion_lab.md) has a page of its own.
#
# ## What we have learnt
#
# - The forward process is a Markov chain that needs no learning. Any of its steps is reached in one
#   jump, and only the product of the alphas counts.
# - The chain has to end in pure noise. So the data are normalized, and the betas go far enough.
# - If the beginning of a point is known, the step back is a normal distribution with a formula. The
#   network supplies the beginning, by guessing the noise.
# - Sampling replaces $x_0$ by the guess, and draws from the posterior, step by step.
# - On the S-curve, the samples are about as near to real points as real points are to each other.
#
# ## Exercises
#
# **1.** Skip the normalizing, and take the first chain, that of a hundred steps. Where do points end that start
# from noise of variance 1? You need no new training: put a formula in the place of the network. For data that are
# normally distributed around 0 with deviation $d$, the best possible answer is
# $\hat x_0 = \sqrt{\bar\alpha_t}\, d^2 x_t / (\bar\alpha_t d^2 + 1 - \bar\alpha_t)$.

# %% tags=["solution"]
short_chain = imagegen.DiscreteSchedule(betas)
rng = np.random.default_rng(2)
variances, last = points.var(axis=0), short_chain.alphas_cumprod[-1]
true_spread = np.sqrt(last * variances + 1 - last)
ends = {}
for name, spread in {
    "noise of variance 1": 1.0,
    "where the chain ends": true_spread,
}.items():
    walked = spread * rng.standard_normal((4000, 2))
    for step in range(100, 0, -1):
        now = short_chain.alphas_cumprod[step - 1]
        clean = np.sqrt(now) * variances / (now * variances + 1 - now) * walked
        centre, variance = short_chain.posterior(clean, walked, step)
        walked = centre + np.sqrt(variance) * rng.standard_normal(walked.shape)
    # Without chance, the flow only scales a normal distribution.
    ends[name] = walked.std(axis=0) / deviation, spread / true_spread
    by_chance, by_flow = (np.round(times, 2) for times in ends[name])
    print(
        f"from {name}: {by_chance} times the data's deviations, without chance "
        f"{by_flow}"
    )

# %% [markdown] tags=["solution"]
# From too much noise, points end too far out. The chain of small random steps forgives most of it, because
# it keeps throwing noise away. A path without chance, as in *Three other views* above, forgives nothing.

# %% tags=["hide", "solution"]
wrong, right = ends.values()
assert (wrong[1] > 2).all()
assert wrong[0].max() > 1.03
np.testing.assert_allclose(right[0], 1, atol=0.05)

# %% [markdown]
# **2.** Train the same network by flow matching, and draw the paths of both. To compare them, divide what diffusion
# walks through by the sum of its rates: then both walk from the noise to the data, without the detour by the circle.

# %% tags=["solution"] alt="Two panels of sixty paths from noise to the S. They bend in the same way, and end at nearly the same places"
keras.utils.set_random_seed(0)
embedding = imagegen.SinusoidalEmbedding(32, max_frequency=30)
flow = imagegen.DiffusionModel(
    imagegen.point_mlp(2, width=64, time_embedding=embedding),
    schedule=imagegen.FlowSchedule(),
    prediction=imagegen.FlowPrediction(),
    loss="mean_squared_error",
    value_range=None,
)
flow.normalizer.adapt(points)
flow.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0))
flow.fit(points, batch_size=128, epochs=30, verbose=0)

begin = imagegen.samplers.initial_noise(2000, (2,), seed)
figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.2))
arrivals, detours = {}, {}
for axes, (name, walker) in zip(
    panels, {"diffusion": model, "flow": flow}.items(), strict=True
):
    walks = walker.generate_steps(
        2000, num_steps=50, sampler=imagegen.DDIM(), seed=seed
    )
    path = np.stack(
        [begin, *((noisy - mean) / deviation for noisy, _ in walks)]
    )
    rates = imagegen.samplers.levels(walker.schedule, 50)[:51, 1:]
    path /= rates.sum(axis=1)[:, None, None]
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=-1).sum(axis=0)
    detours[name] = np.median(
        lengths / np.linalg.norm(path[-1] - path[0], axis=-1)
    )
    arrivals[name] = path[-1]
    axes.plot(*path[:, :60].transpose(2, 0, 1), color="gray", linewidth=0.6)
    draw(axes, path[-1], f"{name}: {detours[name]:.2f} x straight", limit=2.6)
plt.show()
apart = np.linalg.norm(arrivals["diffusion"] - arrivals["flow"], axis=1)
print(
    "from the same noise, half of the points end within "
    f"{np.median(apart):.2f} of each other"
)

# %% [markdown] tags=["solution"]
# The number above each panel is the median of how many times as long as the straight way a path is. Both walk
# the same bent paths, inwards to the middle of the data first and then out to the curve. Only lines between pairs are
# straight. What flow matching changes is what the network is asked, and where the steps fall.

# %% tags=["hide", "solution"]
assert detours["flow"] > 1.2
assert abs(detours["flow"] / detours["diffusion"] - 1) < 0.25
assert np.median(apart) < 0.5

# %% [markdown]
# **3.** How good are the samples of both with 1, 2, 4 and 8 steps?

# %% tags=["solution"]
for num_steps in (1, 2, 4, 8):
    told = []
    for walker in (model, flow):
        found = walker.generate(
            10_000, num_steps=num_steps, sampler=imagegen.DDIM(), seed=seed
        )
        told.append(
            np.mean([distance(found, other) for other in held_out])
            / np.mean(between)
        )
    print(
        f"{num_steps} steps: diffusion {told[0]:5.1f}, flow {told[1]:5.1f} "
        "times as far"
    )

# %% [markdown] tags=["solution"]
# With one step or two, both miss. With eight, flow matching is nearer. The paths are the same, but its even times
# suit few steps better than those of this chain.

# %% tags=["hide", "solution"]
assert told[1] < told[0]

# %% [markdown]
# The [next chapter](noise_and_signal.py) goes from points to pictures. Time is continuous there, and the
# network has to look at 12,288 numbers at once.
