# %% [markdown] needs=["diffusion_from_the_equations", "samplers"]
# # Fewer steps
#
# A picture costs twenty evaluations of a network, and forty with guidance. This chapter gets by with four,
# or with one. It takes a network that doesn't follow the path from noise to data step by step, but knows where
# the path leads. We train two such networks on points, where one can see what they do.
#
# !!! abstract "What you will learn"
#     - Why steps are short, and what a longer one needs.
#     - How a student learns to jump from the paths of its teacher.
#     - How a network learns to jump without a teacher, from the slope of its own answer.
#     - What gets lost on the way.
#     - How well students of text-to-image models paint, in four evaluations for their teachers' thirty or forty.
#
# [Samplers](samplers.py) explains the steps that we save here.
#
# ## Why steps are short
#
# Our data are points on an S again. A model learns to denoise them, as in
# [Diffusion from the equations](diffusion_from_the_equations.py).

# %%
import imagegen

import keras
import matplotlib.pyplot as plt
import numpy as np

points = imagegen.datasets.s_curve(10_000)


def network(**options):
    waves = imagegen.SinusoidalEmbedding(16, max_frequency=8)
    return imagegen.point_mlp(2, width=96, time_embedding=waves, **options)


def train(model, data, epochs):
    steps = epochs * -(-len(data) // 256)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(data, batch_size=256, epochs=epochs, verbose=0)


keras.utils.set_random_seed(0)
settings = {
    "schedule": imagegen.CosineSchedule(
        min_signal_rate=0.02, max_signal_rate=0.999
    ),
    "prediction": imagegen.VelocityPrediction(),
    "loss": "mean_squared_error",
    "averaging": 0.998,
    "value_range": None,
}
teacher = imagegen.DiffusionModel(network(), **settings)
teacher.normalizer.adapt(points)
train(teacher, points, epochs=50)

# %% [markdown]
# The *sliced Wasserstein distance* says how far the points that a model makes are from those on the S. It is
# small where both clouds have the same shape. Two clouds of true points give its floor.

# %%
held_out = imagegen.datasets.s_curve(10_000, seed=1)


def distance(cloud):
    return imagegen.sliced_wasserstein_distance(cloud, held_out)


floor = distance(imagegen.datasets.s_curve(10_000, seed=2))
print(f"true points: {floor:.3f}")
by_teacher = {
    n: teacher.generate(10_000, num_steps=n, seed=0) for n in (1, 2, 4, 50)
}
for num_steps, cloud in by_teacher.items():
    print(f"teacher, steps: {num_steps:>2}, distance: {distance(cloud):.3f}")

# %% tags=["hide"]
assert distance(by_teacher[50]) < 3 * floor
assert distance(by_teacher[4]) > 3 * floor
assert distance(by_teacher[1]) > 3 * distance(by_teacher[4])

# %% [markdown]
# With 50 steps it is done, with four it is not, and with one it is lost. Here is why. The lines are the ways of
# some points from noise to the S in 32 steps.

# %% tags=["fold"] alt="Left, bent lines from a cloud of noise to an S. Right, the points after one step: a small cloud in the middle of the S." caption="Paths bend, so one long step ends in the middle."
few_paths = imagegen.trajectories(
    teacher, 60, num_jumps=32, num_steps=32, seed=3
)
figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.5), sharex=True, sharey=True)
axes[0].plot(*few_paths.astype("float32").T, color="tab:blue", linewidth=0.6)
axes[0].plot(
    *few_paths[:, -1].T.astype("float32"), ".", color="tab:orange", markersize=4
)
axes[0].set(title="the paths", aspect="equal")
shown = teacher.to_samples(by_teacher[1][:1000])
axes[1].plot(
    *teacher.to_samples(points[:1000]).T,
    ".",
    color="tab:gray",
    markersize=1,
    alpha=0.5,
)
axes[1].plot(*shown.T, ".", color="tab:orange", markersize=2)
axes[1].set(title="after one step", aspect="equal")
plt.show()

