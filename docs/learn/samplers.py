# %% [markdown] needs=["flowers_from_noise"]
# # Samplers
#
# One trained network, and many ways to walk from noise to a picture. Which is best? In this chapter all of
# them start from the same noise, and we measure.
#
# !!! abstract "What you will learn"
#     - What a sampler sees of a model, and what its step does.
#     - How walks with chance differ from walks without.
#     - How to measure how fast the error of a method falls.
#     - How to choose a sampler, a number of steps, and the times at which to take them.
#
# ## What a sampler sees
#
# Nothing but one function: `denoise(noisy, time)`, which answers with the clean sample it believes in. What the
# network predicts, how large it is, whether it reads text: all of that is hidden behind this function. So we
# don't even need a network. Let the data be single numbers, half of them near -1 and half near 1. For such
# data the best possible answer has a formula: the average of everything that the noisy number might have been.

# %%
import imagegen

import matplotlib.pyplot as plt
import numpy as np
from keras import ops


def perfect_denoiser(schedule, means, deviation):
    """Denoise numbers that are spread normally around `means`."""
    means = np.array(means, "float32")

    def denoise(noisy, time):
        noise_rate, signal_rate = schedule(time)
        variance = (signal_rate * deviation) ** 2 + noise_rate**2
        distances = noisy[:, None] - signal_rate * means
        log_likelihoods = -(distances**2) / (2 * variance)
        total = ops.logsumexp(log_likelihoods, axis=1, keepdims=True)
        shares = ops.exp(log_likelihoods - total)
        guesses = means + signal_rate * deviation**2 / variance * distances
        return ops.sum(shares * guesses, axis=1)

    return denoise


schedule = imagegen.CosineSchedule(max_signal_rate=0.999)
denoise = perfect_denoiser(schedule, means=[-1, 1], deviation=0.1)
noisy = np.array([0.5], "float32")
for time in (1.0, 0.7, 0.4, 0.1):
    estimate = float(denoise(noisy, time)[0])
    print(f"0.5 at time {time}: was {estimate:.2f} on average")

# %% tags=["hide"]
assert abs(float(denoise(noisy, 1.0)[0])) < 0.02
assert 0.85 < float(denoise(noisy, 0.1)[0]) < 1

# %% [markdown]
# A sampler is an object with two methods. `init` gives its memory, which is empty for most. `step` goes
# from one *level*, which is a time with its two rates, to the next. The whole walk is a loop:

# %%
import itertools


def even_stops(num_steps):
    """Return the levels at evenly spaced times, and the clean end."""
    # The table has the same length for any number of steps: what is left of it
    # are copies of the clean end.
    table = imagegen.samplers.levels(schedule, num_steps)[: num_steps + 1]
    return [imagegen.Level(*row) for row in table]


def walk(sampler, denoise, noisy, stops):
    """Go from stop to stop, and return the samples at each."""
    seed = ops.convert_to_tensor(0, "int32")
    samples, state = [noisy], sampler.init(noisy, seed)
    for now, after in itertools.pairwise(stops):
        noisy, _, state = sampler.step(denoise, noisy, now, after, state)
        samples.append(noisy)
    return np.stack(samples)


# %% [markdown]
# The step also returns the clean samples it believed in, which we ignore here. (For pictures, the
# package runs this loop as one compiled program, which is faster.)
#
# ## With chance or without
#
# Here are twelve walks with `DDIM`, which you know, and twelve with `DDPM`. Both start from the same noise.

# %% tags=["fold"] alt="Two panels of twelve paths from noise to -1 or 1. With DDIM the paths are smooth and never cross; with DDPM they jitter, cross, and end elsewhere." caption="The same twelve beginnings, without chance and with it."
noise = np.linspace(-1.8, 1.8, 12, dtype="float32")
times = [level.time for level in even_stops(100)]
walks = {
    "DDIM: no chance": walk(imagegen.DDIM(), denoise, noise, even_stops(100)),
    "DDPM: new noise in each step": walk(
        imagegen.DDPM(), denoise, noise, even_stops(100)
    ),
}
figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
for ax, (title, samples) in zip(axes, walks.items(), strict=True):
    for path, start in zip(samples.T, noise, strict=True):
        ax.plot(
            times,
            path,
            color="tab:blue" if start < 0 else "tab:orange",
            linewidth=1.2,
        )
    ax.set(title=title, xlabel="diffusion time", xlim=(1, 0))
