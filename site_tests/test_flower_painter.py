"""The flower painter paints what the package paints, and every mishap ends in a sentence."""

import functools
import io
import json

import imagegen
from imagegen.samplers import initial_noise, step_noise

import numpy as np
import pytest
from keras import ops
from PIL import Image

PAINTER = "explore/flower_painter/"
MAX_WEIGHTS, MAX_RUNTIME, MAX_SECONDS = 12e6, 15e6, 5
SAMPLERS = {
    "ddim": imagegen.DDIM(),
    "euler": imagegen.Euler(),
    "heun": imagegen.Heun(),
    "dpm": imagegen.DPMSolver2M(),
}
SPECIES, SEED, STEPS = "corn poppy", 3, 4
# Opens the network once in a page, and keeps what paints; computed in one way, `wasm` or `webgpu`.
OPEN = """async ([folder, provider, network]) => {
    const [{ load }, { Model }, { openNetwork }, engine] = await Promise.all(
        ["download", "model", "network", "engine"].map(name => import(`${folder}${name}.js`)));
    const read = async name => (await fetch(folder + name)).json();
    const model = new Model(await read("model.json"), network);
    const { builds } = await read("runtime.json");
    const build = builds[provider], files = [model.file, build.file]
        .map(file => ({ ...file, url: folder + file.name }));
    const [weights, program] = await load(files, () => {});
    const script = folder + build.script, providers = [provider];
    const { evaluate } = await openNetwork({ script, program, weights, providers, model });
    Object.assign(globalThis, { model, engine: new engine.Engine(model, evaluate), parts: engine });
}"""
# What a way of the engine ends in, as pixels.
PAINT = """async ([method, species, scale, options]) => {
    for (const name of ["noise", "mask"]) {
        if (options[name]) options[name] = Float32Array.from(options[name]);
    }
    if (options.draft) options.draft = model.samplesOf(options.draft);
    const denoise = engine.denoiser([[species, 1]], scale);
    const drawNoise = () => options.drawn.shift();
    let last;
    for await (const frame of engine[method]({ ...options, denoise, drawNoise })) last = frame;
    return [...model.pixelsOf(last.clean)];
}"""


@pytest.fixture(scope="module")
def model():
    return imagegen.DiffusionModel.from_preset("flowers-64-species")


@pytest.fixture(scope="module")
def student():
    return imagegen.DiffusionModel.from_preset("flowers-64-species-fast")


@pytest.fixture(scope="module")
def noise():
    return initial_noise(1, (64, 64, 3), SEED)


@pytest.fixture(scope="module")
def draft():
    """Something like a flower: a disc on green."""
    rows, columns = np.mgrid[:64, :64]
    picture = np.full((64, 64, 3), (60, 110, 50), "uint8")
    picture[(rows - 32) ** 2 + (columns - 32) ** 2 < 300] = (230, 200, 40)
    return picture


@pytest.fixture(scope="module", autouse=True)
def built(site):
    """Skip where the site was built without the runtime."""
    if not json.loads((site / PAINTER / "runtime.json").read_text())["builds"]:
        pytest.skip("this site was built where the npm registry can't be reached")


def painter_in(browser, root, provider, network="teacher"):
    """Yields a function that paints with the engine, without the page around it."""
    page = browser.new_page()
    page.goto(root + "404.html")
    page.evaluate(OPEN, [root + PAINTER, provider, network])

    def paint(method="paint", species=SPECIES, scale=3.0, **options):
        for name, value in options.items():
            options[name] = value.ravel().tolist() if isinstance(value, np.ndarray) else value
        pixels = page.evaluate(PAINT, [method, species, scale, {"steps": STEPS, **options}])
        return np.reshape(pixels, (64, 64, 3)).astype("uint8")

    paint.page = page
    yield paint
    page.close()


@pytest.fixture(scope="module")
def paint(browser, root):
    yield from painter_in(browser, root, "wasm")


@pytest.fixture(scope="module")
def paint_by_student(browser, root):
    for paint in painter_in(browser, root, "wasm", "student"):
        yield functools.partial(paint, scale=1, sampler="ddim")