# %% [markdown]
# The paths are bent. A step follows the tangent at its beginning, and the longer it is, the further from the path it
# ends. In pure noise the tangent points to the mean of all data, because from there anything can still
# come. So one long step takes every point to the middle.
#
# The model is not at fault. Its answer is the best guess of the clean point, and a guess is a mean. What a long
# step needs is another answer: the end of the path.
#
# ## A network that knows where a step ends
#
# The sampler stays as it is. A step of `DDIM` from time $t$ to $r$ mixes the clean sample with the noise that is left:
#
# $$x_r = s_r \hat x + n_r \frac{x_t - s_t \hat x}{n_t}$$
#
# with the noise rates $n$ and the signal rates $s$. Any $\hat x$ leads somewhere. We look for the one that leads to the
# point $x_r$ where the path is at time $r$. Solved for $\hat x$, the equation says
#
# $$\hat x = \frac{x_r - (n_r / n_t)\, x_t}{s_r - (n_r / n_t)\, s_t}.$$
#
# It depends on $r$. So the network is told both noise rates, that at the beginning of a step and that at its end.
# Such a network is called a *flow map*. For a short step its answer is that of any diffusion model. For a
# step to the very end, $n_r = 0$ and $s_r = 1$, it is $x_r$ itself.
#
# ## A student learns from paths
#
# To learn it, the student needs paths. Its teacher has some to offer: for thousands of noises, it walks in many
# steps, and we keep where it is at five levels, the noise and the end included.

# %%
paths = imagegen.trajectories(
    teacher,
    8192,
    num_steps=32,
    sampler=imagegen.DPMSolver2M(),
    seed=5,
    batch_size=4096,
)
print(paths.shape)

# %% [markdown]
# The student jumps from level to level: four jumps for a path. It also learns to do it in two jumps, and in
# one. Each batch draws some of these jumps at random, and the loss is the ordinary one.

# %%
student = imagegen.TrajectoryStudent(
    network(jumps=True), num_jumps=4, **settings
)
student.normalizer.set_weights(teacher.normalizer.get_weights())
train(student, paths, epochs=60)
by_student = {
    n: student.generate(10_000, num_steps=n, seed=0) for n in (1, 2, 4)
}
for num_steps, cloud in by_student.items():
    print(f"student, steps: {num_steps}, distance: {distance(cloud):.3f}")

# %% tags=["hide"]
assert all(distance(cloud) < 3 * floor for cloud in by_student.values())


# %% tags=["fold"] alt="Two rows of three clouds. The teacher's go from a blot to a rough S in 1, 2 and 4 steps; the student's are a clean S each time." caption="1, 2 and 4 steps: the teacher above, the student below."
def compare(rows):
    _, axes = plt.subplots(2, 3, figsize=(6.4, 4.4), sharex=True, sharey=True)
    for row, (name, clouds) in zip(axes, rows.items(), strict=True):
        for ax, num_steps in zip(row, (1, 2, 4), strict=True):
            ax.plot(
                *clouds[num_steps][:2000].T, ".", markersize=1, color="tab:blue"
            )
            ax.set(
                title=f"{name}, {num_steps} step{'s' * (num_steps > 1)}",
                aspect="equal",
            )
    plt.show()


compare({"teacher": by_teacher, "student": by_student})

