"""The diffusion lab computes what the package computes, and obeys mouse, touch and keys."""

import functools

import imagegen
from imagegen.samplers import levels, step_noise

import jax
import keras
import numpy as np
import pytest
from keras import ops

LAB = "explore/diffusion_lab/"
SCHEDULES = {
    "cosine": imagegen.CosineSchedule(max_signal_rate=0.999),
    "sigmoid": imagegen.DiscreteSchedule(imagegen.sigmoid_betas()),
    "linear": imagegen.DiscreteSchedule(imagegen.linear_betas()),
    "flow": imagegen.FlowSchedule(),
    "edm": imagegen.EDMSchedule(),
}
PREDICTIONS = {
    "noise": imagegen.NoisePrediction(),
    "image": imagegen.ImagePrediction(),
    "velocity": imagegen.VelocityPrediction(),
    "flow": imagegen.FlowPrediction(),
}
SAMPLERS = {
    ("ddim", 0): imagegen.DDIM(),
    ("ddim", 0.5): imagegen.DDIM(eta=0.5),
    ("ddpm", 0): imagegen.DDPM(),
    ("euler", 0): imagegen.Euler(),
    ("heun", 0): imagegen.Heun(),
    ("dpm", 0): imagegen.DPMSolver2M(),
}
RANDOM = np.random.default_rng(0)
DATA = RANDOM.normal(size=(12, 2)).astype("float32")
NOISE = RANDOM.normal(size=(40, 2)).astype("float32")
SEED, STEPS = 3, 10
# The walk of every test: `drawn` is the noise of the steps that draw any.
WALK = """([{ walk, samplerOf }, { SCHEDULES }, { evenLogSNR, levels }], denoise,
    { schedule, stops, sampler: [name, eta], noise, drawn, steps }) => {
    const one = SCHEDULES[schedule];
    const visited = levels(stops === "even" ? one : evenLogSNR(one), steps);
    const drawNoise = () => drawn.shift();
    const start = Float64Array.from(noise);
    return [...[...walk(samplerOf(name, eta), denoise, start, visited, drawNoise)].at(-1).noisy];
}"""


@pytest.fixture(scope="module")
def call(browser, root):
    """A function that calls JavaScript with some of the lab's modules and an argument."""
    page = browser.new_page()
    page.goto(root + "404.html")

    def call(script, names, argument=None):
        return page.evaluate(
            f"""async ([folder, names, argument]) => {{
                const load = name => import(`${{folder}}${{name}}.js`);
                return ({script})(await Promise.all(names.map(load)), argument);
            }}""",
            [root + LAB, names, argument],
        )

    yield call
    page.close()


