# %% [markdown]
# # Diffusion from the equations
#
# The [chapter before](denoising_to_dreaming.py) ends with a loop that turns noise into flowers. Why
# does it work? This chapter builds such a loop from its equations, on data so small that every
# picture shows all of it: points in the plane. At its end you can
#
# - drown data in noise, step by step or in one jump,
# - write down the way back, and say which part of it a network has to learn,
# - train that network, and draw new points,
# - measure whether the new points are as good as real ones.
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


# %% tags=["fold"] alt="Ten thousand points that form a thick letter S."
def draw(axes, points, title="", limit=0.25):
    """Draw points as a cloud, without axes."""
    axes.plot(*points[:5000].T, ".", markersize=1.2, alpha=0.5, color="tab:blue", rasterized=True)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
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
# Read it so: given the point before, the next one is normally distributed. Its mean is the point
# before, shrunk. Its variance is $\beta_t$ in each coordinate. To draw from it takes one line, with
# noise $\epsilon$ of mean 0 and variance 1:
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

# %% tags=["fold"] alt="Ten panels, from the clear S at step 0 over a blurred S at step 40 to a shapeless cloud at step 90."
figure, panels = plt.subplots(2, 5, figsize=(6.4, 2.9))
for step, axes in zip(range(0, 100, 10), panels.flat, strict=True):
    draw(axes, chain[step], f"step {step}", limit=0.6)
plt.show()

# %% tags=["hide"]
np.testing.assert_allclose([betas[0], betas[-1]], [2.2e-5, 0.5e-2], rtol=0.02)

# %% [markdown]
# A drop of ink in water. No step knows about an S, and after a hundred of them none is left. There
# is no learning in this direction: it is a choice of betas, and dice.
#
# ## One jump instead of many steps
#
# To train, we need points at step 15, and at step 80, and at any other, again and again. Must
# we walk there each time? No. Put the first two steps together, with $\alpha_t = 1 - \beta_t$:
#
# $$x_2 = \sqrt{\alpha_2 \alpha_1}\, x_0 + \sqrt{\alpha_2 \beta_1}\, \epsilon_1
# + \sqrt{\beta_2}\, \epsilon_2$$
#
# The two noises are independent and normal, and so is their sum. Its variance is the sum of theirs:
# $\alpha_2 (1 - \alpha_1) + (1 - \alpha_2) = 1 - \alpha_1 \alpha_2$. The next step goes the same
# way, and so for all of them only the product counts,
#
# $$\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t,$$
#
# $$q(x_t \mid x_0) = \mathcal N\left(\sqrt{\bar\alpha_t}\, x_0,\ (1 - \bar\alpha_t) I\right).$$
#
# And this is any step in one jump:
#
# $$x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon$$
#
# The factor of the data is called the *signal rate*, that of the noise the *noise rate*. Their
# squares sum to 1.

# %%
alphas_cumprod = np.cumprod(1 - np.array(betas))


def jump(points, step):
    """Go from the data to a step of the chain at once."""
    signal_rate = np.sqrt(alphas_cumprod[step - 1])
    noise_rate = np.sqrt(1 - alphas_cumprod[step - 1])
    return signal_rate * points + noise_rate * rng.standard_normal(points.shape)


jumped = jump(points, 15)

# %% tags=["fold"] alt="Two blurred S, one reached in fifteen steps and one in a jump, which look the same."
figure, panels = plt.subplots(1, 2, figsize=(5, 2.7))
draw(panels[0], chain[15], "15 steps")
draw(panels[1], jumped, "one jump")
plt.show()

# %% [markdown]
# They look the same. To be sure, we measure how far two clouds of points are apart. On a line, that
# is easy: sort both clouds, and let the first move to the first, the second to the second, and so
# on. How far they move, in the root of the mean of squares, is the *Wasserstein distance*. In the
# plane, we let both clouds cast their shadows on many lines in random directions and take the mean
# of the squares over them: the *sliced* Wasserstein distance.

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
    rates = np.sqrt(alphas_cumprod[step - 1]), np.sqrt(1 - alphas_cumprod[step - 1])
    expected = np.hypot(rates[0] * points.std(axis=0), rates[1])
    np.testing.assert_allclose(chain[step].std(axis=0), expected, rtol=0.04)