# %% [markdown]
# The student draws the S in a single step, as well as its teacher does in 50. Why does this work where the
# teacher's one step fails? Each noise has one path and one end. So the student's target is no mean of many
# answers. It is one answer, and a network can learn it.
#
# ??? note "Where this comes from"
#     Learning the ends of paths from a trained model is the oldest way ([Luhman and Luhman](https://arxiv.org/abs/2101.02388),
#     2021). The equation for $\hat x$ is that of *progressive distillation*
#     ([Salimans and Ho](https://arxiv.org/abs/2202.00512), 2022), where students learn from students, each in
#     half the steps of the one before. *Consistency models* ([Song et al.](https://arxiv.org/abs/2303.01469), 2023)
#     ask that all points of a path give the same end.
#
# ## From nothing
#
# Can a network learn to jump when there is no teacher? On straight lines from data to noise,
# $z_t = (1 - t) x + t \epsilon$, a point moves at the velocity $v = \epsilon - x$. Flow matching learns
# the mean of this velocity at every place. A jump from $t$ to $r$ needs something else, the *average velocity* $u$ over
# the time of the jump:
#
# $$z_r = z_t - (t - r)\, u(z_t, r, t), \qquad (t - r)\, u = \int_r^t v\, d\tau$$
#
# The integral runs along a path that we don't have. But both sides can be differentiated by $t$, on the move along the
# path. The product rule on the left, and the end of the integral on the right:
#
# $$u + (t - r) \frac{du}{dt} = v \quad\Longrightarrow\quad u = v - (t - r) \frac{du}{dt}$$
#
# Nothing on the right needs a path. The velocity $v$ comes from the data, and how fast $u$ changes,
# $du/dt = v\, \partial_z u + \partial_t u$, is the slope of the network itself in one direction, which
# automatic differentiation gives in about the time of two evaluations. This is *MeanFlow*
# ([Geng et al.](https://arxiv.org/abs/2505.13447), 2025). The right side is the target, and the slope in it is taken as
# a number, with no gradient through it.
#
# ```source
# imagegen.MeanFlow.attempt
# ```
#
# Half of the examples are jumps, and the others have $r = t$, where the slope has no weight and what remains is
# flow matching. Most networks are told the time as sines and cosines, and their slopes are steep. This one is told the
# rates themselves. When we tried waves up to a frequency of 8, its S was a blot. (`power=0.0` lets all errors count
# alike. Above 0, large errors count less.)

# %%
keras.utils.set_random_seed(0)
flow = imagegen.MeanFlow(
    imagegen.point_mlp(2, width=96, jumps=True),
    power=0.0,
    averaging=0.998,
    value_range=None,
)
flow.normalizer.adapt(points)
train(flow, points, epochs=60)
by_flow = {n: flow.generate(10_000, num_steps=n, seed=0) for n in (1, 2, 4)}
for num_steps, cloud in by_flow.items():
    print(
        f"average velocity, steps: {num_steps}, distance: {distance(cloud):.3f}"
    )

# %% tags=["hide"]
assert distance(by_flow[1]) < distance(by_teacher[1]) / 5

# %% tags=["fold"] alt="Two rows of three clouds: the student's are a clean S; those of the average velocity are an S, somewhat thicker." caption="The student of paths above; the one that was taught by nobody below."
compare({"student": by_student, "average": by_flow})

# %% [markdown]
# One step draws an S here, too, with no teacher. It is a little thicker than the student's. What this network learns from is
# noisier: a single velocity that points anywhere, and a slope of its own, which is wrong for as long as the network
# is. The student only had to copy. But it needed a teacher, and the thousands of paths that this one
# walked.
#
# ## What is lost
#
# *The teacher's mistakes stay.* A student ends where its teacher does, and can't come nearer to the data. To see
# how well it copies, we let both start from the same noise, and compare the ends.

# %%
ends = {n: student.generate(10_000, num_steps=n, seed=0) for n in (1, 2, 4)}
size = np.linalg.norm(points - points.mean(axis=0), axis=1).mean()
for num_steps, cloud in ends.items():
    apart = np.linalg.norm(cloud - by_teacher[50], axis=1).mean() / size
    print(
        f"steps: {num_steps}, {apart:.1%} of the size of the S from where the "
        "teacher ends"
    )

# %% tags=["hide"]
apart = {
    n: np.linalg.norm(c - by_teacher[50], axis=1).mean() / size
    for n, c in ends.items()
}
assert max(apart.values()) < 0.15
shuffled = np.random.default_rng(0).permutation(by_teacher[50])
assert (
    max(apart.values())
    < np.linalg.norm(shuffled - by_teacher[50], axis=1).mean() / size / 5
)