@pytest.mark.parametrize("stops", ["even", "ratio"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_times_and_rates_are_the_packages(call, name, stops):
    schedule = SCHEDULES[name]
    if stops == "ratio":
        schedule = imagegen.EvenLogSNRSchedule(schedule)
    uniform = np.linspace(0, 0.999, 50)
    for steps in (1, 2, 7, 20, 100, 1000):
        found = call(
            """([{ SCHEDULES }, { evenLogSNR, levels }], [name, stops, steps]) =>
                levels(stops === "even" ? SCHEDULES[name] : evenLogSNR(SCHEDULES[name]), steps)
                    .map(({ time, noise, signal }) => [time, noise, signal])""",
            ["schedules", "../stops"],
            [name, stops, steps],
        )
        np.testing.assert_allclose(found, levels(schedule, steps)[: steps + 1], 1e-4, 1e-5)
    found = call(
        "([{ SCHEDULES }], [name, uniform]) => uniform.map(SCHEDULES[name].trainingTime)",
        ["schedules"],
        [name, uniform.tolist()],
    )
    wanted = ops.convert_to_numpy(schedule.training_times(uniform.astype("float32")))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


class Exact(imagegen.ImageGenerator):
    """The best denoiser of a list of points: their mean, each weighted by its likelihood."""

    sample_shape = (2,)

    def __init__(self, schedule):
        self.schedule = schedule

    def denoise(self, noisy, time, conditions=None):
        noise_rate, signal_rate = self.schedule(time)
        distances = ops.sum((noisy[:, None] - signal_rate * DATA) ** 2, axis=2)
        return ops.softmax(-distances / (2 * noise_rate**2)) @ DATA


def fresh_noise(sampler):
    """What the package draws in every step."""
    if not getattr(sampler, "eta", 0):
        return []
    seed = ops.convert_to_tensor(SEED, "int32")
    return [np.ravel(step_noise(NOISE, seed, step)).tolist() for step in range(STEPS)]


def walk_options(schedule, stops, sampler):
    return {
        "schedule": schedule,
        "stops": stops,
        "sampler": sampler,
        "noise": NOISE.ravel().tolist(),
        "drawn": fresh_noise(SAMPLERS[sampler]),
        "steps": STEPS,
    }


@pytest.mark.parametrize(
    ("sampler", "schedule", "stops"),
    [(sampler, "cosine", "even") for sampler in SAMPLERS]
    + [(("heun", 0), name, "even") for name in ("sigmoid", "linear", "flow", "edm")]
    + [(("ddpm", 0), name, "even") for name in ("flow", "edm")]
    + [(("dpm", 0), name, "ratio") for name in ("cosine", "linear", "edm")],
)
def test_samplers_end_where_the_packages_do(call, sampler, schedule, stops):
    visited = SCHEDULES[schedule]
    if stops == "ratio":
        visited = imagegen.EvenLogSNRSchedule(visited)
    wanted = Exact(visited).sample(
        len(NOISE), num_steps=STEPS, sampler=SAMPLERS[sampler], seed=SEED, noise=NOISE
    )
    found = call(
        f"""([exact, ...modules], [data, options]) =>
            ({WALK})(modules, exact.exactDenoiser(Float64Array.from(data)), options)""",
        ["exact", "../samplers", "schedules", "../stops"],
        [DATA.ravel().tolist(), walk_options(schedule, stops, sampler)],
    )
    np.testing.assert_allclose(np.reshape(found, (-1, 2)), wanted, atol=1e-4)


@functools.cache
def small_network():
    """A network whose head is not 0."""
    embedding = imagegen.SinusoidalEmbedding(8, max_frequency=5)
    network = imagegen.point_mlp(2, width=8, depth=2, time_embedding=embedding)
    random = np.random.default_rng(1)
    network.set_weights([random.normal(size=w.shape, scale=0.4) for w in network.get_weights()])
    return network


def flat(arrays):
    return np.concatenate([np.ravel(array) for array in arrays]).astype("float64").tolist()


SMALL = """
    const network = new PointMLP({ width: 8, depth: 2, embedding: 8, maxFrequency: 5 });
    network.weights.set(weights);"""


def test_the_network_and_its_gradient_are_those_of_keras(call):
    network, each = small_network(), 7  # Odd numbers, so that nothing comes out even.
    rates = np.float32([0.1, 0.5, 0.95])
    points = np.float32(RANDOM.normal(size=(3 * each, 2)))
    wanted = np.float32(RANDOM.normal(size=points.shape))

    def loss(weights):
        output, _ = network.stateless_call(weights, [], [points, np.repeat(rates, each)[:, None]])
        return ((output - wanted) ** 2).mean(), output

    weights = [variable.value for variable in network.trainable_variables]
    gradients, output = jax.grad(loss, has_aux=True)(weights)
    found = call(
        f"""([{{ PointMLP }}], [weights, points, rates, wanted]) => {{ {SMALL}
            const output = network.forward(Float64Array.from(points), rates).slice();
            const slope = output.map((value, i) => 2 * (value - wanted[i]) / output.length);
            return [[...output], [...network.backward(slope)]];
        }}""",
        ["network"],
        [flat(weights), points.ravel().tolist(), rates.tolist(), wanted.ravel().tolist()],
    )
    np.testing.assert_allclose(found[0], np.ravel(output), atol=1e-5)
    np.testing.assert_allclose(found[1], flat(gradients), atol=1e-5)


def test_adam_is_that_of_keras(call):
    gradients = RANDOM.normal(size=(5, 6), scale=0.5)
    variable = keras.Variable(np.ones(6, "float32"))
    optimizer = keras.optimizers.Adam(0.1, global_clipnorm=1.0)
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient, "float32")], [variable])
    found = call(
        """([{ Adam }], gradients) => {
            const weights = new Float64Array(6).fill(1), adam = new Adam(6);
            for (const gradient of gradients) adam.step(weights, Float64Array.from(gradient), 0.1);
            return [...weights];
        }""",
        ["network"],
        gradients.tolist(),
    )
    np.testing.assert_allclose(found, np.array(variable), atol=1e-5)


