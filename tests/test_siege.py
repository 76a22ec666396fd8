"""The siege: every public callable, each argument wrong in turn.

What is public is found by walking the package. Each argument is given some hundred values: of
another type, without an order, NaN, ragged, huge, in another byte order. The call gives a right
result, or an error that names the argument and says what was received.
"""

import collections
import contextlib
import dataclasses
import inspect
import math
import random
import re
import signal
import time
import traceback
import types
import typing
import warnings
from contextlib import contextmanager
from pathlib import Path

import imagegen
from imagegen import datasets, drawn, sd3

import keras
import numpy as np
import pytest
from PIL import Image
from test_concepts import text_model
from test_public_api import public

SOURCE = str(Path(imagegen.__file__).parent)
INPUTS = 300
# What takes longer hangs, however busy the machine is.
SECONDS = 60
KINDS = ("unnamed", "deep", "NaN", "wrong", "hang")

# Keras calls these, with what it has made itself.
KERAS = {
    "attempt",
    "build",
    "call",
    "check_examples",
    "compute_loss",
    "compute_output_shape",
    "fit",
    "from_config",
    "get_config",
    "loss_of",
    "make_test_function",
    "make_train_function",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_begin",
}
# Results: what a function returns takes whatever it is made of.
RECORDS = {
    "Autoguidance",
    "Conditions",
    "Guidance",
    "KernelInceptionDistance",
    "Level",
    "NegativeELBO",
    "Neighbors",
    "PrecisionAndRecall",
    "Way",
    "datasets.Digits",
    "datasets.Flowers",
    "datasets.ImageFolder",
    "drawn.CaptionedFlowers",
    "drawn.FlowerReading",
    "drawn.PromptAdherence",
}
# Bases without arguments of their own, and a dictionary.
ABSTRACT = {
    "Exportable",
    "ImageGenerator",
    "Prediction",
    "PromptEncoder",
    "Sampler",
    "SamplingOptions",
    "Schedule",
    "Weighting",
}


# What a right argument changes for all that come after it, or what loads large models: only what is
# right for nothing is tried.
CHANGE = {
    "add_concept",
    "learn_concept",
    "sd3.add_concept",
    "sd3.learn_concept",
    "sd3.load",
    "sd3.tiny",
    "sd3.weight_bytes",
}


# The first argument of `generate` can be the number of pictures.
ALIASES = {"prompts": "num_images"}


class Hang(BaseException):
    """Raised where a call takes too long; no `except Exception` on the way swallows it."""


# What is right, by the name of the argument: a callable gets it as it stands, or its own below.