# %% [markdown]
# *The paths cost.* Thousands of walks, of 32 steps each, come before the first batch. They pay off for those who then
# paint often.
#
# *Choices are built in.* A student of paths that were walked with guidance has learned this guidance, at this scale. It asks
# its network once in each step where guidance asks twice, but nobody can turn it up or
# down afterwards, nor give a negative prompt: both are refused.
#
# *Chance is gone.* A sampler that adds noise on the way, such as DDPM, has no path that one could follow. And
# methods that look back or ask twice in a step, such as DPM-Solver++ and Heun, are made for tangents. A flow
# map needs nothing but DDIM, and refuses the others. It also refuses to be inverted: small steps can be taken
# backwards, jumps can't. [Filling a hole](editing_pictures.py#inpainting) and the other edits work as before, and take as
# few steps as painting does.
#
# ## A student of pictures
#
# For pictures, all of this is the same. [student_of][imagegen.student_of] makes a student of any model with a
# `UNet`, in pixels or in latents. It begins with the weights of its teacher, and takes no notice yet of where a
# step ends.

# %%
painter = imagegen.LatentDiffusion.from_preset("captioned-64")
young = imagegen.student_of(painter, num_jumps=4)
painted_paths = imagegen.trajectories(
    painter, "a red flower", num_images=2, num_steps=8, seed=0
)
print(painted_paths.shape)

# %% tags=["hide"]
conditions = painter.encode_prompts(["a red flower"] * 2)
noisy = painted_paths[:, 1].astype("float32")
np.testing.assert_allclose(
    young.denoise(noisy, 0.75, young.encode_prompts(["a red flower"] * 2)),
    painter.denoise(noisy, 0.75, conditions),
    atol=1e-3,
)

# %% [markdown]
# `young.model.fit(paths, prompts)` would go on from here, with thousands of paths. The recipe `few_steps.py` does so,
# with 4,096 paths, walked at a guidance scale of 2. Its 12 epochs took 12 minutes on two busy cores. What came of it
# is the preset `captioned-64-fast`. It gets the same sentences and the same noise as its teacher.

# %% caption="Six sentences from the same noise, a row each: the teacher, its student in four, two and one evaluations, and the teacher in no more than four and two." alt="Six rows of six drawn flowers. The teacher's and the student's in four evaluations are hardly to be told apart, in two and one they are a little softer. The teacher in four evaluations is blurred, and in two a grey smear."
fast = imagegen.LatentDiffusion.from_preset("captioned-64-fast")
sentences = [
    "a red flower with three petals and a yellow centre on a blue background",
    "a white flower with six petals and a blue centre on a green background",
    "a purple flower with five petals and a yellow centre on a pink background",
    "an orange flower with eight petals and a pink centre on a blue background",
    "a pink flower with four petals and a red centre on a white background",
    "a blue flower with seven petals and a white centre on a yellow background",
]
rows = {
    "teacher, 40 evaluations": painter.generate(
        sentences, num_steps=20, guidance_scale=2.0, seed=7
    )
}
for num_steps in (4, 2, 1):
    rows[f"student, {num_steps}"] = fast.generate(
        sentences, num_steps=num_steps, seed=7
    )
for num_steps in (2, 1):
    rows[f"teacher, {2 * num_steps}"] = painter.generate(
        sentences, num_steps=num_steps, guidance_scale=2.0, seed=7
    )
titles = [
    name if first else "" for name in rows for first in (True, *[False] * 5)
]
imagegen.show(
    np.concatenate(list(rows.values())), columns=6, scale=2, titles=titles
)

# %% tags=["hide"]
for name, images in rows.items():
    told = imagegen.drawn.prompt_adherence(images, sentences)
    if name.startswith("student") or "40" in name:
        assert (
            min(told.petal_color, told.background_color, told.num_petals) == 1
        )