@pytest.mark.parametrize(
    ("prediction", "schedule"),
    [(prediction, "cosine") for prediction in PREDICTIONS] + [("noise", "flow"), ("flow", "edm")],
)
def test_a_network_samples_as_in_a_diffusion_model(call, prediction, schedule):
    model = imagegen.DiffusionModel(
        small_network(),
        schedule=SCHEDULES[schedule],
        prediction=PREDICTIONS[prediction],
        value_range=None,
    )
    wanted = model.sample(
        len(NOISE), num_steps=STEPS, sampler=imagegen.DDIM(), seed=SEED, noise=NOISE
    )
    found = call(
        f"""([{{ PointMLP }}, {{ learnedDenoiser }}, ...modules],
            [weights, prediction, options]) => {{ {SMALL}
            const denoise = learnedDenoiser(network, network.weights, prediction);
            return ({WALK})(modules, denoise, options);
        }}""",
        ["network", "training", "../samplers", "schedules", "../stops"],
        [
            flat(small_network().get_weights()),
            prediction,
            walk_options(schedule, "even", ("ddim", 0)),
        ],
    )
    scale = max(1, np.abs(wanted).max())  # What an untrained network says may lead far away.
    np.testing.assert_allclose(np.reshape(found, (-1, 2)) / scale, wanted / scale, atol=1e-4)


def test_targets_are_the_packages(call):
    clean, noise = 0.7, -1.2
    for name, prediction in PREDICTIONS.items():
        found = call(
            "([{ PREDICTIONS }], [name, ...numbers]) => PREDICTIONS[name].target(...numbers)",
            ["predictions"],
            [name, clean, noise, 0.6, 0.8],
        )
        assert abs(found - prediction.target(clean, noise, 0.6, 0.8)) < 1e-9


def test_the_distance_is_the_packages(call):
    points, others = RANDOM.normal(size=(2, 500, 2)) * [[[1, 1]], [[1, 1.5]]]
    found = call(
        "([{ slicedWasserstein }], clouds) => slicedWasserstein(...clouds)",
        ["distance"],
        [points.ravel().tolist(), others.ravel().tolist()],
    )
    wanted = imagegen.sliced_wasserstein_distance(points, others, num_directions=2000)
    assert abs(found / wanted - 1) < 0.03


def test_what_is_learned_is_as_near_as_what_the_package_learns(call):
    steps, count = 400, 1000
    learned = call(
        """([{ Training }, { SCHEDULES }, { drawPoints, normalizer }, { normals, uniformOf },
            { samplerOf, walk }, { levels }], [numSteps, count]) => {
            const points = drawPoints("s-curve", count, 0);
            const data = normalizer(points).normalize(points);
            const schedule = SCHEDULES.cosine, prediction = "noise";
            const training = new Training(data, { schedule, prediction, numSteps });
            while (!training.done) training.advance();
            const noise = normals(uniformOf(1), 2 * count), stops = levels(schedule, 20);
            const way = walk(samplerOf("ddim"), training.denoise, noise, stops);
            return [data, [...way].at(-1).noisy].map(values => [...values]);
        }""",
        ["training", "schedules", "points", "../random", "../samplers", "../stops"],
        [steps, count],
    )
    data, ours = (np.reshape(values, (-1, 2)).astype("float32") for values in learned)
    keras.utils.set_random_seed(0)
    embedding = imagegen.SinusoidalEmbedding(32, max_frequency=30)
    model = imagegen.DiffusionModel(
        imagegen.point_mlp(2, width=48, time_embedding=embedding),
        schedule=SCHEDULES["cosine"],
        loss="mean_squared_error",
        averaging=0.99,
        value_range=None,
    )
    rate = keras.optimizers.schedules.CosineDecay(1e-2, steps)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0))
    batches = np.concatenate([data] * 60)[: 128 * steps]
    model.fit(batches, batch_size=128, epochs=1, verbose=0)
    theirs = model.sample(count, num_steps=20, sampler=imagegen.DDIM(), seed=0)
    distance = imagegen.sliced_wasserstein_distance
    assert distance(ours, data) <= 2 * distance(theirs, data)