# %% [markdown]
# Two random clouds are never at distance 0, even if they come from the same place. Steps and jump
# are as near as two jumps are: nothing tells them apart.
#
# ## The choice of betas
#
# The package has the usual shapes of betas. A `DiscreteSchedule` takes them and knows the rates at
# each step. Here are the signal rates of a thousand steps. All but the constant betas and the
# cosine run from 0.0001 to 0.02.

# %% tags=["fold"] alt="Five curves of betas over the step, and five falling curves of signal rates; the cosine falls most evenly."
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
    right.plot(np.sqrt(imagegen.DiscreteSchedule(values).alphas_cumprod), label=name)
left.set(title="betas", xlabel="step", ylim=(0, 0.03))
right.set(title="signal rate", xlabel="step", ylim=(0, 1))
right.legend()
plt.show()

# %% [markdown]
# The cosine's betas are made from its signal rates: they grow beyond the left figure, to 0.999.
#
# Where did our hundred steps end?

# %%
signal_rate, noise_rate = np.sqrt(alphas_cumprod[-1]), np.sqrt(1 - alphas_cumprod[-1])
print(f"signal rate {signal_rate:.2f}, noise rate {noise_rate:.2f}")

# %% tags=["hide"]
assert f"{signal_rate:.2f}" == "0.88"
assert f"{noise_rate:.2f}" == "0.47"

# %% [markdown]
# The S cannot be seen any more, but 0.88 of it is still there. It drowns because the S is small:
# its deviations are 0.07 and 0.14, and the noise's is 0.47. And that is not the deviation of pure
# noise, which is 1. Who would start the way back from noise of deviation 1 would start where no
# data point ever was.
#
# There are two ways out. One can start from what the chain really ends with. Or one does two things
# that work for data of every kind:
#
# 1. *Normalize*: shift and scale the data to mean 0 and variance 1 in each coordinate.
# 2. *Take betas that reach noise*: so much of it that nothing is left of the data.
#
# Then the chain ends with pure noise, whatever the data are. From here on, this is our chain:

# %%
schedule = imagegen.DiscreteSchedule(imagegen.sigmoid_betas(1000, start=1e-4, end=0.02))
print(f"signal rate at the end: {np.sqrt(schedule.alphas_cumprod[-1]):.4f}")

mean, deviation = points.mean(axis=0), points.std(axis=0)
normalized = (points - mean) / deviation

# %% tags=["hide"]
assert np.sqrt(schedule.alphas_cumprod[-1]) < 0.01
np.testing.assert_allclose(normalized.std(axis=0), 1, atol=1e-4)

# %% [markdown]
# ## The way back
#
# We want the film in reverse: given $x_t$, draw the point before, $x_{t-1}$. What is its
# distribution? Bayes' rule needs the distribution of all data at every step, and that is what we do
# not know. It is *intractable*.
#
# But suppose that somebody tells us where the point began, $x_0$. Then everything is normal, and
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

# %%
import inspect
import textwrap

from IPython.display import Markdown


def show_source(function):
    """Show how the package does it, without the explanation that comes first."""
    source = inspect.getsource(function).replace(f'"""{function.__doc__}"""', "")
    lines = [line for line in textwrap.dedent(source).splitlines() if line.strip(' r"')]
    return Markdown("```python\n" + "\n".join(lines) + "\n```")


show_source(imagegen.DiscreteSchedule.posterior)

# %% [markdown]
# Is the formula right? Bayes' rule can also be computed by force, on a grid of numbers. We do so
# for one coordinate, at step 3: the point began at 1 and is at 0.97 now.

# %%
step, began, now = 3, 1.0, 0.97
grid = np.linspace(0.93, 1.05, 2001)


def normal(x, mean, variance):
    """The density of the normal distribution."""
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


before = schedule.alphas_cumprod[step - 2]
prior = normal(grid, np.sqrt(before) * began, 1 - before)
likelihood = normal(now, np.sqrt(schedule.alphas[step - 1]) * grid, schedule.betas[step - 1])
by_force = prior * likelihood / np.trapezoid(prior * likelihood, grid)