@pytest.fixture(scope="module")
def paint_by_webgpu(launch, root):
    """The same by WebGPU, which this browser computes on the processor: slow, but no other way."""
    browser = launch("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
    page = browser.new_page()
    page.goto(root + "404.html")
    if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
        pytest.skip("this Chromium can't compute WebGPU on the processor")
    page.close()
    yield from painter_in(browser, root, "webgpu")
    browser.close()


def assert_equal(ours, theirs):
    assert theirs.std() > 20
    assert abs(ours.astype(int) - theirs.astype(int)).max() <= 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pixels_equal_those_of_the_package(paint, model, noise, sampler):
    ours = paint(noise=noise, sampler=sampler)
    (theirs,) = model.generate([SPECIES], noise=noise, num_steps=STEPS, sampler=SAMPLERS[sampler])
    assert_equal(ours, theirs)


def test_fifteen_steps_equal_those_of_the_package(paint, model, noise):
    ours = paint(noise=noise, sampler="dpm", steps=15)
    (theirs,) = model.generate([SPECIES], noise=noise, num_steps=15)
    assert_equal(ours, theirs)


def test_webgpu_paints_the_same_pixels(paint_by_webgpu, model, noise):
    ours = paint_by_webgpu(noise=noise, sampler="dpm", steps=2)
    (theirs,) = model.generate([SPECIES], noise=noise, num_steps=2)
    assert_equal(ours, theirs)


def test_at_a_scale_of_one_nothing_is_moved_away_from(paint, model, noise):
    ours = paint(noise=noise, sampler="dpm", scale=1)
    (theirs,) = model.generate([SPECIES], noise=noise, num_steps=STEPS, guidance_scale=1)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_students_pixels_equal_those_of_the_package(paint_by_student, student, noise, steps):
    ours = paint_by_student(noise=noise, steps=steps)
    (theirs,) = student.generate([SPECIES], noise=noise, num_steps=steps)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("strength", [0.5, 0.6])
def test_a_student_paints_over_as_in_the_package(paint_by_student, student, noise, draft, strength):
    ours = paint_by_student("overpaint", noise=noise, strength=strength, draft=draft, steps=4)
    (theirs,) = imagegen.image_to_image(
        student, draft, prompts=SPECIES, strength=strength, num_steps=4, seed=SEED
    )
    assert_equal(ours, theirs)


@pytest.mark.parametrize("strength", [0.5, 1])
def test_a_picture_is_overpainted_as_by_the_package(paint, model, noise, draft, strength):
    options = {"strength": strength, "draft": draft, "steps": 6}
    ours = paint("overpaint", noise=noise, sampler="dpm", **options)
    (theirs,) = imagegen.image_to_image(
        model, draft, prompts=SPECIES, strength=strength, num_steps=6, seed=SEED
    )
    assert_equal(ours, theirs)


def test_where_an_edit_begins_is_what_the_package_says(paint, paint_by_student, model, student):
    strengths, counts = [0, 0.1, 0.37, 0.5, 0.6, 0.95, 1], [1, 2, 4, 7, 15, 50]
    for painter, painting in ((paint, model), (paint_by_student.func, student)):
        found = painter.page.evaluate(
            "([strengths, counts]) => "
            "strengths.map(one => counts.map(n => model.firstStep(n, one)))",
            [strengths, counts],
        )
        schedule = painting.schedule
        assert found == [[schedule.first_step(n, one) for n in counts] for one in strengths]


@pytest.mark.parametrize("network", ["teacher", "student"])
def test_a_part_is_repainted_as_by_the_package(request, network, noise, draft):
    paint, model = map(
        request.getfixturevalue,
        {"teacher": ("paint", "model"), "student": ("paint_by_student", "student")}[network],
    )
    mask, steps, turns = np.zeros((64, 64)), {"teacher": 3, "student": 4}[network], 2
    mask[20:, :40] = 1
    seed, like = ops.convert_to_tensor(SEED, "int32"), ops.zeros((1, 64, 64, 3))
    visits = [turn for step in range(steps) for turn in range(turns if step < steps - 1 else 1)]
    # Each turn but the first of a step draws twice.
    indices = [i for n, turn in enumerate(visits) for i in range(2 * n + (turn == 0), 2 * n + 2)]
    drawn = [np.ravel(step_noise(like, seed, i)).tolist() for i in indices]
    options = {"draft": draft, "mask": mask, "resamplings": turns, "steps": steps, "drawn": drawn}
    if network == "teacher":
        options["sampler"] = "dpm"
    ours = paint("repaint", noise=noise, **options)
    (theirs,) = imagegen.inpaint(
        model,
        draft,
        mask,
        prompts=SPECIES,
        num_resamplings=turns,
        num_steps=steps,
        seed=SEED,
    )
    assert_equal(ours, theirs)
    assert (ours[mask == 0] == draft[mask == 0]).all()


def test_walks_through_noise_are_the_packages(paint):
    ends = np.random.default_rng(0).standard_normal((2, 50))
    for share in (0, 0.3, 1):
        found = paint.page.evaluate(
            "([share, ends]) => parts.slerp(share, ...ends)", [share, ends.tolist()]
        )
        np.testing.assert_allclose(found, imagegen.slerp(share, *ends), atol=1e-6)


class Page:
    """An open painter, and what tests ask of it."""

    def __init__(self, page, url):
        self.page = page
        self.requests, self.errors = [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(error))
        page.goto(url)
        self.wait()

    def wait(self):
        self.page.locator(".exhibit[data-awake]").wait_for()

    def control(self, name):
        return self.page.locator(f"[name={name}]")

    def says(self, words):
        """Wait for some words beside the button."""
        self.page.locator(".painter-words", has_text=words).wait_for()

    def button(self, words):
        """Wait until the button says so."""
        self.page.locator(".exhibit-primary", has_text=words).wait_for()

    def wait_for_address(self, part):
        self.page.wait_for_function("part => location.search.includes(part)", arg=part)

    def painted(self):
        """Wait for the picture of the last settings, and return it."""
        self.page.wait_for_function(
            "() => document.querySelector('.painter-time').textContent.startsWith('Painted')"
        )
        return self.picture()

    def picture(self, name="guess"):
        data = self.page.evaluate(
            f"""() => {{
                const canvas = document.querySelector(".painter-{name}");
                return [...canvas.getContext("2d").getImageData(0, 0, 64, 64).data];
            }}"""
        )
        return np.reshape(data, (64, 64, 4))[..., :3]

    def change(self, does):
        """Do something that has the picture painted anew, and return the new one."""
        self.page.evaluate("() => document.querySelector('.painter-time').textContent = ''")
        does()
        return self.painted()

    def downloaded(self):
        return [url for url in self.requests if ".bin" in url]


@pytest.fixture
def open_painter(browser, root):
    """A function that opens the painter, set to a state."""
    pages = []

    def open_painter(query="?painter.steps=2", routes=None, script="", **options):
        pages.append(browser.new_page(**options))
        for pattern, handler in (routes or {}).items():
            pages[-1].route(f"**/{PAINTER}{pattern}", handler)
        if script:
            pages[-1].add_init_script(script)
        return Page(pages[-1], root + PAINTER + query)

    yield open_painter
    for page in pages:
        page.close()


def test_it_is_asked_for_announced_and_kept(open_painter, site):
    painter = open_painter("")
    described = [
        json.loads((site / PAINTER / f"{n}.json").read_text()) for n in ("model", "runtime")
    ]
    weights, runtime = (
        described[0]["networks"]["teacher"]["file"],
        described[1]["builds"]["wasm"]["file"],
    )
    for file, most in ((weights, MAX_WEIGHTS), (runtime, MAX_RUNTIME)):
        assert (site / PAINTER / file["name"]).stat().st_size == file["bytes"] <= most
    announced = f"{(weights['bytes'] + runtime['bytes']) / 1e6:.1f} MB"
    painter.says(announced)
    painter.page.wait_for_timeout(300)
    assert painter.downloaded() == []
    painter.button(f"Download {announced}")
    painter.control("paint").click()
    before = painter.painted()
    assert before.std() > 20
    words = painter.page.locator(".painter-time").inner_text()
    assert "WebAssembly" in words
    assert float(words.split("Painted in ")[1].split(" s")[0]) <= MAX_SECONDS
    assert len(painter.downloaded()) == 2
    painter.page.reload()
    painter.wait()
    painter.says("from an earlier visit")
    painter.control("paint").click()
    assert (painter.painted() == before).all()
    assert len(painter.downloaded()) == 2
    assert painter.errors == []


def test_a_student_is_asked_for_and_has_less_to_set(open_painter, site):
    described = json.loads((site / PAINTER / "model.json").read_text())
    painter = open_painter("?painter.steps=3&painter.guidance=5")
    painter.control("paint").click()
    by_teacher = painter.painted()
    painter.control("network").select_option("student")
    size = f"{described['networks']['student']['file']['bytes'] / 1e6:.1f} MB"
    painter.says(f"One more file has to be downloaded once: {size}")
    painter.button(f"Download {size}")
    assert len(painter.downloaded()) == 2
    for name in ("guidance", "sampler"):
        assert not painter.control(name).is_visible()
    by_student = painter.change(lambda: painter.control("paint").click())
    assert "4 evaluations" in painter.page.locator(".painter-time").inner_text()
    assert len(painter.downloaded()) == 3
    assert by_student.std() > 20
    # Its fewest steps, which a reload keeps.
    painter.control("steps").focus()
    once = painter.change(lambda: painter.page.keyboard.press("Home"))
    assert "1 evaluation" in painter.page.locator(".painter-time").inner_text()
    painter.page.reload()
    painter.wait()
    assert painter.control("network").input_value() == "student"
    painter.control("paint").click()
    assert (painter.painted() == once).all()
    # Nothing has to be asked for any more; the teacher is set as at first.
    changed = painter.change(lambda: painter.control("network").select_option("teacher"))
    assert abs(changed - once).mean() > 1
    assert abs(changed - by_teacher).mean() > 1
    assert painter.control("guidance").input_value() == "3"
    assert "network" not in painter.page.url
    assert len(painter.downloaded()) == 3
    assert painter.errors == []


def test_keys_choose_paint_and_go_through_the_steps(open_painter):
    painter = open_painter("?painter.steps=3")
    painter.control("paint").focus()
    painter.page.keyboard.press("Enter")
    sunflower = painter.painted()
    painter.control("species").focus()
    poppy = painter.change(lambda: painter.page.keyboard.press("ArrowUp"))
    assert abs(poppy - sunflower).mean() > 5
    at = painter.control("at")
    assert at.input_value() == "3"
    at.focus()
    painter.page.keyboard.press("Home")
    assert "Step 0 of 3" in painter.page.locator(".painter-level").inner_text()
    assert at.get_attribute("aria-valuetext").startswith("Step 0 of 3")

    def roughness(picture):
        return abs(np.diff(picture, axis=1)).mean()

    assert roughness(painter.picture("noisy")) > 2 * roughness(painter.picture("guess"))
    painter.page.keyboard.press("End")
    assert (painter.picture("noisy") == painter.picture("guess")).all()
    assert (painter.picture() == poppy).all()
    assert painter.errors == []


def test_frames_are_what_they_were_painted_as_until_others_come(open_painter):
    painter = open_painter("?painter.steps=2&painter.task=walk")
    painter.control("paint").click()
    painter.painted()
    painter.page.evaluate(
        """() => { for (const [name, value] of [["task", "noise"], ["at", 0]]) {
            const control = document.querySelector(`.painter [name=${name}]`);
            control.value = value;
            control.dispatchEvent(new Event("input"));
        } }"""
    )
    assert painter.page.locator(".painter-level").inner_text().startswith("Flower 1 of 9")
    assert painter.errors == []


def test_settings_are_in_the_address_and_survive_a_reload(open_painter):
    painter = open_painter("?other=1#the-flower-painter")
    chosen = {"task": "walk", "species": "rose", "toSpecies": "lotus lotus", "sampler": "heun"}
    for name, value in chosen.items():
        painter.control(name).select_option(value)
    for name in ("guidance", "steps"):
        painter.control(name).focus()
        painter.page.keyboard.press("Home")
    painter.control("seed").fill("7")
    for part in ("painter.seed=7", "painter.guidance=1", "painter.steps=2", "other=1"):
        painter.wait_for_address(part)
    before = painter.page.url
    painter.page.reload()
    painter.wait()
    for name, value in {**chosen, "seed": "7", "guidance": "1", "steps": "0"}.items():
        assert painter.control(name).input_value() == value
    assert painter.page.url == before
    assert painter.errors == []


def test_nonsense_in_the_address_is_passed_over(open_painter):
    painter = open_painter(
        "?painter.task=no&painter.species=&painter.steps=x&painter.seed=-4&painter.strokes=!"
        "&painter.guidance=99&painter.x=1&painter.network=toString"
    )
    expected = {
        "task": "noise",
        "network": "teacher",
        "species": "sunflower",
        "seed": "0",
        "guidance": "8",
    }
    for name, value in expected.items():
        assert painter.control(name).input_value() == value
    assert painter.errors == []


def test_a_mask_is_drawn_by_mouse_and_keys_and_the_rest_is_kept(open_painter):
    painter = open_painter("?painter.steps=2&painter.task=repaint&painter.resamplings=1")
    painter.control("paint").click()
    painter.says("Draw on the right picture")
    painter.button("Paint")
    before, mask = painter.picture(), painter.page.locator(".painter-mask")
    box = mask.bounding_box()

    def draw():
        painter.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
        painter.page.mouse.down()
        painter.page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.3 * box["height"])
        painter.page.mouse.up()

    after = painter.change(draw)
    changed = abs(after - before).max(axis=2) > 3
    assert changed[16:22, 20:25].mean() > 0.5
    assert not changed[30:].any()
    assert not changed[:, 34:].any()
    painter.wait_for_address("painter.strokes=")

    def by_keys():
        mask.focus()
        for key in ("Space", "ArrowRight", "ArrowRight", "Space"):
            painter.page.keyboard.press(key)

    # The pen begins in the middle.
    again = painter.change(by_keys)
    assert (abs(again - before).max(axis=2) > 3)[30:35, 30:35].any()
    painter.control("clear").click()
    painter.says("Draw on the right picture")
    painter.page.wait_for_function("() => !location.search.includes('strokes')")
    assert painter.errors == []