axes[0].set(ylabel="sample")
plt.show()

# %% tags=["hide"]
smooth, jagged = walks.values()
assert (np.diff(smooth, axis=1) > 0).all()
np.testing.assert_array_equal(np.sign(smooth[-1]), np.sign(noise))
assert (np.diff(jagged[1:-1], axis=1) < 0).any()
assert (np.sign(jagged[-1]) != np.sign(noise)).any()
np.testing.assert_allclose(
    np.abs(np.concatenate([smooth[-1], jagged[-1]])), 1, atol=0.4
)

# %% [markdown]
# *Deterministic* samplers leave nothing to chance on the way. The noise at the start decides everything, and
# each path is a smooth curve. The curves never cross, because from each point there is only one way on. They
# are the solutions of a differential equation, the *probability flow*. To see it, divide a sample $x_t = s_t x_0
# + n_t \epsilon$ by the sum of its rates. What comes out is a mixture whose shares sum to 1, $(1 - u)\, x_0 + u\,
# \epsilon$: a point on the straight line from the clean sample to the noise, at the position $u$. As $u$ grows,
# the point moves by $\epsilon - x_0$, which is $(y - x_0) / u$. With the estimate in the place of $x_0$, that is
# the equation:
#
# $$y = \frac{\text{noisy}}{\text{signal rate} + \text{noise rate}}, \quad
# u = \frac{\text{noise rate}}{\text{signal rate} + \text{noise rate}}, \quad
# \frac{dy}{du} = \frac{y - \text{clean}}{u}$$
#
# Its right-hand side is the direction from the clean estimate to the present point. A sampler without
# chance is a method to solve this equation in few steps, and there are centuries of experience
# with such methods.
#
# *Ancestral* samplers, such as DDPM, throw away some of the noise in each step, and draw new noise instead. The
# same start can end anywhere. What both kinds share is *how often* they end where, if there are many steps. With
# either kind, half of the walks end near -1, and half near 1.

# %%
many = np.random.default_rng(0).standard_normal(4000).astype("float32")
for sampler in (imagegen.DDIM(), imagegen.DDPM()):
    ends = walk(sampler, denoise, many, even_stops(100))[-1]
    left, right = ends[ends < 0], ends[ends > 0]
    for side in (left, right):
        print(f"{sampler}: {len(side)} walks end near {side.mean():.2f}")

# %% tags=["hide"]
assert sampler == imagegen.DDPM()
assert abs(len(left) - 2000) < 100
np.testing.assert_allclose([left.mean(), right.mean()], [-1, 1], atol=0.03)
assert abs((many < 0).sum() - 2000) < 100

# %% [markdown]
# There is another way to see it. The *score* is the direction in which noisy samples become more
# likely, $\nabla \log p(\text{noisy})$. It is nothing new: the denoiser gives it, as
# $(\text{signal rate} \cdot \text{clean} - \text{noisy}) / \text{noise rate}^2$. The chapter
# [Diffusion from the equations](diffusion_from_the_equations.py#three-other-views) draws it as a field of arrows.
#
# ## Four methods
#
# **DDIM** trusts the clean estimate until the next stop. That is *Euler's method*: go straight on, in the
# present direction. The package has `Euler` as well, in the coordinates $y$ and $u$. The two
# agree to rounding:

# %%
euler, ddim = (
    walk(sampler, denoise, noise, even_stops(10))
    for sampler in (imagegen.Euler(), imagegen.DDIM())
)
print(f"largest difference: {np.abs(euler - ddim).max():.0e}")

# %% tags=["hide"]
assert np.abs(euler - ddim).max() < 1e-5