posterior_mean, posterior_variance = schedule.posterior(began, now, step)
formula = normal(grid, posterior_mean, posterior_variance)

# %% tags=["fold"] alt="A wide bell around 1, a narrower one around 0.97, and between them the posterior, the narrowest, on which force and formula agree."
figure, axes = plt.subplots(figsize=(5.6, 3.2))
axes.plot(grid, prior, color="gray", label="before looking at $x_t$")
axes.plot(grid, likelihood, color="tab:orange", label="what $x_t$ adds")
axes.plot(grid, by_force, color="lightblue", linewidth=5, label="their product")
axes.plot(grid, formula, color="tab:blue", linewidth=1.5, label="the formula")
axes.set(title="Where was the point one step ago?", xlabel="$x_{t-1}$", yticks=[])
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
began_weights = [schedule.posterior(1.0, 0.0, step)[0] for step in (1, 3, 30, 300, 1000)]
np.testing.assert_allclose(began_weights[0], 1)
assert (np.diff(began_weights) < 0).all()
assert schedule.posterior(1.0, 0.0, 1)[1] == 0

# %% [markdown]
# Early in the chain, at the end of the way back, the beginning counts much. Late in the chain it
# hardly counts: there, a step back is mostly noise, and a tiny push in the right direction. At
# step 1, the variance is 0: the point before is $x_0$ itself. Programs that work with the logarithm
# of the variance have to clip it there. This one takes no logarithm.
#
# ## What the network has to learn
#
# As long as the steps are small, the way back is nearly normal, too. So a network could learn its
# mean and its variance. But the posterior has nearly all of that. Only one thing is missing: nobody
# tells us $x_0$. So a network has to guess it, from $x_t$ and the step, and the variance is taken
# from the posterior.
#
# It can as well guess the noise $\epsilon$ that is in $x_t$. Who knows one knows the other, by the
# formula of the jump:
#
# $$\hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\ \hat\epsilon(x_t, t)}{\sqrt{\bar\alpha_t}}$$
#
# And so training is a quiz. Take a point, a random step $t$ and some noise $\epsilon$, jump to $x_t$,
# and ask which noise it was:
#
# $$\text{loss} = \operatorname{mean} \left( \epsilon - \hat\epsilon(x_t, t) \right)^2$$
#
# with the mean over points and coordinates.
#
# [The paper](https://arxiv.org/abs/2006.11239) derives this from a bound on the likelihood of the
# data, much as the loss of a VAE is derived. It then drops the factors in front, because the
# pictures are better without them.
#
# The network is a *multilayer perceptron*, layers in which everything is connected with everything.
# It is *conditional*: besides the point, it is told how noisy the point is. How? The noise rate
# becomes sines and cosines, an *embedding*, so that near rates are easy to tell apart. And the
# embedding tells each layer how to scale and to shift its channels.

# %%
show_source(imagegen.point_mlp)

# %% [markdown]
# The last layer starts at 0. So the first guess is "there is no noise".
#
# ## Training
#
# `DiffusionModel` holds the network together with the chain. It normalizes the data, draws steps
# and noise, jumps, and computes the loss. The optimizer is Adam, with the usual rate of 0.001, on
# 128 points at a time. Gradients are *clipped* to a length of 1, so that no single batch pulls too
# hard.

# %%
keras.utils.set_random_seed(0)

embedding = imagegen.SinusoidalEmbedding(32, max_frequency=30)
network = imagegen.point_mlp(2, width=64, time_embedding=embedding)
model = imagegen.DiffusionModel(
    network, schedule=schedule, loss="mean_squared_error", value_range=None
)
model.normalizer.adapt(points)
model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0))
history = model.fit(points, batch_size=128, epochs=100, verbose=0)

losses = history.history["loss"]
print(f"{network.count_params():,} parameters")
print(f"loss after 1 pass: {losses[0]:.3f}, after {len(losses)}: {losses[-1]:.3f}")

# %% tags=["hide"]
assert losses[-1] < 0.36 < losses[0] < 1