own, given = (
    rows[name].astype("float32")
    for name in ("student, 4", "teacher, 40 evaluations")
)
assert abs(own - given).mean() < 8
assert (
    abs(own - rows["teacher, 4"].astype("float32")).mean()
    > abs(own - given).mean()
)

# %% [markdown]
# With guidance, a step of the teacher takes two evaluations, so its 20 steps take 40. Left with four, it can't finish its
# flowers. The student can. Over 500 sentences, its four evaluations paint as many right colours and petals as the
# teacher's forty, to a point or two, in a seventh of the time (`benchmarks/few_steps.py`).
#
# A longer look shows what is lost. A student learns by the squared error, and what it can't foresee it
# averages: in one step, edges are soft and texture is faint. Pictures of one prompt also differ less. To see it, we
# paint one sentence twelve times over, and measure how far apart two of the pictures are.

# %%
again = [sentences[0]] * 12
clouds = {
    "teacher, 40": painter.generate(
        again, num_steps=20, guidance_scale=2.0, seed=1
    )
}
for num_steps in (4, 2, 1):
    clouds[f"student, {num_steps}"] = fast.generate(
        again, num_steps=num_steps, seed=1
    )
for name, cloud in clouds.items():
    spread = np.sqrt(
        2 * cloud.reshape(12, -1).astype("float32").var(axis=0, ddof=1).mean()
    )
    print(f"{name:12} {spread:.1f} levels apart")

# %% [markdown]
# ## A student of photographs
#
# Drawn flowers are few colours and plain shapes. Photographs have texture, and a path through them is harder to know by
# heart. The preset `flowers-64-species-fast` is a student of `flowers-64-species`. It learned from 8,192 paths to flowers
# with names, at a guidance scale of 3, and from 1,024 paths to flowers without. The same recipe made it, in an hour and
# a half on two busy cores. Nearly half of that time went to the paths.

# %% tags=["hero"] caption="Six species from the same noise: the teacher, its student in four, two and one evaluations, and the teacher in four." alt="Five rows of six flowers. The teacher's and those of its student in four, two and one evaluations are the same flowers. In one evaluation fine texture is a little coarse. The teacher's in four evaluations are blots of colour."
gardener = imagegen.DiffusionModel.from_preset("flowers-64-species")
hurried = imagegen.DiffusionModel.from_preset("flowers-64-species-fast")
species = [
    "sunflower",
    "rose",
    "oxeye daisy",
    "passion flower",
    "common dandelion",
    "hibiscus",
]
beds = {
    "teacher, 30 evaluations": gardener.generate(
        species, guidance_scale=3.0, seed=1
    )
}
for num_steps in (4, 2, 1):
    beds[f"student, {num_steps}"] = hurried.generate(
        species, num_steps=num_steps, seed=1
    )
beds["teacher, 4"] = gardener.generate(
    species, num_steps=2, guidance_scale=3.0, seed=1
)
titles = [
    name if first else "" for name in beds for first in (True, *[False] * 5)
]
imagegen.show(
    np.concatenate(list(beds.values())), columns=6, scale=2, titles=titles
)

# %% tags=["hide"]
ends = {name: images.astype("float32") for name, images in beds.items()}
goal = ends["teacher, 30 evaluations"]
far = {name: abs(images - goal).mean() for name, images in ends.items()}
assert far["student, 4"] < far["student, 2"] < far["student, 1"]
assert 1.5 * far["student, 4"] < far["teacher, 4"]