def test_a_picture_of_ones_own_is_painted_over(open_painter, draft):
    painter = open_painter("?painter.steps=4&painter.toSpecies=rose&painter.strength=0.3")
    wide = np.zeros((64, 128, 3), "uint8")
    wide[:, 32:96] = draft  # The square in the middle counts.
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "png")
    picture = {"name": "wide.png", "mimeType": "image/png", "buffer": file.getvalue()}
    painter.control("task").select_option("picture")
    painter.control("file").set_input_files(picture)
    painter.says("waits for the network")
    painter.control("paint").click()
    # A little noise leaves the large shapes.
    assert abs(painter.painted() - draft.astype(int)).mean() < 40
    assert not painter.control("species").is_visible()
    painter.control("file").set_input_files({**picture, "buffer": b"no picture"})
    painter.says("can't read that file")
    assert painter.errors == []


def test_a_walk_goes_from_flower_to_flower(open_painter):
    painter = open_painter("?painter.steps=2&painter.species=rose&painter.seed=5")
    painter.control("paint").click()
    rose = painter.painted()
    painter.change(lambda: painter.control("task").select_option("walk"))
    painter.control("at").focus()
    painter.page.keyboard.press("Home")
    assert (painter.picture() == rose).all()
    painter.page.keyboard.press("End")
    assert abs(painter.picture() - rose).mean() > 5
    assert "Flower 9 of 9" in painter.page.locator(".painter-level").inner_text()
    # By mouse, on the strip.
    painter.page.locator(".painter-strip").click(position={"x": 3, "y": 10})
    assert (painter.picture() == rose).all()
    assert painter.errors == []