def pictures(count=2, size=8):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), "uint8")


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(tmp_path_factory):
    """What is asked to save itself under a name does so in a folder of the test's."""
    with contextlib.chdir(tmp_path_factory.mktemp("here")):
        yield


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """Arguments by their name, and objects by their class."""
    folder = tmp_path_factory.mktemp("siege")
    imagegen.save_images(pictures(1), folder / "pictures", metadata={"prompt": "a flower"})
    model = text_model()
    vae = imagegen.VAE(
        imagegen.image_encoder(8, [4], block_depth=0),
        imagegen.image_decoder(8, [4], block_depth=0),
    )
    clip = imagegen.CLIP(imagegen.clip_image_encoder(8, [4], dim=6), text_encoder())
    latent = imagegen.LatentDiffusion(latent_model(), vae)
    concept = imagegen.Concept("<mine>", np.ones(6, "float32"))
    rng = np.random.default_rng(0)
    level = imagegen.Level(*np.float32([0.5, 0.6, 0.8]))
    later = imagegen.Level(*np.float32([0.2, 0.28, 0.96]))
    noisy = rng.standard_normal((2, 8, 8, 3)).astype("float32")
    features = rng.standard_normal((2, 12, 4))
    flower = drawn.FlowerAttributes(5, "red", "yellow", "green")
    toy = sd3.tiny() if keras.backend.backend() == "jax" else None
    guidance = imagegen.Guidance((np.zeros((2, 6, 6), "float32"),))
    names = imagegen.LabelEncoder(["daisy", "rose"], 6)
    arguments = {
        "after": later,
        "alt": "flowers",
        "amount": 0.5,
        "attention_resolutions": (4,),
        "attributes": flower,
        "autoencoder": vae,
        "background": "white",
        "base": imagegen.DDIM(),
        "batch_size": 2,
        "batches": None,
        "betas": (0.1, 0.2, 0.3),
        "between": (0.0, 1.0),
        "caption": "a red flower with five petals",
        "captions": ["a red flower", "a blue flower"],
        "clean": noisy,
        "concept": concept,
        "decoder": vae.decoder,
        "denoise": lambda noisy, time, **until: 0.5 * noisy,
        "encoder": vae.encoder,
        "factor": 2,
        "features": features[0],
        "filepath": str(folder / "exported.onnx"),
        "folder": folder / "out",
        "frames": pictures(3),
        "groups": 2,
        "guided": noisy,
        "has_attribute": np.array([True, False, True] * 4),
        "image": pictures(1)[0],
        "image1": pictures(1)[0],
        "image2": pictures(1)[0],
        "image_embeddings": np.eye(3, dtype="float32"),
        "image_encoder": clip.image_encoder,
        "image_shape": (8, 8, 1),
        "image_size": 8,
        "images": pictures(),
        "initial_word": "dark",
        "kernel_size": 3,
        "labels": None,
        "latents": features[0],
        "learning_rate": 0.01,
        "length": 8,
        "like": None,
        "longest": 0.9,
        "mask": np.eye(8, dtype=bool),
        "min_signal_rate": 0.02,
        "model": model,
        "name": "no-such-preset",
        "names": ["tulip"],
        "negative": noisy,
        "network": model.network,
        "noise_rate": np.float32(0.6),
        "noise_rates": np.float32(0.6),
        "noisy": noisy,
        "now": level,
        "num_frames": 2,
        "num_images": 2,
        "num_iterations": 1,
        "num_jumps": 2,
        "num_layers": 1,
        "num_petals": 5,
        "num_points": 5,
        "num_resamplings": 1,
        "num_steps": 2,
        "output": noisy,
        "pad": 2,
        "pairs": [(dense(), dense())],
        "path": folder / "file.keras",
        "picture": Image.fromarray(pictures(1)[0]),
        "points": features[0],
        "prediction": imagegen.NoisePrediction(),
        "inputs": [noisy[..., :3], np.zeros((2, 1, 1, 1), "float32")],
        "positive": noisy,
        "preset": "no-such-preset",
        "prompt": "a dark flower",
        "prompts": ["a dark flower", "a bright flower"],
        "rank": 1,
        "ratio": np.float32(0.5),
        "reference_features": features[1],
        "reference_samples": features[1],
        "rng": rng,
        "rows": np.array([0, 1]),
        "samples": noisy,
        "scale": 1,
        "schedule": imagegen.CosineSchedule(),
        "seed": 0,
        "signal_rate": np.float32(0.8),
        "signal_rates": np.float32(0.8),
        "size": 2,
        "start": 0,
        "state": (),
        "step": 1,
        "steps": keras.Variable(0.0),
        "stop": 1,
        "strength": 0.5,
        "strides": 2,
        "t": 0.5,
        "table": imagegen.samplers.levels(imagegen.CosineSchedule(), 2),
        "teacher": model,
        "conditions": None,
        "temperature": np.float32(0.5),
        "text_embeddings": np.eye(3, dtype="float32"),
        "text_encoder": text_encoder(),
        "time": np.float32(0.5),
        "times": np.float32([0.1, 0.9]),
        "tokenizer": imagegen.WordTokenizer(["red", "flower"], 4),
        "tokens": np.zeros((2, 6), "int32"),
        "uniform": np.float32([0.1, 0.9]),
        "v1": np.float32([1, 0]),
        "v2": np.float32([0, 1]),
        "vae": vae,
        "vector": np.ones(6, "float32"),
        "vectors": np.zeros((2, 6, 6), "float32"),
        "widths": [4],
        "word": "<mine>",
        "words": ["red", "flower"],
        "x": None,
    }
    objects = {
        "CLIP": clip,
        "Checkpoint": imagegen.Checkpoint(folder / "checkpoint"),
        "Concept": concept,
        "DiffusionModel": model,
        "DiscreteSchedule": imagegen.DiscreteSchedule(imagegen.linear_betas(10)),
        "EvenLogSNRSchedule": imagegen.EvenLogSNRSchedule(imagegen.CosineSchedule()),
        "Guidance": guidance,
        "ImageFolder": datasets.folder(folder / "pictures", 8),
        "StableDiffusion3": toy,
        "Autoguidance": imagegen.Autoguidance(arguments["denoise"], 1.5),
        "InverseDDIM": imagegen.InverseDDIM(1),
        "ImageGenerator": model,
        "LabelEncoder": names,
        "LatentDiffusion": latent,
        "RePaint": imagegen.RePaint(imagegen.DDIM()),
        "ShiftedCosineSchedule": imagegen.ShiftedCosineSchedule(64),
        "TextEncoder": model.encoder,
        "TextTower": clip.text_tower,
        "UNet": model.network,
        "VAE": vae,
        "WithBlockMeans": imagegen.WithBlockMeans(imagegen.DDIM(), 2),
        "WordTokenizer": arguments["tokenizer"],
    }
    own = {
        "DiffusionModel": {"encoder": model.encoder},
        "LabelEncoder": {"names": ["a", "b"]},
        "LabelEncoder.mentions": {"names": ["daisy"], "tokens": np.array([0, 1])},
        "TextEncoder.mentions": {"names": ["dark"]},
        "TextEncoder": {"dim": 4},
        "DiffusionModel.mixed": {"seed": keras.random.SeedGenerator(0)},
        "DPMSolver2M.step": {"state": imagegen.DPMSolver2M().init(noisy, np.int32(0))},
        "LatentDiffusion.denoise": {"noisy": noisy[:, :4, :4, :1].repeat(4, -1)},
        "LatentDiffusion.pictures_of": {"samples": np.zeros((2, 4, 4, 4), "float32")},
        "Preset": dict.fromkeys(PRESET, "text"),
        "RePaint.step": {"state": repainting(noisy)},
        "trajectories": {"num_images": 2},
        "ImageGenerator.run": {"sampler": imagegen.DDIM()},
        "ImageGenerator.begin": {"options": {"num_steps": 1, "seed": 0}},
        "ImageGenerator.generate": {"num_images": 2},
        "ImageGenerator.generate_steps": {"num_images": 2},
        "ImageGenerator.sample": {"num_images": 2},
        "ImageGenerator.sample_steps": {"num_images": 2},
        "super_resolve": {"images": pictures(2, 4)},
        "sd3.StableDiffusion3.denoise": {"noisy": latents()},
        "sd3.StableDiffusion3.velocity": {
            "noisy": latents(),
            "noise_rates": np.float32([0.5, 0.5]),
            "conditions": toy and toy.encode_prompts(["a dog", "a cat"]),
        },
        "sd3.add_concept": {"model": toy},
        "sd3.learn_concept": {"model": toy},
        "sd3.read_concept": {"model": toy},
        "WithBlockMeans.step": {"state": (noisy[:, ::2, ::2], ())},
        "LabelEncoder.tokens": {"prompts": ["daisy", "rose"]},
        "LatentDiffusion": {"model": latent.model},
        "LatentDiffusion.to_samples": {"images": pictures()},
        "LatentDiffusion.to_images": {"samples": np.zeros((2, 4, 4, 4), "float32")},
        "VAE.decode": {"latents": np.zeros((2, 4, 4, 4), "float32")},
        "EvenLogSNRSchedule.first_step": {"num_steps": 4},
        "add_concept": {"concept": concept},
        "drawn.draw_flowers": {"attributes": [flower], "image_size": 16},
        "drawn.prompt_adherence": {"images": pictures(2, 32)},
        "drawn.read_flowers": {"images": pictures(2, 32)},
        "drawn.read_patterns": {"images": pictures(2, 32)},
        "attribute_vector": {},
        "extract_features": {"images": pictures(2), "model": clip.image_encoder},
        "drawn.FlowerAttributes": {
            "petal_color": "red",
            "center_color": "yellow",
            "background_color": "green",
        },
        "interpolate_images": {"num_steps": 2},
        "latent_grid": {"size": 3},
        "nearest_neighbors": {"samples": features[0]},
        "noise_walk": {"prompt": "a dark flower"},
        "prompt_grid": {"prompts": ["a dark flower", "a bright flower"] * 2},
        "read_metadata": {"path": folder / "pictures" / "image-0.png"},
        "save_animation": {"path": folder / "moving.gif"},
        "show": {},
        "sliced_wasserstein_distance": {"samples": features[0]},
        "SinusoidalEmbedding": {"dim": 4},
        "datasets.captioned_flowers": {"image_size": 16},
        "datasets.folder": {"path": folder / "pictures"},
        "datasets.ImageFolder.read": {"index": 0},
        "DepthToSpace": {"factor": 2},
        "espcn": {"factor": 2},
        "FlowMap": {"network": jumping(), "encoder": None},
        "MeanFlow": {"network": jumping(), "encoder": None},
        "InverseDDIM.step": {"state": (np.int32(1),)},
        "move_averages": {},
        "TrajectoryStudent": {"network": jumping()},
        "ShuffledBatches": {"arrays": np.arange(9)},
        "with_names": {"model": named_model(), "names": ["tulip"]},
        "Rehearsal": {"model": named_model(), "names": ["tulip"]},
        "image_decoder": {},
    }
    return arguments, objects, own