# %% [markdown]
# **Heun's method** first goes to the next stop as Euler does, and looks at the direction there. Then it
# goes back, and takes the mean of both directions. It sees that the path bends. But it asks the
# denoiser twice a step.
#
# ```source
# imagegen.Heun.step
# ```
#
# **DPM-Solver++(2M)** also sees the bend, but asks once a step: it remembers its last clean estimate. If
# the estimate has changed from the last stop to this one, it will go on changing. So the method
# extends the change into the step that is ahead, and then remixes as DDIM does. What is far and near is
# measured in $\lambda = \log(\text{signal rate} / \text{noise rate})$, half the log signal-to-noise
# ratio. (The ratio is one of powers, that is, of squares.)
#
# ```source
# imagegen.DPMSolver2M.step
# ```
#
# **DDPM** is DDIM with new noise in each step. It reverses the forward process step by step, chance included.
# `DDIM(eta=0.5)` lies between the two.
#
# ## The same flower, four ways
#
# Now for the trained network. The cost of a picture is counted in *evaluations*: how often the network is asked.
# So we compare by evaluations, and Heun gets half as many steps. (Its last step is Euler's and asks once, so it
# even stays one below its budget.) The noise is the same everywhere.

# %% alt="A flower in four rows of five. DDIM, Heun and DPM-Solver++ go from a blur to nearly the same crisp flower; DDPM goes to another." caption="From left to right more evaluations, from the same noise."
model = imagegen.DiffusionModel.from_preset("flowers-64")
# The preset has stops of its own, which we come to below.
model.schedule = model.schedule.schedule
samplers = {
    "DDIM": imagegen.DDIM(),
    "Heun": imagegen.Heun(),
    "DPM-Solver++(2M)": imagegen.DPMSolver2M(),
    "DDPM": imagegen.DDPM(),
}
budgets = [4, 10, 20, 50, 100]


def generate(name, evaluations):
    """Generate two flowers, from the same noise each time."""
    num_steps = evaluations // 2 if name == "Heun" else evaluations
    return model.generate(
        2, num_steps=num_steps, sampler=samplers[name], seed=1
    )


def show_sweep(sweep):
    """Show the second flower, a row for each sampler."""
    titles = [
        f"{name.split('-')[0]}, {budget}"
        for name in sweep
        for budget in budgets
    ]
    flowers = [pictures[-1] for row in sweep.values() for pictures in row]
    imagegen.show(flowers, titles=titles, columns=len(budgets), scale=2)


sweep = {
    name: [generate(name, budget) for budget in budgets] for name in samplers
}
show_sweep(sweep)

# %% [markdown]
# In each row, the evaluations grow from 4 to 100. The first three rows arrive at the same flower. Few steps give
# a blur of it, and many steps the fine detail. DDPM goes elsewhere, and with few steps its pictures are blurred
# too.
#
# How far is each from the end of the road? We take 250 steps of DPM-Solver++ as the end. The error is the root mean square difference of two pictures, in levels of 255.

# %%
from IPython.display import Markdown

two_m = samplers["DPM-Solver++(2M)"]
reference = model.generate(2, num_steps=250, sampler=two_m, seed=1)


def error(pictures):
    """Root mean square difference to the reference, in levels of 255."""
    return np.sqrt(np.mean((pictures.astype("float32") - reference) ** 2))


errors = {
    name: [error(pictures) for pictures in row] for name, row in sweep.items()
}
others = error(np.roll(reference, 1, axis=0))


def as_table(errors):
    """Format errors as a table with a column for each number of evaluations."""
    head = [
        "| evaluations | " + " | ".join(map(str, budgets)) + " |",
        "|---" * 6 + "|",
    ]
    rows = [
        f"| {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |"
        for name, row in errors.items()
    ]
    return Markdown("\n".join(head + rows))


print(f"two different flowers are {others:.0f} levels apart")
as_table(errors)

# %% tags=["hide"]
for name in ("DDIM", "Heun", "DPM-Solver++(2M)"):
    assert errors[name] == sorted(errors[name], reverse=True), name
    assert errors[name][-1] < 6, name