def test_a_failed_download_ends_in_a_sentence_and_can_be_repeated(open_painter):
    painter = open_painter()
    for file in ("teacher.bin*", "wasm.bin*"):
        # Cut off at once, or an empty file.
        for mishap in (lambda route: route.abort(), lambda route: route.fulfill(body="")):
            painter.page.route(f"**/{file}", mishap)
            # The other file may have come in the meantime, and stayed; and the words of the
            # failure before would be taken for those of the next.
            painter.page.evaluate("""async () => {
                for (const name of await caches.keys()) await caches.delete(name);
                document.querySelector(".painter-words").textContent = "";
            }""")
            painter.control("paint").click()
            painter.says("The download failed")
            painter.button("Download")
            painter.page.unroute_all()
    painter.control("paint").click()
    painter.painted()


def test_a_second_click_stops_a_slow_download(open_painter):
    held = []
    painter = open_painter(routes={"teacher.bin*": lambda route: held.append(route)})
    painter.control("paint").click()
    painter.says(" of 8.")
    painter.control("paint").click()
    painter.says("Stopped")
    painter.button("Download")
    painter.page.unroute_all()
    painter.control("paint").dblclick(delay=1)
    painter.says("Stopped")
    painter.control("paint").click()
    painter.painted()
    assert painter.errors == []