PRESET = ("name", "description", "data", "licence", "training", "metrics", "recipe", "sha256")


def repainting(noisy):
    """The state of `RePaint`: seed, step, what is kept, where to paint, how often, and DDIM's."""
    return np.int32(0), np.int32(0), noisy, np.ones((2, 8, 8, 1), bool), np.int32(1), ()


def latents():
    return np.random.default_rng(0).standard_normal((2, 8, 8, 16)).astype("float32")


def dense():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    return layer


def text_encoder():
    tokenizer = imagegen.WordTokenizer.fit(["a red flower", "a blue flower"])
    return imagegen.TextEncoder(tokenizer, 8, num_layers=1, num_heads=2)


def latent_model():
    network = imagegen.UNet(4, [4], block_depth=1, channels=4)
    model = imagegen.DiffusionModel(network, value_range=None)
    model.normalizer.adapt(np.zeros((2, 4, 4, 4), "float32"))
    return model


def named_model():
    network = imagegen.UNet(8, [4], block_depth=1, condition_dim=4, embedding_dim=4, norm="group")
    return imagegen.DiffusionModel(network, encoder=imagegen.LabelEncoder(["daisy"], 4))


def jumping():
    return imagegen.UNet(8, [4], block_depth=1, jumps=True, norm="group", embedding_dim=4)