class Lab:
    """The lab's page, awake."""

    def __init__(self, page, url):
        self.page = page
        page.goto(url)
        self.wait()

    def wait(self):
        self.page.wait_for_selector(".exhibit[data-awake]")

    def control(self, name):
        return self.page.locator(f".lab [name={name}]")

    @property
    def step(self):
        """How many training steps have been taken."""
        words = self.page.locator(".lab-progress output").inner_text().split()
        return int(words[1]) if words[0] == "Step" else 0

    def wait_for_step(self, step):
        self.page.wait_for_function(
            """step => document.querySelector(".lab-progress output").textContent
                .split(" ")[1] >= step""",
            arg=step,
        )

    def wait_for_button(self, text):
        self.page.wait_for_function(
            "text => document.querySelector('[name=train]').textContent == text", arg=text
        )

    def wait_for_address(self, part):
        self.page.wait_for_function("part => location.search.includes(part)", arg=part)

    def picture(self):
        return self.page.evaluate("() => document.querySelector('.lab-learned').toDataURL()")


@pytest.fixture
def open_lab(browser, root):
    """A function that opens the lab, set to a state."""
    pages = []

    def open_lab(query="", **options):
        pages.append(browser.new_page(**options))
        errors = []
        pages[-1].on("pageerror", lambda error: errors.append(error))
        lab = Lab(pages[-1], root + LAB + query)
        lab.errors = errors
        return lab

    yield open_lab
    for page in pages:
        page.close()


def test_the_button_trains_pauses_and_goes_on(open_lab):
    lab = open_lab()
    train, before = lab.control("train"), lab.picture()
    train.focus()
    lab.page.keyboard.press("Enter")
    lab.wait_for_step(50)
    train.click()
    lab.page.wait_for_function(
        "() => document.querySelector('[name=train]').textContent == 'Train on'"
    )
    stopped = lab.step
    lab.page.wait_for_timeout(300)
    assert lab.step == stopped
    assert lab.picture() != before
    train.click()
    lab.wait_for_step(stopped + 20)
    # Another prediction is another network.
    lab.control("prediction").select_option("velocity")
    lab.page.wait_for_function(
        "() => document.querySelector('[name=train]').textContent == 'Train'"
    )
    assert lab.step == 0
    assert lab.errors == []


def test_frames_do_not_wait_for_training(open_lab):
    lab = open_lab()
    lab.control("train").click()
    lab.wait_for_step(10)
    gaps = lab.page.evaluate("""() => new Promise(answer => {
        const times = [];
        const next = now => {
            times.push(now);
            if (now - times[0] < 1500) return requestAnimationFrame(next);
            answer(times.slice(1).map((time, i) => time - times[i]));
        };
        requestAnimationFrame(next);
    })""")
    # 60 frames a second leave 17; a busy machine may skip some.
    assert np.median(gaps) < 34


def test_settings_are_in_the_address_and_survive_a_reload(open_lab):
    lab = open_lab("?other=1#the-diffusion-lab")
    chosen = {"points": "spiral", "prediction": "flow", "schedule": "edm", "sampler": "ddim"}
    for name, value in chosen.items():
        lab.control(name).select_option(value)
    lab.control("eta").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.control("at").focus()
    lab.page.keyboard.press("End")
    lab.control("seed").fill("7")
    lab.control("guesses").check()
    lab.page.locator(".lab-chart summary").click()
    for part in ("lab.chart=1", "lab.seed=7", "lab.eta=0.1", "lab.at=1", "other=1"):
        lab.wait_for_address(part)
    before = lab.page.url
    lab.page.reload()
    lab.wait()
    for name, value in {**chosen, "eta": "0.1", "at": "1", "seed": "7"}.items():
        assert lab.control(name).input_value() == value
    assert lab.control("guesses").is_checked()
    assert lab.page.locator(".lab-chart").get_attribute("open") is not None
    assert lab.page.url == before
    assert lab.errors == []