assert errors["DPM-Solver++(2M)"][-1] < errors["DDIM"][-1] / 2
assert errors["Heun"][-1] < errors["DDIM"][-1] / 2
assert min(errors["DDPM"]) > 0.5 * others
assert errors["DDPM"][-1] > 0.75 * others

# %% [markdown]
# The three deterministic methods approach one limit. DDPM does not, and the number says nothing bad
# about it. Its pictures are other flowers, not worse ones: with many steps it is about as far from the
# reference as two different flowers are from each other. To judge it, compare many pictures with many, as
# [kernel_inception_distance][imagegen.kernel_inception_distance] does.
#
# One thing is disappointing. At 10 evaluations, the clever methods are hardly better than DDIM:

# %%
for name in ("DDIM", "Heun", "DPM-Solver++(2M)"):
    print(f"{name}: {errors[name][1]:.1f}")

# %% tags=["hide"]
assert errors["DPM-Solver++(2M)"][1] > 0.6 * errors["DDIM"][1]

# %% [markdown]
# Why is that?
#
# ## When to ask
#
# The times were evenly spaced. Let us see where ten such stops are on the scale of $\lambda$, in which
# DPM-Solver++ measures distance, and put ten others at even distances there. The package has a schedule for
# that. It wraps another schedule, and changes only where sampling stops:
#
# ```source
# imagegen.EvenLogSNRSchedule.sampling_times
# ```

# %%
even_log_snr = imagegen.EvenLogSNRSchedule(model.schedule)

# %% tags=["fold"] alt="The log signal-to-noise ratio against time, steep at both ends. Ten stops at even times leave wide gaps at the ends; ten at even ratios crowd there." caption="Where ten stops lie, for two ways to choose them."
figure, axes = plt.subplots(figsize=(6.4, 3.4))
fine = np.linspace(1, 0, 501, dtype="float32")


def log_snr(times):
    noise_rates, signal_rates = map(ops.convert_to_numpy, even_log_snr(times))
    return np.log(signal_rates / noise_rates)


axes.plot(fine, log_snr(fine), color="lightgray", zorder=0)
for spacing, label, color in (
    (model.schedule, "even times", "tab:blue"),
    (even_log_snr, "even log signal-to-noise ratio", "tab:orange"),
):
    stops = spacing.sampling_times(10)
    axes.plot(stops, log_snr(stops), "o", color=color, label=label)
    for ratio in log_snr(stops):
        axes.plot(
            [-0.03, -0.06] if color == "tab:orange" else [1.03, 1.06],
            [ratio] * 2,
            color=color,
        )
axes.set(
    title="Ten stops between noise and picture",
    xlabel="diffusion time",
    ylabel="log(signal rate / noise rate)",
    xlim=(1.07, -0.07),
)
axes.legend(loc="upper left", bbox_to_anchor=(0.05, 1))
plt.show()

# %% tags=["hide"]
even_times, even_ratios = (
    s.sampling_times(10) for s in (model.schedule, even_log_snr)
)
np.testing.assert_allclose(
    np.diff(log_snr(even_ratios)), np.ptp(log_snr(fine)) / 9, rtol=0.02
)
first_share = np.diff(log_snr(even_times))[0] / np.ptp(log_snr(fine))
assert 0.25 < first_share < 0.35

# %% [markdown]
# The marks at the sides show both kinds of stops on the scale of $\lambda$. With even times, the very first step
# covers three tenths of the whole way. In so long a step, a method sees little of the bend.
#
# Nothing has to be trained again, because the network knows all times. The same noise once more,
# without DDPM:

# %% tags=["hero"] alt="A flower in three rows of five, from 4 to 100 evaluations. DPM-Solver++ has its final shape from 10 evaluations on, DDIM and Heun later; Heun begins with noise." caption="From left to right more evaluations, from the same noise, with stops at even ratios."
model.schedule = even_log_snr
even_sweep = {
    name: [generate(name, budget) for budget in budgets]
    for name in samplers
    if name != "DDPM"
}
show_sweep(even_sweep)

even_errors = {
    name: [error(pictures) for pictures in row]
    for name, row in even_sweep.items()
}
as_table(even_errors)