# What is wrong


class Stranger:
    """No number, no name, no array."""

    def __repr__(self):
        return "a stranger"


NEVER = [  # Right for nothing that says of which type it is.
    object(),
    Stranger(),
    Stranger,
    imagegen.DDIM,
    lambda: 0,
    1j,
    b"3",
    bytearray(b"3"),
    {1, 2},
    {"red", "blue"},
    frozenset({0.5}),
    Ellipsis,
    NotImplemented,
    math,
    range,
    np.nan,
    np.inf,
    -np.inf,
    np.float32("nan"),
    slice(3),
    [[1], [1, 2]],
    [[1.0, 2.0], 3.0],
    [object()],
    [None, None],
    np.array([1, object()], object),
    np.array([np.nan, 1.0]),
    np.array([1 + 2j]),
    np.array("2020-01-01", "datetime64[D]"),
    np.ma.masked,
    np.ma.array([0.5, 0.5], mask=[False, True]),
    np.full((2, 8, 8, 3), np.nan, "float32"),
]
PLAUSIBLE = [  # Right for some.
    None,
    "",
    "0.5",
    "cosine",
    "ddim",
    "\0",
    "\x1b[31m",
    -1,
    0,
    True,
    10**30,
    -(10**30),
    1e300,
    -1e300,
    1e-300,
    2.5,
    -0.5,
    "x" * 5000,
    [],
    (),
    {},
    {"a": 1},
    [-1],
    ["a", 1],
    [1.5, "b"],
    (3, 2, 1, 0, -1),
    np.array([]),
    np.zeros((0, 8, 8, 3), "uint8"),
    np.zeros((2, 3), "float32"),
    np.zeros((1, 1, 1, 1, 1, 1), "float32"),
    np.array(["a", "b"]),
    np.full((2, 8, 8, 3), -1e30),
    np.int64(-3),
]