def test_nonsense_in_the_address_is_passed_over(open_lab):
    lab = open_lab(
        "?lab.points=no&lab.sampler=&lab.steps=x&lab.at=9&lab.seed=-4&lab.strokes=!&lab.x=1"
    )
    assert lab.control("points").input_value() == "s-curve"
    assert lab.control("sampler").input_value() == "dpm"
    assert lab.control("at").input_value() == "1"
    assert lab.control("seed").input_value() == "0"
    assert lab.errors == []


def drawn(lab):
    """Waits until a drawing is in the address, and returns it."""
    lab.wait_for_address("lab.strokes=")
    return lab.page.url.split("lab.strokes=")[1].split("&")[0]


def test_a_mouse_draws_and_the_drawing_survives_a_reload(open_lab):
    lab = open_lab("?lab.points=drawn")
    assert lab.control("train").is_disabled()
    box = lab.page.locator(".lab-learned").bounding_box()
    lab.page.mouse.move(box["x"] + 50, box["y"] + 60)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + 150, box["y"] + 200, steps=5)
    lab.page.mouse.up()
    strokes = drawn(lab)
    lab.page.reload()
    lab.wait()
    assert drawn(lab) == strokes
    lab.control("train").click()
    lab.wait_for_step(10)
    lab.control("clear").click()
    lab.page.wait_for_function("() => !location.search.includes('strokes')")
    assert lab.control("train").is_disabled()
    assert lab.errors == []


def test_keys_draw(open_lab):
    lab = open_lab("?lab.points=drawn")
    lab.page.locator(".lab-learned").focus()
    for key in ("ArrowLeft", "Space", "ArrowUp", "ArrowUp", "ArrowRight", "Space", "ArrowUp"):
        lab.page.keyboard.press(key)
    assert len(drawn(lab)) == 4 * 4
    lab.control("undo").click()
    lab.page.wait_for_function("() => !location.search.includes('strokes')")


def test_a_finger_draws_and_the_page_rests(open_lab):
    lab = open_lab("?lab.points=drawn", has_touch=True, viewport={"width": 390, "height": 800})
    box = lab.page.locator(".lab-learned").bounding_box()
    session = lab.page.context.new_cdp_session(lab.page)
    x, y = box["x"] + 100, box["y"] + 80

    def touch(kind, *points):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    touch("touchStart", {"x": x, "y": y})
    for i in range(1, 5):
        touch("touchMove", {"x": x + 10 * i, "y": y + 15 * i})
    touch("touchEnd")
    assert len(drawn(lab)) > 4
    assert lab.page.evaluate("() => scrollY") == 0


def test_the_exact_answer_can_stand_beside(open_lab):
    lab = open_lab("?lab.answer=both&lab.arrows=score&lab.schedule=edm&lab.sampler=ddpm")
    lab.page.locator(".lab-distance", has_text="exact answer").wait_for()
    boxes = [lab.page.locator(f".lab-{name}").bounding_box() for name in ("learned", "exact")]
    assert boxes[0]["width"] == boxes[1]["width"] > 100
    assert boxes[0]["y"] == boxes[1]["y"]
    assert lab.errors == []


def test_play_moves_and_who_wants_no_motion_sees_stills(open_lab):
    for motion, moves in (("no-preference", True), ("reduce", False)):
        lab = open_lab(reduced_motion=motion)
        lab.control("play").click()
        # By a clock, as the stills are: a page that does not move may be given no frames.
        at = lab.page.wait_for_function(
            "() => +document.querySelector('[name=at]').value", polling=50
        )
        assert (at.json_value() in (0.25, 0.5, 0.75, 1)) != moves
        lab.control("play").click()
        assert lab.control("play").inner_text() == "Play"
        assert lab.errors == []