# %% [markdown]
# A network that always says "there is no noise" has a loss of 1, the variance of the noise. The
# loss can't reach 0 either: of a point near the curve that is a little noisy, nobody can tell how
# much of its distance from the curve is noise. What decides is the samples.
#
# ??? note "What others choose"
#     This chain and network are often trained for 1,000 passes, with averaged weights that keep
#     0.9 of themselves in a training step. 100 passes are enough here, with 0.999: the average
#     then looks back over about 1,000 steps of 8,000, and is calmer. The loss is the mean squared error,
#     which is the one of the theory.
#
# ## Sampling
#
# Now the film in reverse. Start with pure noise. At each step, let the network guess the noise,
# compute $\hat x_0$ from it, put that in the place of $x_0$, and draw from the posterior:
#
# $$x_{t-1} = \tilde\mu_t(\hat x_0, x_t) + \sqrt{\tilde\beta_t}\ z$$
#
# with new noise $z$. In the literature, this step is called `p_sample`:


# %%
def p_sample(noisy, step, rng):
    """Go one step back."""
    clean = keras.ops.convert_to_numpy(model.denoise(noisy, step / schedule.num_steps))
    mean, variance = schedule.posterior(clean, noisy, step)
    return mean + np.sqrt(variance) * rng.standard_normal(noisy.shape)


rng = np.random.default_rng(1)
noisy = rng.standard_normal((1000, 2))
for step in range(1000, 990, -1):
    noisy = p_sample(noisy, step, rng)

# %% [markdown]
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
arrivals = {"p_sample": p_sample(same_point, step, rng), "DDPM": np.asarray(by_sampler)}
for name, arrived in arrivals.items():
    print(f"{name:8} mean {arrived.mean(axis=0).round(3)}", end=", ")
    print(f"deviation {arrived.std(axis=0).round(4)}")

# %% tags=["hide"]
first, second = arrivals.values()
spread = np.sqrt(schedule.posterior(0.0, 0.0, step)[1])
np.testing.assert_allclose(first.mean(axis=0), second.mean(axis=0), atol=6 * spread / 100)
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

# %% tags=["fold"] alt="Above, an oval cloud after 0, 250 and 500 steps, a blurred S after 750, and a clear S after 1,000. Below, the guesses: scattered at 0, a small spot at 250, a larger one at 500, then a coarse S, and a clear one."
figure, panels = plt.subplots(2, 5, figsize=(6.4, 2.9))
for column, step in zip(panels.T, (0, 250, 500, 750, 1000), strict=True):
    draw(column[0], reverse[step], f"{step} steps", limit=0.45)
    draw(column[1], guesses[min(step, 999)], limit=0.45)
panels[0, 0].set_ylabel("the points")
panels[1, 0].set_ylabel("the guesses")
plt.show()

# %% tags=["hide"]
spreads = [np.mean(guesses[step].std(axis=0) / deviation) for step in (0, 250, 500, 750)]
assert spreads[1] < 0.3
assert spreads[1] < spreads[2] < spreads[3]
assert spreads[0] > 2 * spreads[1]
first_signal = float(np.sqrt(schedule.alphas_cumprod[-1]))
np.testing.assert_allclose(np.sqrt(1 - first_signal**2) / first_signal, 160, rtol=0.05)
np.testing.assert_allclose(reverse[0].std(axis=0), deviation, rtol=0.05)

# %% [markdown]
# Look at the guesses below. The first are wild: the signal rate is so small that any error in the
# guessed noise is multiplied by about 160. It does no harm, because the posterior hardly looks at
# them there. Soon all guesses are near the middle of the data. That is the best answer to pure
# noise, although hardly a data point is there. Then the guess becomes an S, coarse at first. No
# guess is taken for the answer. Each only says in which direction the next small step goes.
#
# The same as a film. A frame counts, pixel by pixel, how many points there are.


# %%
def density(points, size=120, limit=0.36):
    """Count points in pixels, and make many points dark."""
    edges = np.linspace(-limit, limit, size + 1)
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], [edges, edges])
    return np.exp(-counts[::-1] / 3)