def garbage(source):
    """One more wrong value."""
    shape = tuple(source.randint(1, 4) for _ in range(source.randint(0, 4)))
    return source.choice(
        [
            lambda: np.full(shape, np.nan),
            lambda: np.full(shape, np.inf, "float32"),
            lambda: np.full(shape, 1j),
            lambda: np.full(shape, None, object),
            lambda: np.ma.masked_all((*shape, 2)),
            lambda: [[0.0] * source.randint(1, 3), [0.0] * source.randint(4, 6)],
            lambda: {source.random(): source.random()}.keys(),
            lambda: {source.randint(-9, 9), -99},
            lambda: source.randbytes(4),
            lambda: complex(source.random(), 1),
            lambda: [object()] * source.randint(1, 3),
            lambda: type("Made", (), {"value": source.random()})(),
            lambda: type("Made", (), {}),
        ]
    )()


def alike(array):
    """The same array in another guise, for which the result is the same."""
    yield np.ma.array(array)
    yield np.asfortranarray(array)
    yield np.stack([array, array], -1)[..., 0]
    if array.dtype.itemsize > 1:
        yield array.astype(array.dtype.newbyteorder(">"))


# Who is besieged


def callables():
    for prefix, holder in (
        ("", imagegen),
        ("datasets.", datasets),
        ("drawn.", drawn),
        ("sd3.", sd3),
    ):
        for name in public(holder):
            thing = getattr(holder, name)
            if not inspect.isclass(thing):
                if callable(thing):
                    yield f"{prefix}{name}"
                continue
            if prefix + name not in RECORDS | ABSTRACT:
                yield f"{prefix}{name}"
            for member, value in vars(thing).items():
                value = getattr(value, "__func__", value)
                plain = inspect.isfunction(value) and not member.startswith("_")
                called = member == "__call__" and not issubclass(thing, keras.layers.Layer)
                skipped = (ABSTRACT - {"ImageGenerator"}) | {"Way"}
                if (plain or called) and member not in KERAS and name not in skipped:
                    yield f"{prefix}{name}.{member}"


def found(name, objects):
    """The callable of a name: of methods, that of an object."""
    thing = imagegen
    for part in name.split("."):
        if inspect.isclass(thing):
            method = vars(thing).get(part)
            if not isinstance(method, classmethod | staticmethod):
                thing = objects.get(thing.__name__) or _made(thing)
        thing = getattr(thing, part)
    return thing


def _made(made):
    if made in (imagegen.FlowMap, imagegen.MeanFlow):
        return made(jumping())
    return made()


def parameters(function):
    """Arguments by name with their annotations, the options of sampling among them."""
    own = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            if "SamplingOptions" in str(parameter.annotation):
                own |= dict.fromkeys(imagegen.SamplingOptions.__annotations__, "option")
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            own[name] = parameter.annotation
    return own


def base(function, name, arguments, own):
    given = {}
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if key in own.get(name, {}):
            given[key] = own[name][key]
        elif parameter.default is parameter.empty:
            given[key] = arguments.get(key, 1)
    takes = set(parameters(function))
    if "num_steps" in takes and "sampler" in takes:
        given |= {"num_steps": 1, "seed": 0}
    return given


# What comes of it