# %% [markdown]
# The flowers are the same in every row but the last. We measured 500 of them by [KID](how_good_is_it.py), their distance
# to photographs that nobody learned from (`benchmarks/few_steps.py`):
#
# | | evaluations | KID | two pictures of one species |
# |---|---|---|---|
# | teacher | 30 | 0.0051 ± 0.0015 | 80 levels apart |
# | student | 4 | 0.0029 ± 0.0011 | 80 |
# | student | 2 | 0.0046 ± 0.0013 | 78 |
# | student | 1 | 0.0052 ± 0.0014 | 76 |
# | teacher | 4 | 0.1088 ± 0.0043 | 35 |
#
# In one evaluation the student is as near to the photographs as its teacher is in thirty. In four it takes an eighth of
# the time. That it looks better there than its teacher proves little: they differ by hardly more than their errors. And variety is
# hardly lost.
#
# Both paint in your browser, too. The [flower painter](../explore/flower_painter.md?painter.network=student) begins
# with the student.

# %% [markdown]
# ## What we have learnt
#
# - A step follows the tangent of a bent path, so a long one misses. The answer of a long step would be the end of the path.
# - A flow map is told where a step ends. The sampler needs no change.
# - A student copies the paths of a teacher: one noise, one end, nothing to average.
# - Without a teacher, the slope of the network's own answer takes the place of the path.
#
# ## Exercises
#
# **1.** Take one jump by hand. Ask the student for the clean points that lead from noise to the middle of the way, and
# compute where they lead.

# %% tags=["solution"]
begin, middle = (
    imagegen.Level(*row)
    for row in imagegen.samplers.levels(student.schedule, 2)[:2]
)
noisy = np.random.default_rng(0).standard_normal((1000, 2)).astype("float32")
clean = keras.ops.convert_to_numpy(
    student.denoise(noisy, begin.time, until=middle)
)
noise = (noisy - begin.signal_rate * clean) / begin.noise_rate
reached = middle.signal_rate * clean + middle.noise_rate * noise

# %% tags=["hide", "solution"]
by_sampler = next(iter(student.sample_steps(1000, noise=noisy, num_steps=2)))[0]
np.testing.assert_allclose(reached, by_sampler, atol=1e-3)

# %% [markdown] tags=["solution"]
# It is what `DDIM` does in the first of two steps.

# %% [markdown]
# **2.** A student is no better than its paths. Let the teacher walk in eight steps of `DDIM`, and measure where its
# paths end.

# %% tags=["solution"]
hasty = imagegen.trajectories(
    teacher, 8192, num_steps=8, seed=5, batch_size=4096
)
print(
    "eight steps of DDIM: "
    f"{distance(teacher.to_images(hasty[:, -1].astype('float32'))):.4f}"
)
print(
    "32 of DPM-Solver++:  "
    f"{distance(teacher.to_images(paths[:, -1].astype('float32'))):.4f}"
)

# %% [markdown] tags=["solution"]
# A student of the first paths would learn their ends, errors and all.

# %% [markdown]
# **3.** Train a student on 100 paths instead of 8,192. What comes out?

# %% tags=["solution"] alt="A broken S: the points gather in clumps and stray between them"
few = imagegen.TrajectoryStudent(network(jumps=True), num_jumps=4, **settings)
few.normalizer.set_weights(teacher.normalizer.get_weights())
train(few, np.resize(paths[:100], (8192, *paths.shape[1:])), epochs=20)
cloud = few.generate(10_000, num_steps=1, seed=0)
print(f"one step: {distance(cloud):.3f}")
plt.figure(figsize=(2.2, 3.2))
plt.plot(*cloud[:2000].T, ".", markersize=1)
plt.gca().set_aspect("equal")
plt.show()

# %% tags=["hide", "solution"]
assert distance(cloud) > distance(by_student[1])

# %% [markdown] tags=["solution"]
# It knows the ends of a hundred noises, and has to guess all others. A network for pictures needs thousands of paths
# for the same reason.

# %% [markdown]
# Next: [Teach it a new word](a_new_word.py). In the reference: [trajectories][imagegen.trajectories],
# [TrajectoryStudent][imagegen.TrajectoryStudent], [MeanFlow][imagegen.MeanFlow],
# [FlowMap][imagegen.FlowMap].