def test_painting_can_be_stopped_and_begun_again(open_painter):
    counts = """globalThis.mail = 0;
        globalThis.Worker = class extends Worker {
            constructor(...all) {
                super(...all);
                this.addEventListener("message", () => (mail += 1));
            }
        };"""
    painter = open_painter("?painter.steps=50", script=counts)
    painter.control("paint").click()
    painter.page.locator(".painter-guess").wait_for()
    painter.control("paint").click()
    painter.button("Paint")
    painter.page.wait_for_timeout(300)
    mail = painter.page.evaluate("() => mail")
    painter.page.wait_for_timeout(300)
    assert painter.page.evaluate("() => mail") == mail
    assert int(painter.control("at").input_value()) < 50
    painter.control("paint").click()
    painter.button("Stop")
    # Other settings end what is being painted, however quickly they change.
    painter.control("steps").focus()
    for _ in range(3):
        painter.page.keyboard.press("ArrowLeft")
        painter.page.wait_for_timeout(250)
    painter.change(lambda: painter.page.keyboard.press("Home"))
    assert painter.control("at").input_value() == "2"
    assert painter.page.locator(".painter-words").inner_text().strip() == ""
    assert painter.errors == []


def test_where_webgpu_fails_webassembly_paints(open_painter):
    pretend = "navigator.gpu ??= {}; navigator.gpu.requestAdapter = async () => ({})"
    painter = open_painter(script=pretend)
    painter.control("paint").click()
    painter.painted()
    assert "WebAssembly" in painter.page.locator(".painter-time").inner_text()
    assert any("webgpu.bin" in url for url in painter.downloaded())


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("new RangeError('WebAssembly.Memory(): could not allocate memory')", "too little memory"),
        ("new Error('no SIMD')", "could not be started"),
    ],
)
def test_what_cannot_start_ends_in_a_sentence(open_painter, reason, sentence):
    stub = f"""export const env = {{ wasm: {{}} }};
        export const InferenceSession = {{ create: async () => {{ throw {reason}; }} }};"""

    def instead(route):
        route.fulfill(body=stub, content_type="text/javascript")

    painter = open_painter(routes={"wasm.js": instead})
    painter.control("paint").click()
    painter.says(sentence)
    assert painter.control("paint").is_enabled()
    assert painter.errors == []


def test_a_site_without_the_runtime_says_so(open_painter):
    none = {"runtime.json": lambda route: route.fulfill(json={"builds": {}})}
    painter = open_painter(routes=none)
    painter.says("was built without the program")
    assert painter.control("paint").is_disabled()
    assert painter.errors == []