# %% tags=["hide"]
for name, row in even_errors.items():
    assert all(
        even < before
        for even, before in zip(row[1:-1], errors[name][1:-1], strict=True)
    )
assert even_errors["DPM-Solver++(2M)"][1] < errors["DPM-Solver++(2M)"][1] / 2
# DPM-Solver++(2M) at 10 evaluations is nearer than DDIM at 20, on either spacing.
assert even_errors["DPM-Solver++(2M)"][1] < min(
    even_errors["DDIM"][2], errors["DDIM"][2]
)

# %% tags=["fold"] alt="Error against evaluations, both on logarithmic axes, for even times and for even log signal-to-noise ratios. In the second panel the curves are lower from 10 evaluations on, and that of DPM-Solver++ falls fastest." caption="How fast errors fall, for two ways to choose the stops."
figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
colors = {
    "DDIM": "tab:blue",
    "Heun": "tab:green",
    "DPM-Solver++(2M)": "tab:orange",
}
for ax, title, rows in (
    (axes[0], "even times", errors),
    (axes[1], "even log signal-to-noise ratio", even_errors),
):
    for name, color in colors.items():
        ax.loglog(budgets, rows[name], "o-", color=color, label=name)
    ax.set(title=title, xlabel="evaluations")
    ax.set_xticks(budgets, [str(budget) for budget in budgets])
    ax.minorticks_off()