frames = [density(reverse[step]) for step in range(0, 1001, 20)]
film = [frames[0]] * 5 + frames + [frames[-1]] * 15
imagegen.Animation(film, alt="A cloud of points contracts into an S", frames_per_second=12, scale=3)

# %% [markdown]
# To have it as a file, GIF, WebP or MP4, call [save_animation][imagegen.save_animation] with the same
# frames.
#
# ## Are the new points as good as real ones?
#
# They look right. But how near are they? We take *held-out* points, drawn from the same curve and
# never seen in training, and measure the sliced Wasserstein distance. The measure of all things is
# the distance between two sets of held-out points: nothing that is random gets much nearer than
# that. For comparison, we take points from a normal distribution with the mean and the covariance
# of the data. It knows where the data are and how they are stretched, and nothing of an S.

# %%
held_out = [imagegen.datasets.s_curve(10_000, seed=seed) for seed in range(1, 7)]
between = [distance(held_out[i], held_out[j]) for i in range(6) for j in range(i)]
to_samples = [distance(samples, other) for other in held_out]
gaussian = rng.multivariate_normal(mean, np.cov(points.T), len(points))
to_gaussian = [distance(gaussian, other) for other in held_out]

ratio = np.mean(to_samples) / np.mean(between)
low, high = min(between), max(between)
print(f"held-out to held-out: {np.mean(between):.4f}, from {low:.4f} to {high:.4f}")
print(f"samples to held-out:  {np.mean(to_samples):.4f}, which is {ratio:.2f} times as far")
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
# So to denoise is to climb towards where points are more likely. That is how [score-based
# models](https://arxiv.org/abs/2011.13456) came to the same algorithm from another side. Here is
# the field of directions at step 200:

# %% tags=["fold"] alt="Arrows over the plane that point towards a faint S from all sides."
step = 200
axis = np.linspace(-2.2, 2.2, 21, dtype="float32")
places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
seen = keras.ops.convert_to_numpy(model.denoise(places, step / schedule.num_steps))
signal = np.sqrt(schedule.alphas_cumprod[step - 1])
score = (signal * seen - places) / (1 - schedule.alphas_cumprod[step - 1])

figure, axes = plt.subplots(figsize=(3.8, 3.8))
noisy = mean + deviation * (signal * normalized + np.sqrt(1 - signal**2) * noise)
axes.plot(*(((noisy - mean) / deviation)[:4000].T), ".", markersize=1, color="lightgray")
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
# place on the curve, and what solves differential equations solves this one, in far fewer steps.

# %%
ratios = []
for sampler, num_steps in ((imagegen.DDIM(), 50), (imagegen.DPMSolver2M(), 25)):
    found = model.generate(len(points), num_steps=num_steps, sampler=sampler, seed=seed)
    to_found = [distance(found, other) for other in held_out]
    ratios.append(np.mean(to_found) / np.mean(between))
    print(f"{sampler}, {num_steps} steps: {ratios[-1]:.2f} times as far")

# %% tags=["hide"]
assert max(ratios) < 2.5

# %% [markdown]
# **Flow matching.** Why walk along the circle of the rates? One can also [mix along a straight
# line](https://arxiv.org/abs/2209.03003), $x_t = (1 - t)\, x_0 + t\, \epsilon$, and let the network
# learn the direction $\epsilon - x_0$ in which a point moves. Paths become straighter, and straight
# paths need few steps. In the package these are two objects, [FlowSchedule][imagegen.FlowSchedule]
# and [FlowPrediction][imagegen.FlowPrediction]. The rest stays as it is.
#
# The chapter on [samplers](samplers.py) compares all these ways back, on flowers.
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
# ## To try
#
# - Skip the normalizing: leave out `adapt`, and use the first hundred betas. Where do the points
#   end?
# - Tell the network the noise rate as it is, with `time_embedding=None`, or as a [log
#   signal-to-noise ratio][imagegen.LogSNREmbedding]. How many passes does it need now?
# - Take two moons instead of an S: `sklearn.datasets.make_moons`. What else has to change?
#
# The [next chapter](noise_and_signal.py) goes from points to pictures. Time is continuous there,
# and the network has to see 12,288 numbers at once.
