"""Models that jump: on points whose paths are known in closed form, and on small pictures."""

import imagegen
from imagegen._tangents import value_and_slope
from imagegen.distillation import _with_stops
from imagegen.samplers import Level, levels

import keras
import numpy as np
import pytest
from keras import ops
from strategies import normal

MEAN, DEVIATION = np.float32([0.7, -0.4]), 0.3


class Normal(imagegen.ImageGenerator):
    """The ideal denoiser of normally distributed points, with a path in closed form."""

    sample_shape = (2,)

    def __init__(self, schedule: imagegen.Schedule):
        self.schedule = schedule

    def denoise(self, noisy, time, conditions=None):
        noise_rate, signal_rate = self.schedule(time)
        share = signal_rate * DEVIATION**2 / (signal_rate**2 * DEVIATION**2 + noise_rate**2)
        mean = ops.convert_to_tensor(MEAN)
        return mean + share * (noisy - signal_rate * mean)

    def path(self, noisy: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Where points that begin at the first level are at each: they keep their quantile."""
        spread = np.hypot(table[:, 2] * DEVIATION, table[:, 1])
        quantiles = (noisy - table[0, 2] * MEAN) / spread[0]
        return table[:, 2, None] * MEAN + spread[:, None] * quantiles[:, None]


SCHEDULES = [
    imagegen.CosineSchedule(0.02, 0.999),
    imagegen.FlowSchedule(),
    imagegen.EvenLogSNRSchedule(imagegen.CosineSchedule(0.02, 0.999)),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_trajectories_follow_the_path_of_the_ordinary_differential_equation(schedule):
    teacher = Normal(schedule)
    sampler = imagegen.DPMSolver2M()
    paths = imagegen.trajectories(teacher, 50, num_steps=200, sampler=sampler, seed=3)
    table = levels(schedule.evenly(), 4)[:5]
    expected = teacher.path(paths[:, 0].astype("float32"), table)
    # The last step goes to the estimate itself, whatever noise is left.
    np.testing.assert_allclose(paths[:, :4], expected[:, :4], atol=4e-3)
    np.testing.assert_allclose(paths[:, 4], expected[:, 4], atol=3e-2)


@pytest.mark.parametrize("num_jumps", [1, 3, 4])
def test_trajectories_end_where_the_teacher_does(num_jumps):
    teacher = Normal(imagegen.CosineSchedule())
    paths = imagegen.trajectories(teacher, 7, num_jumps=num_jumps, num_steps=12, seed=1)
    assert paths.shape == (7, num_jumps + 1, 2)
    ends = teacher.sample(7, num_steps=12, seed=1)
    # 12 is a multiple: the teacher visits the stops anyway.
    np.testing.assert_allclose(paths[:, -1], ends, atol=2e-3)
    few = imagegen.trajectories(teacher, 7, num_jumps=num_jumps, num_steps=12, seed=1, batch_size=3)
    np.testing.assert_array_equal(few, paths)


def test_stops_are_visited_once():
    schedule = imagegen.CosineSchedule()
    own = levels(schedule, 8)[:8]
    table, kept = _with_stops(own, schedule, 4)
    assert kept == [0, 2, 4, 6, 8]
    np.testing.assert_allclose(table, levels(schedule, 8), atol=1e-6)


def test_a_sampler_that_adds_noise_has_no_trajectories():
    with pytest.raises(ValueError, match="`sampler` must add no noise"):
        imagegen.trajectories(Normal(SCHEDULES[0]), 2, sampler=imagegen.DDPM())


def jumper() -> keras.Model:
    # Low frequencies: the slope of high ones is steep, and average velocities learn from slopes.
    waves = imagegen.SinusoidalEmbedding(8, max_frequency=2)
    keras.utils.set_random_seed(0)
    return imagegen.point_mlp(width=64, time_embedding=waves, jumps=True)


def trained(model: imagegen.DiffusionModel, data, *, epochs: int, rate: float = 3e-3):
    keras.utils.set_random_seed(0)
    steps = epochs * -(-len(data) // 256)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    model.fit(data, batch_size=256, epochs=epochs, verbose=0)
    return model


def test_a_student_lands_where_its_teacher_does_in_one_two_and_four_jumps():
    teacher = Normal(SCHEDULES[0])
    paths = imagegen.trajectories(teacher, 1024, num_steps=100, seed=0, batch_size=1024)
    network = jumper()
    student = imagegen.TrajectoryStudent(
        network,
        schedule=teacher.schedule,
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
        value_range=None,
        averaging=0.99,
    )
    trained(student, paths, epochs=75)
    noise = normal(5, 200, 2)
    table = levels(teacher.schedule, 1)[:2]
    expected = teacher.path(noise, table)[:, -1]
    for num_steps in (1, 2, 4):
        ends = student.sample(200, noise=noise, num_steps=num_steps)
        assert np.abs(ends - expected).mean() < 0.05, num_steps
    # An ordinary model needs many steps for that: one alone gives the mean of all.
    blind = teacher.sample(200, noise=noise, num_steps=1)
    assert np.abs(blind - expected).mean() > 0.2


def test_the_average_velocity_to_a_single_point_has_no_loss():
    # All paths lead straight to one point: there the identity holds for each sample.
    point = np.float32([0.5, -1.0])
    noisy, noise_rates = keras.Input((2,)), keras.Input((1,))
    end_rates = keras.Input((1,))
    # The network is told rates of unit variance; n / (1 - n) is the same in both.
    ratio = noise_rates * ops.rsqrt(1.0 - noise_rates**2)
    rate = ratio / (1.0 + ratio)
    scale = ops.sqrt(rate**2 + (1.0 - rate) ** 2)
    towards = keras.layers.Rescaling(1.0, offset=(-point).tolist())(noisy * scale)
    exact = keras.Model([noisy, noise_rates, end_rates], towards / rate)
    model = imagegen.MeanFlow(exact, value_range=None, power=0.0)
    clean = np.tile(point, (64, 1))
    seed = keras.random.SeedGenerator(1)
    _, output, target, weights = model.attempt(exact, ops.convert_to_tensor(clean), [], seed)
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (output, target)), atol=2e-3)
    assert np.ptp(ops.convert_to_numpy(weights)) == 0


def test_mean_flow_learns_the_jump_between_normal_distributions():
    data = MEAN + DEVIATION * normal(1, 1024, 2)
    network = jumper()
    model = imagegen.MeanFlow(network, value_range=None, averaging=0.99, power=0.0)
    trained(model, data, epochs=150)
    teacher, noise = Normal(imagegen.FlowSchedule()), normal(5, 400, 2)
    expected = teacher.path(noise, levels(teacher.schedule, 1)[:2])[:, -1]
    for num_steps in (1, 2):
        ends = model.sample(400, noise=noise, num_steps=num_steps)
        error = np.abs(ends - expected).mean()
        assert error < 0.1, (num_steps, error)


@pytest.mark.parametrize("kind", [imagegen.TrajectoryStudent, imagegen.MeanFlow])
def test_what_jumps_comes_back_from_a_file(kind, tmp_path):
    network = imagegen.UNet(8, [8], block_depth=1, norm="group", embedding_dim=8, jumps=True)
    model = kind(network, **{"num_jumps": 2} if kind is imagegen.TrajectoryStudent else {})
    random = np.random.default_rng(0)
    for weight in (*model.network.weights, *model.averaged.weights):
        weight.assign(0.1 * random.standard_normal(weight.shape))
    model.normalizer.adapt(random.integers(0, 256, (4, 8, 8, 3)).astype("float32"))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is kind
    options = {"num_steps": 2, "seed": 0}
    np.testing.assert_array_equal(again.generate(2, **options), model.generate(2, **options))


def test_the_slope_is_that_of_the_closed_form():
    x, y, dx, dy = (ops.convert_to_tensor(normal(seed, 5)) for seed in range(4))
    value, slope = value_and_slope(lambda x, y: x**2 * ops.sin(y), (x, y), (dx, dy))
    x, y, dx, dy, value, slope = map(ops.convert_to_numpy, (x, y, dx, dy, value, slope))
    np.testing.assert_allclose(value, x**2 * np.sin(y), rtol=1e-5)
    expected = 2 * x * np.sin(y) * dx + x**2 * np.cos(y) * dy
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)


def test_what_is_assigned_under_way_is_assigned():
    """Twice, one value upon the other, and neither is a thing of the differentiation."""
    total = keras.Variable(1.0, trainable=False)

    def function(x):
        for _ in range(2):
            total.assign(total + ops.sum(x))
        return total * x

    x, dx = (ops.convert_to_tensor(normal(seed, 3)) for seed in range(2))
    value, slope = value_and_slope(function, (x,), (dx,))
    x, dx, value, slope = map(ops.convert_to_numpy, (x, dx, value, slope))
    expected = 1 + 2 * x.sum()
    assert float(ops.convert_to_numpy(total)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(value, expected * x, rtol=1e-5)
    if keras.backend.backend() != "tensorflow":  # Whose variables are constants to a slope.
        np.testing.assert_allclose(slope, expected * dx + 2 * dx.sum() * x, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_keeps_its_statistics_while_average_velocities_are_learned(training):
    keras.utils.set_random_seed(0)
    network = imagegen.UNet(4, [4], block_depth=1, embedding_dim=4, jumps=True, norm="batch")
    model = imagegen.MeanFlow(network, averaging=0.0)
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), "uint8")
    model.normalizer.adapt(images)
    (norm,) = (
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    )
    before = ops.convert_to_numpy(norm.moving_mean).copy()
    if training:
        model.compile("adam")
        model.fit(images, batch_size=4, verbose=0)
    else:
        model.call(images.astype("float32"), training=False)
    changed = np.abs(ops.convert_to_numpy(norm.moving_mean) - before).max()
    assert np.isfinite(changed)
    assert (changed > 1e-3) == training


@pytest.mark.parametrize("teacher", [None, "flowers-64", imagegen.point_mlp(width=2)], ids=str)
def test_only_a_diffusion_model_has_a_student(teacher):
    with pytest.raises(ValueError, match="`teacher` must be a DiffusionModel"):
        imagegen.student_of(teacher)


def test_autoguidance_of_a_model_that_jumps_moves_away_from_one_that_does_not():
    network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, jumps=True)
    poorer = imagegen.UNet(8, [8], block_depth=1)
    model = imagegen.MeanFlow(network, guiding_network=poorer, value_range=None)
    plain = imagegen.MeanFlow(network, value_range=None)
    # Both networks begin with the same answer.
    options = {"num_steps": 2, "seed": 0}
    np.testing.assert_allclose(model.sample(1, **options), plain.sample(1, **options), atol=1e-4)


def untrained_student(**options):
    keras.utils.set_random_seed(0)
    network = imagegen.point_mlp(width=4, jumps=True)
    return imagegen.TrajectoryStudent(network, num_jumps=2, value_range=None, **options)


@pytest.mark.parametrize(
    "sampler",
    [imagegen.DDPM(), imagegen.DDIM(eta=0.5), imagegen.Heun(), imagegen.DPMSolver2M()],
    ids=str,
)
def test_what_is_made_for_tangents_takes_no_jumps(sampler):
    with pytest.raises(ValueError, match="`sampler` must go straight"):
        untrained_student().generate(1, sampler=sampler, seed=0)


def test_euler_jumps_as_ddim_does():
    student = untrained_student()
    one, other = (
        student.generate(4, num_steps=2, sampler=sampler, seed=0)
        for sampler in (imagegen.DDIM(), imagegen.Euler())
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("options", [{"guidance_scale": 3.0}, {"negative_prompts": "cat"}])
def test_a_student_is_not_guided_a_second_time(options):
    network = imagegen.UNet(4, [4], block_depth=1, embedding_dim=4, condition_dim=4, jumps=True)
    student = imagegen.TrajectoryStudent(
        network, num_jumps=2, encoder=imagegen.LabelEncoder(["cat", "dog"], 4)
    )
    student.normalizer.adapt(np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), "uint8"))
    with pytest.raises(ValueError, match="guidance built in"):
        student.generate("dog", seed=0, **options)
    assert student.generate("dog", num_steps=1, seed=0).shape == (1, 4, 4, 3)


class Jumping(imagegen.ImageGenerator):
    """Knows the end of each path, one grey picture, and how many jumps it was asked for."""

    sample_shape, jumps, value_range = (4, 4, 3), True, (0, 255)
    grey = np.float32(0.2)

    def __init__(self):
        self.schedule = imagegen.FlowSchedule()

    def denoise(self, noisy, time, conditions=None, *, until):
        # Halfway a jump leads to twice as bright a picture: so it shows where a step was to end.
        clean = self.grey * ops.where(until.noise_rate == 0, 1.0, 2.0)
        return ops.zeros_like(noisy) + clean

    def to_images(self, samples):
        return np.rint(np.clip(127.5 * (np.asarray(samples) + 1), 0, 255)).astype("uint8")

    def to_samples(self, images):
        return (np.asarray(images) / 127.5 - 1).astype("float32")


def test_a_student_fills_a_hole_by_jumps():
    """The kept pixels are the given ones, the others are where the last jump leads."""
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), "uint8")
    hole = np.zeros((4, 4), bool)
    hole[1:3, 1:] = True
    filled = imagegen.inpaint(Jumping(), images, hole, num_steps=3, num_resamplings=2, seed=0)
    expected = np.where(hole[..., None], Jumping().to_images(Jumping.grey), images)
    np.testing.assert_array_equal(filled, expected)


def test_filling_all_by_jumps_is_painting():
    keras.utils.set_random_seed(0)
    network = imagegen.UNet(4, [4], block_depth=1, embedding_dim=4, jumps=True)
    student = imagegen.TrajectoryStudent(network, num_jumps=2)
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), "uint8")
    student.normalizer.adapt(images)
    everything = np.ones((4, 4), bool)
    painted = imagegen.inpaint(student, images, everything, num_resamplings=1, seed=4)
    np.testing.assert_array_equal(painted, student.generate(3, seed=4))
    assert imagegen.outpaint(student, images, 2, num_resamplings=1).shape == (3, 8, 8, 3)


def test_a_student_enlarges_a_picture_whose_means_it_keeps():
    small = np.random.default_rng(1).integers(60, 200, (2, 2, 2, 3), "uint8")
    large = imagegen.super_resolve(Jumping(), small, 2, num_steps=2, seed=0)
    means = large.reshape(2, 2, 2, 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(means, small, atol=1)


@pytest.mark.parametrize("function", ["inpaint", "super_resolve"])
def test_what_is_made_for_tangents_takes_no_jumps_in_an_edit(function):
    given = {"inpaint": np.ones((4, 4), bool), "super_resolve": 2}[function]
    images = np.zeros((1, 4, 4, 3) if function == "inpaint" else (1, 2, 2, 3), "uint8")
    with pytest.raises(ValueError, match="`sampler` must go straight"):
        getattr(imagegen, function)(
            Jumping(), images, given, sampler=imagegen.DPMSolver2M(), num_steps=2, seed=0
        )


def test_jumps_are_not_taken_backwards():
    images = np.zeros((2, 4, 4, 3), "uint8")
    with pytest.raises(ValueError, match="`model` must go in small steps"):
        imagegen.ddim_inversion(Jumping(), images, num_steps=2)
    with pytest.raises(ValueError, match="`model` must go in small steps"):
        imagegen.interpolate_images(Jumping(), *images, num_steps=2)


def test_a_student_of_a_student_begins_where_its_teacher_is():
    keras.utils.set_random_seed(0)
    teacher = imagegen.TrajectoryStudent(
        imagegen.UNet(4, [4], block_depth=1, embedding_dim=4, jumps=True), num_jumps=4
    )
    teacher.normalizer.adapt(np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), "uint8"))
    for layer in teacher.averaged.layers:
        layer.set_weights([weight + 0.05 for weight in layer.get_weights()])
    student = imagegen.student_of(teacher, num_jumps=2)
    np.testing.assert_array_equal(
        student.generate(2, num_steps=2, seed=0), teacher.generate(2, num_steps=2, seed=0)
    )


@pytest.mark.parametrize("function", ["learn_concept", "Rehearsal"])
def test_what_teaches_by_pictures_refuses_a_student(function):
    options = {"condition_dim": 4, "jumps": True, "embedding_dim": 4}
    if function == "Rehearsal":
        encoder = imagegen.LabelEncoder(["cat"], 4)
        given, message = [["cat"]], "`model` must go in small steps"
    else:
        encoder = imagegen.TextEncoder(imagegen.WordTokenizer.fit(["a cat"]), 4)
        options |= {"context_shape": (encoder.tokenizer.length, 4), "attention_resolutions": [4]}
        given, message = [np.zeros((3, 4, 4, 3)), "sks"], "`model` must learn from pictures"
    student = imagegen.TrajectoryStudent(
        imagegen.UNet(4, [4], block_depth=1, **options), num_jumps=2, encoder=encoder
    )
    student.normalizer.adapt(np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), "uint8"))
    to_teach = {"initial_word": "cat", "prompts": ["a sks"] * 3}
    to_teach = to_teach if function == "learn_concept" else {}
    with pytest.raises(ValueError, match=message):
        getattr(imagegen, function)(student, *given, **to_teach)


def attempted(output_of, clean, **options):
    """What `MeanFlow.attempt` gives for a network in closed form, always with the same draws."""
    noisy, noise_rates, end_rates = keras.Input((2,)), keras.Input((1,)), keras.Input((1,))
    # The network is told rates of unit variance, and sees samples of unit variance.
    begin, end = (
        rate / (rate + ops.sqrt(ops.maximum(1.0 - rate**2, 1e-12)))
        for rate in (noise_rates, end_rates)
    )
    seen = noisy * ops.sqrt(begin**2 + (1.0 - begin) ** 2)
    network = keras.Model([noisy, noise_rates, end_rates], output_of(seen, begin, end))
    model = imagegen.MeanFlow(network, value_range=None, **options)
    seed = keras.random.SeedGenerator(1)
    given = model.attempt(network, ops.convert_to_tensor(clean), [], seed)
    return [ops.convert_to_numpy(tensor).astype("float64") for tensor in given]


def test_half_of_the_average_velocities_are_velocities_and_jumps_lead_towards_the_picture():
    clean = np.zeros((4000, 2), "float32")
    begin = attempted(lambda seen, begin, end: begin + 0.0 * seen, clean)[1][:, 0]
    end = attempted(lambda seen, begin, end: end + 0.0 * seen, clean)[1][:, 0]
    jumps = np.abs(begin - end) > 1e-5
    assert jumps.mean() == pytest.approx(0.5, abs=0.03)
    assert (end[jumps] < begin[jumps]).all()
    # The larger and the smaller of two uniform draws.
    assert begin.mean() == pytest.approx(2 / 3, abs=0.02)
    assert end[jumps].mean() == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.5])
def test_the_target_and_the_weight_of_a_known_network_are_those_of_the_identity(power):
    """Where the network gives z + t^2, its slope along the path is v + 2 t."""
    clean = 2 * normal(3, 300, 2)
    begin = attempted(lambda seen, begin, end: begin + 0.0 * seen, clean)[1]
    end = attempted(lambda seen, begin, end: end + 0.0 * seen, clean)[1]
    noisy = attempted(lambda seen, begin, end: seen, clean)[1]
    estimate, output, target, weights = attempted(
        lambda seen, begin, end: seen + begin**2, clean, power=power
    )
    velocity = (noisy - clean) / begin
    np.testing.assert_allclose(output, noisy + begin**2, atol=1e-4)
    expected = velocity - (begin - end) * (velocity + 2 * begin)
    # Beyond, the rate that the network is told is 1 in single precision, and has no slope.
    told = begin[:, 0] < 0.99
    np.testing.assert_allclose(target[told], expected[told], atol=2e-3, rtol=2e-3)
    np.testing.assert_allclose(estimate[told], (noisy - begin * output)[told], atol=1e-4)
    errors = np.mean((output - target) ** 2, axis=1, keepdims=True)
    np.testing.assert_allclose(weights, 1 / (errors + 1e-3) ** power, rtol=1e-4)
    assert velocity.std() == pytest.approx(np.sqrt(5), rel=0.1)


def test_without_an_end_a_jump_goes_to_the_clean_sample():
    network = imagegen.point_mlp(width=8, jumps=True)
    model = imagegen.FlowMap(network, value_range=None)
    random = np.random.default_rng(0)
    for weight in model.averaged.weights:
        weight.assign(random.standard_normal(weight.shape))
    noisy = normal(0, 5, 2)
    whole, clean, nearer = (
        ops.convert_to_numpy(model.denoise(noisy, 0.7, until=until))
        for until in (None, Level(0.0, 0.0, 1.0), Level(0.3, 0.5, 0.5))
    )
    np.testing.assert_array_equal(whole, clean)
    assert np.abs(whole - nearer).max() > 1e-3
    # Only the ratio of the rates says how noisy the end is.
    scaled = model.denoise(noisy, 0.7, until=Level(0.3, 0.2, 0.2))
    np.testing.assert_allclose(ops.convert_to_numpy(scaled), nearer, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": imagegen.CosineSchedule()}, "`schedule` must be a FlowSchedule"),
        ({"prediction": imagegen.NoisePrediction()}, "`prediction` must be a FlowPrediction"),
        ({"weighting": imagegen.MinSNRWeighting()}, "`weighting` must be a PlainWeighting"),
        ({"power": -0.1}, "`power`"),
    ],
)
def test_average_velocities_are_those_of_straight_lines(options, message):
    with pytest.raises(ValueError, match=message):
        imagegen.MeanFlow(imagegen.point_mlp(width=8, jumps=True), **options)


def test_the_power_of_the_weights_is_saved():
    model = imagegen.MeanFlow(imagegen.point_mlp(width=8, jumps=True), power=0.75)
    assert imagegen.MeanFlow.from_config(model.get_config()).power == 0.75