axes[0].set_yticks(
    [0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"]
)
axes[0].set(ylabel="error, levels of 255")
axes[0].legend(loc="lower left")
plt.show()

# %%
at_ten = even_errors["DPM-Solver++(2M)"][1]
matching = np.interp(-at_ten, -np.array(even_errors["DDIM"]), budgets)
print(f"DPM-Solver++(2M) at 10 evaluations: {at_ten:.1f} levels")
print(f"DDIM reaches that at about {matching:.0f} evaluations")

# %% tags=["hide"]
assert matching > 20

# %% [markdown]
# Now memory pays off. With ten evaluations, DPM-Solver++(2M) comes as near as DDIM with several times as many.
# DDIM gains from better stops too. Where the stops are matters as much as the method.
#
# Heun's first picture is a warning. Four evaluations are two steps, and the first of them leads all the way from
# noise to a clean picture. No method sees a bend in that. And the curves flatten below one level: the reference
# isn't exact either, and pictures are rounded to whole levels.
#
# ## The order of a method
#
# How fast does the error fall as we take more steps? If twice the steps leave half of it, the method is of
# *first order*. If they leave a quarter, it is of *second order*. On logarithmic axes, the order is the
# slope. To measure it we must know the exact end, not an estimate of it. For a single normal
# distribution, the flow has a formula: noise $z$ moves to
#
# $$\text{signal rate} \cdot \text{mean} + \sqrt{(\text{signal rate} \cdot \text{deviation})^2 +
# \text{noise rate}^2} \cdot z.$$
#
# We follow the flow half-way, to time 0.5, and compare.

# %% tags=["fold"] alt="Error against steps on logarithmic axes: DDIM falls along a line of slope 1, Heun and DPM-Solver++ along lines of slope 2." caption="Slopes of 1 and 2: the order of each method."
mean, deviation = 0.4, 0.5
gaussian = perfect_denoiser(schedule, [mean], deviation)
starts = np.linspace(-2, 2, 40, dtype="float32")


def exact(time):
    noise_rate, signal_rate = map(float, schedule(np.float32(time)))
    return (
        signal_rate * mean
        + np.hypot(signal_rate * deviation, noise_rate) * starts
    )


step_counts = [16, 32, 64, 128]
halfway = {}
for name in colors:
    ends = [
        walk(
            samplers[name],
            gaussian,
            exact(1).astype("float32"),
            even_stops(num_steps)[: num_steps // 2 + 1],
        )[-1]
        for num_steps in step_counts
    ]
    halfway[name] = [np.abs(end - exact(0.5)).mean() for end in ends]
orders = {
    name: -np.polyfit(np.log(step_counts), np.log(row), 1)[0]
    for name, row in halfway.items()
}
figure, axes = plt.subplots(figsize=(5.2, 3.4))
for name, color in colors.items():
    axes.loglog(
        step_counts,
        halfway[name],
        "o-",
        color=color,
        label=f"{name}: slope {orders[name]:.2f}",
    )
axes.set(
    title="The perfect denoiser of a normal distribution",
    xlabel="steps",
    ylabel="error",
)
axes.set_xticks(step_counts, [str(count) for count in step_counts])
axes.minorticks_off()
axes.legend()
plt.show()

# %% tags=["hide"]
assert abs(orders["DDIM"] - 1) < 0.15
assert orders["Heun"] > 1.8
assert orders["DPM-Solver++(2M)"] > 1.8

# %% [markdown]
# DDIM is of order 1, and the two others are of order 2. Heun asks twice per step, so when evaluations count, read
# its curve twice as far to the right. The order says how the error falls once steps are short. At ten steps they
# aren't yet, which is why the pictures above didn't simply follow it. DDPM is missing: its walks have no exact end
# to compare with.
#
# ## How to choose
#
# A difference of five levels is hard to see. What is the smallest number of evaluations, among those that we
# tried, that comes so near the limit?


# %%
def enough(row):
    """The first budget whose error is at most 5 levels."""
    for budget, value in zip(budgets, row, strict=True):
        if value <= 5:
            return str(budget)
    return f"over {budgets[-1]}"


rows = [
    "| sampler | order | a step asks | even times | even ratios |",
    "|---|---|---|---|---|",
]
for name in colors:
    asks = "twice" if name == "Heun" else "once"
    row = (
        f"{orders[name]:.1f}",
        asks,
        enough(errors[name]),
        enough(even_errors[name]),
    )
    rows.append(f"| {name} | {' | '.join(row)} |")
rows.append("| DDPM | | once | ends elsewhere | |")
Markdown("\n".join(rows))

# %% tags=["hide"]
assert enough(even_errors["DPM-Solver++(2M)"]) in ("10", "20")
assert int(enough(even_errors["DPM-Solver++(2M)"])) < int(
    enough(even_errors["DDIM"])
)

# %% [markdown]
# - **In a hurry**: DPM-Solver++(2M) with 10 to 20 steps, at even log signal-to-noise ratios. A model of your own does
#   that after `model.schedule = imagegen.EvenLogSNRSchedule(model.schedule)`, with
#   `model.generate(8, num_steps=15, sampler=imagegen.DPMSolver2M())`.
# - **To edit a picture, or to walk between two**: a deterministic sampler, whose path can be walked both ways.
# - **To get near the exact flow**, as for a reference: Heun or DPM-Solver++(2M), with many steps.
# - **To read and to learn from**: DDIM, whose step is three lines.
# - **When time doesn't matter**: DDPM. New noise washes out errors that were made on the way, and so papers often
#   find its pictures the best, after hundreds of steps or a thousand.
#
# These are measurements of one small model. Another may rank them differently, and now you know how to find out.
#
# In [the diffusion lab](../explore/diffusion_lab.md) all of this is in your hands, on points in the
# plane:
#
# - [Two spots](../explore/diffusion_lab.md?lab.points=spots&lab.answer=exact&lab.sampler=ddim&lab.stops=even&lab.steps=100&lab.at=1)
#   with DDIM, whose paths are smooth, and
#   [the same with DDPM](../explore/diffusion_lab.md?lab.points=spots&lab.answer=exact&lab.sampler=ddpm&lab.stops=even&lab.steps=100&lab.at=1).
# - [DDIM with half of its noise new](../explore/diffusion_lab.md?lab.answer=exact&lab.sampler=ddim&lab.eta=0.5&lab.steps=50&lab.at=1).
# - The error against evaluations,
#   [at even times](../explore/diffusion_lab.md?lab.answer=exact&lab.stops=even&lab.chart=1&lab.at=1) and
#   [at even log signal-to-noise ratios](../explore/diffusion_lab.md?lab.answer=exact&lab.chart=1&lab.at=1).
# - [Heun in two steps](../explore/diffusion_lab.md?lab.answer=exact&lab.sampler=heun&lab.steps=2&lab.at=1),
#   which is too few.
#
# ## What we have learnt
#
# - A sampler sees one function, `denoise`, and every sampler works with every model.
# - Deterministic samplers solve the probability flow, and share one limit: the noise decides the picture. Ancestral
#   ones draw new noise on the way. With many steps, both give the same distribution.
# - Cost is counted in evaluations. A method of second order sees the bend of the path, by asking
#   twice, as Heun does, or by remembering, as DPM-Solver++(2M) does.
# - The order is a slope, and it is measured where the exact answer is known.
# - Where the stops are matters as much as how many there are.
#
# ## Exercises
#
# **1.** Write a sampler of your own: DDIM that follows the clean estimate of the step *before*, if there is one.
# What happens to the order?

# %% tags=["solution"]
import dataclasses


@dataclasses.dataclass(frozen=True)
class Late(imagegen.Sampler):
    """DDIM that is one step late."""

    def init(self, noisy, seed):
        return (ops.full_like(noisy, np.nan),)

    def step(self, denoise, noisy, now, after, state):
        clean = denoise(noisy, now.time)
        believed = ops.where(ops.isnan(state[0]), clean, state[0])
        noise = (noisy - now.signal_rate * believed) / now.noise_rate
        return (
            after.signal_rate * believed + after.noise_rate * noise,
            clean,
            (clean,),
        )


late = []
for num_steps in step_counts:
    half_way = even_stops(num_steps)[: num_steps // 2 + 1]
    end = walk(Late(), gaussian, exact(1).astype("float32"), half_way)[-1]
    late.append(np.abs(end - exact(0.5)).mean())
    print(
        f"{num_steps:3} steps: DDIM {halfway['DDIM'][len(late) - 1]:.4f}, one "
        f"late {late[-1]:.4f}"
    )
slope = -np.polyfit(np.log(step_counts), np.log(late), 1)[0]
print(f"slope {slope:.2f}")

# %% [markdown] tags=["solution"]
# It is still of first order, with an error several times as large: old directions cost accuracy, and not the
# order. DPM-Solver++ turns the same memory into a gain, because it extends the change instead of ignoring it.

# %% tags=["hide", "solution"]
assert 0.7 < slope < 1.3
assert late[-1] > 1.5 * halfway["DDIM"][-1]

# %% [markdown]
# **2.** Generate with `DDIM(eta=0.5)` and 50 steps. Is it nearer to DDIM or to DDPM?

# %% tags=["solution"]
between = model.generate(
    2, num_steps=50, sampler=imagegen.DDIM(eta=0.5), seed=1
).astype("float32")
for name in ("DDIM", "DDPM"):
    apart = np.sqrt(np.mean((between - sweep[name][budgets.index(50)]) ** 2))
    print(f"{apart:.0f} levels from {name}")

# %% [markdown] tags=["solution"]
# About as far from one as from the other, and nearer to both than they are to each other.

# %% [markdown]
# **3.** How many walks change sides? Start a thousand walks of DDPM from noise below 0, and count those that
# end near 1. Do the same from the point -2.

# %% tags=["solution"]
for name, start in {
    "below 0": -np.abs(many[:1000]),
    "at -2": np.full(1000, -2.0),
}.items():
    arrived = walk(
        imagegen.DDPM(), denoise, start.astype("float32"), even_stops(100)
    )[-1]
    print(f"from {name}: {np.mean(arrived > 0):.0%} end near 1")

# %% [markdown] tags=["solution"]
# With so many steps of new noise, hardly anything is left of the start.

# %% tags=["hide", "solution"]
assert 0.3 < np.mean(arrived > 0) < 0.6

# %% [markdown]
# Next: [How good is it?](how_good_is_it.py), where pictures are measured, and not only steps. In the reference:
# [DDIM][imagegen.DDIM], [DDPM][imagegen.DDPM], [Euler][imagegen.Euler], [Heun][imagegen.Heun],
# [DPMSolver2M][imagegen.DPMSolver2M] and [Schedule][imagegen.Schedule].
