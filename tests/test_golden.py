"""What the package painted before is what it paints: every preset, sampler and way to edit.

`golden.json` holds, for each of the cases below, a digest of the exact array and a rough portrait
of it. Another processor rounds differently, so the portrait is what the tests compare. On the
machine that wrote the file, digests are compared too:

    pytest tests/test_golden.py --exact
    pytest tests/test_golden.py --record    # where another output is wanted, and says so
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import imagegen
from imagegen import sd3

import keras
import numpy as np
import pytest

GOLDEN = Path(__file__).with_name("golden.json")
NUM_STEPS = 4
SAMPLERS = {
    "ddim": imagegen.DDIM(),
    "ddim-half": imagegen.DDIM(eta=0.5),
    "ddpm": imagegen.DDPM(),
    "euler": imagegen.Euler(),
    "heun": imagegen.Heun(),
    "dpm-solver": imagegen.DPMSolver2M(),
    "edm": imagegen.EDMSampler(),
}
PROMPT = "a red flower with five petals"
# Other than Stable Diffusion 3's own.
MILD = {"guidance_scale": 3.0, "sampler": imagegen.DDIM()}


@cache
def painter(name):
    model = imagegen.presets.load(name, imagegen.ImageGenerator)
    # The options that every model had before some got their own.
    model.schedule = getattr(model.schedule, "schedule", model.schedule)
    model.diffusion_model().sampling = {}
    return model


@cache
def tiny():
    return sd3.tiny()


@cache
def flowers():
    return painter("flowers-64").generate(2, num_steps=NUM_STEPS, seed=5)


def mask():
    left = np.zeros((64, 64), bool)
    left[:, :32] = True
    return left


def digits(name):
    vae = imagegen.VAE.from_preset(name)
    means, log_variances = vae.encode(imagegen.datasets.digits("mnist-sample").images[:4])
    return np.concatenate([means.ravel(), log_variances.ravel(), vae.decode(means).ravel()])


def generated(name, prompts, **options):
    return painter(name).generate(prompts, num_steps=NUM_STEPS, seed=1, **options)


def edited(function, *arguments, model=None, images=None, **options):
    model = model or painter("flowers-64")
    images = flowers()[:1] if images is None else images
    return function(model, images, *arguments, num_steps=NUM_STEPS, seed=2, **options)


def photograph():
    rows, columns = np.mgrid[:64, :64]
    return np.stack([4 * rows, 4 * columns, 255 - 2 * (rows + columns)], axis=-1).astype("uint8")


CASES = {
    "digits-2d": lambda: digits("digits-2d"),
    "digits-16d": lambda: digits("digits-16d"),
    "flowers-64": lambda: generated("flowers-64", 2),
    "flowers-128": lambda: generated(
        "flowers-128", ["a photo of a sunflower", "a white rose on a dark background"]
    ),
    "flowers-64-species": lambda: generated("flowers-64-species", ["rose", "sunflower"]),
    "flowers-64-species-fast": lambda: generated(
        "flowers-64-species-fast", ["rose", ""], guidance_scale=None
    ),
    "captioned-32": lambda: generated("captioned-32", PROMPT),
    "captioned-32 not blue": lambda: generated(
        "captioned-32", "a flower", negative_prompts="blue", guidance_rescale=0.5
    ),
    "captioned-64": lambda: generated("captioned-64", PROMPT, guidance_scale=5.0),
    "captioned-64-fast": lambda: generated("captioned-64-fast", PROMPT, guidance_scale=None),
    "clip-flowers-32": lambda: generated("clip-flowers-32", PROMPT),
    "clip-32": lambda: imagegen.CLIP.from_preset("clip-32").similarity(
        imagegen.datasets.captioned_flowers(4).images, [PROMPT, "a blue flower"]
    ),
    "species-64": lambda: imagegen.extract_features(
        flowers(), imagegen.feature_model("species-64")
    ),
    **{
        f"sampler {name}": lambda sampler=sampler: generated(
            "captioned-32", [PROMPT, "a blue flower"], sampler=sampler
        )
        for name, sampler in SAMPLERS.items()
    },
    "image_to_image": lambda: edited(imagegen.image_to_image, strength=0.5),
    "variations": lambda: edited(imagegen.variations, 2, strength=0.7),
    "inpaint": lambda: edited(imagegen.inpaint, mask(), num_resamplings=2),
    "outpaint": lambda: edited(imagegen.outpaint, (0, 0, 0, 16), num_resamplings=2),
    "super_resolve": lambda: edited(
        imagegen.super_resolve, 4, images=flowers()[:1, ::4, ::4].copy()
    ),
    "latent inpaint": lambda: edited(
        imagegen.inpaint,
        mask(),
        num_resamplings=2,
        prompts=PROMPT,
        model=painter("captioned-64"),
        images=photograph(),
    ),
    "ddim_inversion": lambda: imagegen.ddim_inversion(
        painter("flowers-64"), flowers()[:1], num_steps=NUM_STEPS
    ),
    "interpolate_images": lambda: imagegen.interpolate_images(
        painter("flowers-64"), *flowers(), 3, num_steps=NUM_STEPS
    ),
    "prompt_walk": lambda: imagegen.prompt_walk(
        painter("flowers-64-species"), ["rose", "sunflower"], 3, num_steps=NUM_STEPS, seed=3
    ),
    "noise_walk": lambda: imagegen.noise_walk(
        painter("captioned-32"), PROMPT, 3, num_steps=NUM_STEPS, seed=3
    ),
    "prompt_grid": lambda: imagegen.prompt_grid(
        painter("flowers-64-species"),
        ["rose", "sunflower", "hibiscus", "lotus lotus"],
        2,
        num_steps=NUM_STEPS,
        seed=3,
    ),
    "sd3 generate": lambda: tiny().generate(
        ["a photo of a dog", "a painting"], negative_prompts="blue", seed=0
    ),
    "sd3 turbo": lambda: tiny().generate("a photo of a dog", guidance_scale=None, seed=0),
    "sd3 latents": lambda: tiny().sample("a dog", num_steps=NUM_STEPS, seed=0),
    "sd3 image_to_image": lambda: edited(
        imagegen.image_to_image, model=tiny(), images=photograph(), prompts="a dog", **MILD
    ),
    "sd3 inpaint": lambda: edited(
        imagegen.inpaint, mask(), model=tiny(), images=photograph(), prompts="a dog", **MILD
    ),
    "sd3 prompt_walk": lambda: imagegen.prompt_walk(
        tiny(),
        ["a dog", "a cat"],
        3,
        guidance_scale=7.0,
        num_steps=NUM_STEPS,
        sampler=imagegen.Euler(),
        seed=3,
    ),
}


def portrait(array):
    """The means of 16 parts, in units of the whole array's standard deviation."""
    values = array.astype("float64").ravel()
    scale = values.std() or 1.0
    return [round(part.mean() / scale, 4) for part in np.array_split(values, min(16, len(values)))]


@pytest.fixture(scope="module")
def golden(request):
    known = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else {}
    yield known
    if request.config.getoption("--record"):
        lines = (f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


@pytest.mark.parametrize("name", CASES)
def test_what_was_painted_is_painted_again(name, golden, request):
    if name.startswith("sd3"):
        pytest.importorskip("keras_hub", reason="KerasHub comes with the extra [sd3]")
    array = np.asarray(CASES[name]())
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    found = {"shape": list(array.shape), "dtype": str(array.dtype), "portrait": portrait(array)}
    if request.config.getoption("--record"):
        golden[name] = {"sha256": digest} | found
        return
    wanted = golden[name]
    assert (found["shape"], found["dtype"]) == (wanted["shape"], wanted["dtype"])
    np.testing.assert_allclose(found["portrait"], wanted["portrait"], atol=0.02)
    if request.config.getoption("--exact"):
        assert digest == wanted["sha256"]


def test_every_preset_is_among_the_cases():
    # An autoencoder's pictures are those of the model that has it.
    assert {name for name in imagegen.list_presets() if "autoencoder" not in name} <= set(CASES)
    assert keras.backend.backend() == "jax"
