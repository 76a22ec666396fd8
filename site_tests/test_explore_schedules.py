"""The slider's rates and mixtures are the package's, for mouse, touch and keys."""

import re

import imagegen

import numpy as np
import pytest

PAGE = "explore/schedules/"
SCHEDULES = {
    "cosine": imagegen.CosineSchedule(),
    "shifted": imagegen.ShiftedCosineSchedule(128),
    "flow": imagegen.FlowSchedule(),
    "flow3": imagegen.FlowSchedule(shift=3),
    "edm": imagegen.EDMSchedule(),
    "constant": imagegen.DiscreteSchedule(imagegen.constant_betas()),
    "linear": imagegen.DiscreteSchedule(imagegen.linear_betas()),
    "quadratic": imagegen.DiscreteSchedule(imagegen.quadratic_betas()),
    "sigmoid": imagegen.DiscreteSchedule(imagegen.sigmoid_betas()),
    "cosine_betas": imagegen.DiscreteSchedule(imagegen.cosine_betas()),
}
PICTURE = """() => {
    const context = document.querySelector(".schedules-picture canvas").getContext("2d");
    return [...context.getImageData(0, 0, 64, 64).data];
}"""


@pytest.fixture
def mixer(browser, root):
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, has_touch=True)
    page.goto(root + PAGE)
    page.locator(".exhibit[data-awake]").wait_for()
    yield page
    page.close()


def reading(page):
    """Time, signal rate, noise rate, variance and log ratio, as the page says them."""
    page.wait_for_timeout(500)
    text = page.locator("output").inner_text().replace("\N{MINUS SIGN}", "-")
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


def test_every_schedule_of_the_package_is_there(run_module):
    names = run_module("explore/schedules/exhibit.js")("m => Object.keys(m.SCHEDULES)")
    assert names == list(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_equal_those_of_the_package(run_module, name):
    times = np.linspace(0, 1, 201)
    rates = run_module("explore/schedules/exhibit.js")(
        "(m, [name, times]) => times.map(m.SCHEDULES[name])", [name, times.tolist()]
    )
    noise, signal = (np.asarray(each) for each in SCHEDULES[name](times))
    # The package computes in single precision.
    np.testing.assert_allclose(rates, np.stack([noise, signal], 1), atol=1e-6, rtol=3e-6)


def test_a_mixture_is_signal_rate_times_image_plus_noise_rate_times_noise(run_module):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (4, 4, 3), dtype="uint8")
    noise = rng.standard_normal(image.shape)
    mean, deviation = np.array([100.0, 90, 80]), np.array([70.0, 60, 50])
    for is_even in (False, True):
        mixed = run_module("explore/schedules/mixing.js")(
            """({ Flower }, [pixels, noise, mean, deviation, isEven]) => {
                const flower = new Flower(pixels, 4, { mean, deviation });
                flower.noise = noise;
                return [...flower.mixed([0.9, 0.7], isEven).data];
            }""",
            [
                np.dstack([image, np.full((4, 4), 255)]).ravel().tolist(),
                noise.ravel().tolist(),
                mean.tolist(),
                deviation.tolist(),
                is_even,
            ],
        )
        noisy = 0.7 * (image - mean) / deviation + 0.9 * noise
        noisy /= np.hypot(0.9, 0.7) if is_even else 1
        expected = imagegen.to_uint8(mean + deviation * noisy, value_range=(0, 255))
        found = np.reshape(mixed, (4, 4, 4))[..., :3]
        np.testing.assert_allclose(found, expected, atol=1)


def test_noise_is_normal_and_its_seed_decides_it(run_module):
    run = run_module("explore/random.js")
    draw = "({ normals, uniformOf }, seed) => [...normals(uniformOf(seed), 20000)]"
    noise = np.array(run(draw, 3))
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(noise) < 1).mean() == pytest.approx(0.683, abs=0.02)
    assert run(draw, 3) == noise.tolist() != run(draw, 4)


def test_keys_move_the_time(mixer):
    before = mixer.evaluate(PICTURE)
    mixer.get_by_role("slider", name="Time").focus()
    for _ in range(10):
        mixer.keyboard.press("ArrowRight")
    time, signal, noise, *_ = reading(mixer)
    assert time == 0.5
    expected = [float(rate) for rate in imagegen.CosineSchedule()(0.5)]
    assert [noise, signal] == pytest.approx(expected, abs=6e-4)
    assert mixer.evaluate(PICTURE) != before


@pytest.mark.parametrize("hand", ["mouse", "touchscreen"])
def test_mouse_and_touch_move_the_time_and_choose_a_schedule(mixer, hand):
    def press(box, across):
        where = box["x"] + across * box["width"], box["y"] + box["height"] / 2
        (mixer.mouse.click if hand == "mouse" else mixer.touchscreen.tap)(*where)

    press(mixer.get_by_role("slider", name="Time").bounding_box(), 0.75)
    assert reading(mixer)[0] == pytest.approx(0.75, abs=0.03)
    press(mixer.locator("label", has_text="Rectified flow").bounding_box(), 0.5)
    time, signal, noise, *_ = reading(mixer)
    assert [signal, noise] == pytest.approx([1 - time, time], abs=6e-4)


def test_schedules_can_be_chosen_by_keys(mixer):
    mixer.get_by_label("Cosine", exact=True).focus()
    for _ in range(4):
        mixer.keyboard.press("ArrowRight")
    assert mixer.get_by_label("EDM").is_checked()
    assert reading(mixer)[1] == 1


def test_scaled_mixtures_have_variance_one_and_the_same_ratio(mixer):
    mixer.get_by_label("EDM").check()
    *_, ratio = reading(mixer)
    mixer.get_by_label("Scale to variance 1").check()
    _, signal, noise, variance, scaled = reading(mixer)
    assert variance == 1
    assert signal**2 + noise**2 == pytest.approx(1, abs=2e-3)
    assert scaled == ratio


def test_what_is_set_survives_a_reload(mixer):
    mixer.get_by_label("Flow, shift 3").check()
    mixer.get_by_role("slider", name="Time").fill("0.8")
    mixer.get_by_label("Scale to variance 1").check()
    mixer.get_by_role("button", name="Other noise").click()
    before, picture = reading(mixer), mixer.evaluate(PICTURE)
    mixer.reload()
    mixer.locator(".exhibit[data-awake]").wait_for()
    assert reading(mixer) == before
    assert mixer.evaluate(PICTURE) == picture


def test_other_noise_is_another_picture_of_the_same_time(mixer):
    before, picture = reading(mixer), mixer.evaluate(PICTURE)
    mixer.get_by_role("button", name="Other noise").click()
    assert reading(mixer) == before
    assert mixer.evaluate(PICTURE) != picture


@pytest.mark.parametrize(
    "state", ["time=x", "time=9", "schedule=no", "schedule=toString", "seed=a"]
)
def test_an_address_that_makes_no_sense_does_no_harm(mixer, root, state):
    mixer.goto(f"{root}{PAGE}?schedules.{state}")
    mixer.locator(".exhibit[data-awake]").wait_for()
    assert np.isfinite(reading(mixer)).all()