@contextmanager
def limit(seconds):
    def stop(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def verdict(function, given, name, value, never):
    """Which kind of fault there is, or `None`."""
    try:
        with limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = function(**{**given, name: value})
            if inspect.isgenerator(result):
                result = list(result)
    except Hang:
        return "hang", ""
    except (ValueError, TypeError, FloatingPointError, OSError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        told = isinstance(value, str | Path) and repr(value)[1:-1] in str(error)
        if isinstance(error, OSError) and (error.filename is not None or told):
            return None, ""
        if not where.startswith(SOURCE):
            return "deep", repr(error)
        # Of a mapping, the key that is wrong says more than the argument.
        keys = [ALIASES.get(name, name), *(value if isinstance(value, dict) else [])]
        names = rf"\b({'|'.join([name, *map(re.escape, map(str, keys))])})\b"
        said = re.search(names, str(error)) and "eceived" in str(error)
        return (None, "") if said or told else ("unnamed", repr(error))
    except Exception as error:
        return "deep", repr(error)
    if never:
        return "wrong", f"returned {result!r:.80}"
    if not finite(result):
        return "NaN", repr(result)
    return None, ""


def finite(result):
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, tuple | list):
        return all(map(finite, result))
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return finite([getattr(result, field.name) for field in dataclasses.fields(result)])
    if isinstance(result, float | np.ndarray) or hasattr(result, "dtype"):
        try:
            array = keras.ops.convert_to_numpy(result)
        except Exception:
            return True
        return array.dtype.kind != "f" or not np.isnan(array).any()
    return True


def takes_anything(annotation):
    """Whether the type says nothing of what is in it: arrays of prompts hold any."""
    text = str(annotation)
    return "Any" in text or "ndarray" in text or annotation is inspect.Parameter.empty


def besiege(name, right):
    arguments, objects, own = right
    function = found(name, objects)
    given = base(function, name, arguments, own)
    every = parameters(function)
    faults, count = [], 0
    if not every:
        return 0, []
    source = random.Random(name)
    values = [(value, True) for value in NEVER] + [(value, False) for value in PLAUSIBLE]
    tried = NEVER if name in CHANGE else values
    fill = max(0, math.ceil(INPUTS / len(every)) - len(tried))
    for argument, annotation in every.items():
        more = [(garbage(source), True) for _ in range(fill)]
        for value, never in values + more:
            if name in CHANGE and not never:
                continue
            never = never and not takes_anything(annotation) and not admits(annotation, value)
            kind, text = verdict(function, given, argument, value, never)
            count += 1
            if kind:
                faults.append((kind, f"{name}({argument}={value!r:.60}): {text:.300}"))
    random_state = any(isinstance(one, keras.random.SeedGenerator) for one in given.values())
    if name not in CHANGE and "sampler" not in every and not random_state:
        for argument, array in given.items():
            if isinstance(array, np.ndarray) and array.dtype.kind in "iuf" and array.ndim:
                for other in alike(array):
                    count += 1
                    if fault := difference(function, given, argument, other):
                        faults.append(("wrong", f"{name}({argument}={other.dtype}): {fault}"))
    return count, faults


def difference(function, given, argument, other):
    """How the result for an array in another guise differs from the right one, if it does."""
    results = []
    for value in (given[argument], other):
        try:
            results.append(function(**{**given, argument: value}))
        except Exception as error:
            results.append(error)
    first, second = results
    if isinstance(first, Exception):
        return None  # There is no right one.
    if isinstance(second, Exception):
        return repr(second)
    pairs = zip(*map(keras.tree.flatten, results), strict=True)
    arrays = [pair for pair in pairs if all(hasattr(one, "shape") for one in pair)]
    same = all(
        np.allclose(*(keras.ops.convert_to_numpy(one).astype("float64") for one in pair), atol=1e-4)
        for pair in arrays
    )
    return None if same else "another result"


def admits(annotation, value):
    """Whether a value that is right for few is right for this annotation."""
    text = str(annotation)
    if "Callable" in text and callable(value):
        return True
    if "Iterable" in text and isinstance(value, collections.abc.Set):
        return False
    if isinstance(value, typing.KeysView):
        return "Iterable" in text
    return isinstance(value, types.FunctionType) and "Callable" in text


NAMES = sorted(set(callables()))


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_are_refused_by_name(name, right):
    count, faults = besiege(name, right)
    counts = collections.Counter(kind for kind, _ in faults)
    print(f"{name}: {count} inputs, {dict(counts)}")
    assert not faults, "\n".join(f"{kind}: {text}" for kind, text in faults[:40])


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda number: math.sqrt("number"), "unnamed"),
        (lambda number: [].index(number), "unnamed"),
        (lambda number: np.zeros(2).reshape(3), "unnamed"),
        (lambda number: {}[number], "deep"),
        (lambda number: np.float64("nan"), "NaN"),
        (lambda number: 1, "wrong"),
        (lambda number: time.sleep(5), "hang"),
    ],
)
def test_the_siege_sees_every_kind_of_fault(function, kind, monkeypatch):
    monkeypatch.setattr("test_siege.SECONDS", 1)
    monkeypatch.setattr("test_siege.SOURCE", __file__)
    assert verdict(function, {}, "number", object(), kind == "wrong")[0] == kind


def test_the_siege_sees_a_result_that_depends_on_the_byte_order():
    def misread(values):
        return values.view("float32" if values.dtype.isnative else ">i4")

    value = np.float32([1, 2])
    others = [difference(misread, {"values": value}, "values", other) for other in alike(value)]
    assert others[-1] == "another result"
