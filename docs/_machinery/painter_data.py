"""Writes what the flower painter loads: `python docs/_machinery/painter_data.py FOLDER`.

Each network is what the package exports: one evaluation, as ONNX. Presets hold kernels in half
precision, or in one byte a number, and so do the files. The browser widens them again and computes
in single precision, so that its pictures are those of the package.
"""

import gzip
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import imagegen
from imagegen import CosineSchedule, EvenLogSNRSchedule

import numpy as np
import onnx
from PIL import Image

# Any diffusion model in pixels whose prompts are names of classes can take the teacher's place.
NETWORKS = {"teacher": "flowers-64-species", "student": "flowers-64-species-fast"}
SAMPLERS = {
    imagegen.DDIM: "ddim",
    imagegen.Euler: "euler",
    imagegen.Heun: "heun",
    imagegen.DPMSolver2M: "dpm",
}
# The still picture: a sunflower in the middle of the way.
STILL, STILL_SEED, STILL_STEP = "sunflower", 2, 6
# Shorter arrays stay as they are: biases, and constants of the graph.
SHORT = 256


def main(folder: Path) -> None:
    painter = folder / "flower_painter"
    painter.mkdir(parents=True)
    models = {
        name: imagegen.DiffusionModel.from_preset(preset) for name, preset in NETWORKS.items()
    }
    common, other = (shared(model) for model in models.values())
    assert common == other
    networks = {name: own(name, model, painter) for name, model in models.items()}
    (painter / "model.json").write_text(json.dumps(common | {"networks": networks}))
    stills(models["teacher"], painter)


def denoiser(model: imagegen.DiffusionModel) -> bytes:
    """One evaluation of the network as ONNX, with every long array as short as in its preset."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "denoiser.onnx"
        model.export(path, part="denoiser")
        exported = onnx.load(path)
    graph = exported.graph
    widening = []
    for array in list(graph.initializer):
        values = onnx.numpy_helper.to_array(array)
        if values.dtype != np.float32 or values.size < SHORT or (kept := shortened(values)) is None:
            continue
        short, scale = kept
        graph.initializer.remove(array)
        name = array.name
        graph.initializer.append(onnx.numpy_helper.from_array(short, f"{name}_short"))
        if scale is None:
            widening.append(onnx.helper.make_node("Cast", [f"{name}_short"], [name], to=1))
            continue
        graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{name}_scale"))
        widening.append(onnx.helper.make_node("Cast", [f"{name}_short"], [f"{name}_steps"], to=1))
        parts = [f"{name}_steps", f"{name}_scale"]
        widening.append(onnx.helper.make_node("Mul", parts, [name]))
    nodes = [*widening, *graph.node]
    del graph.node[:], graph.value_info[:]
    for node in nodes:
        # Where in Python each came from, which no reader needs.
        node.doc_string = ""
        del node.metadata_props[:]
    graph.node.extend(nodes)
    return exported.SerializeToString()


def shortened(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None] | None:
    """An array in half precision, or in bytes with a scale a channel, if it is the same array."""
    half = values.astype("float16")
    if (half == values).all():
        return half, None
    for axis in range(values.ndim):
        others = tuple(other for other in range(values.ndim) if other != axis)
        scale = np.maximum(abs(values).max(others, keepdims=True), 1e-30) / 127
        steps = np.round(values / scale)
        if np.allclose(steps * scale, values, rtol=1e-6, atol=0):
            return steps.astype("int8"), scale
    return None


def shared(model: imagegen.DiffusionModel) -> dict:
    """What the page has to know about a model, which is the same for its student."""
    mean, variance = (
        np.broadcast_to(np.ravel(statistic), model.sample_shape[-1:])
        for statistic in (model.normalizer.adapt_mean, model.normalizer.adapt_variance)
    )
    rates = model.schedule.evenly()
    assert type(rates) is CosineSchedule
    return {
        "shape": list(model.sample_shape),
        "mean": mean.tolist(),
        "deviation": np.sqrt(variance).tolist(),
        "range": list(model.value_range),
        "minSignalRate": rates.min_signal_rate,
        "maxSignalRate": rates.max_signal_rate,
        "species": list(model.encoder.names),
        "empty": int(model.encoder.empty),
    }


def own(name: str, model: imagegen.DiffusionModel, folder: Path) -> dict:
    """What is a model's own. Its network goes to a file."""
    assert type(model.schedule) is (CosineSchedule if model.jumps else EvenLogSNRSchedule)
    steps = model.sampling["num_steps"]
    content = gzip.compress(denoiser(model), mtime=0)
    (folder / f"{name}.bin").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()[:16]
    return {
        "preset": NETWORKS[name],
        "jumps": model.jumps,
        "steps": steps,
        # A student knows the ways of its teacher in as many jumps, or by a divisor of it.
        "stepsToChoose": [n for n in range(1, steps + 1) if steps % n == 0]
        if model.jumps
        else [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50],
        "sampler": SAMPLERS[type(model.sampling["sampler"])],
        # Guidance is in what a student has learned.
        "guidance": 1 if model.jumps else 3,
        "file": {"name": f"{name}.bin", "bytes": len(content), "digest": digest},
    }


def stills(model: imagegen.DiffusionModel, folder: Path) -> None:
    """Draws what stands there before any script runs: the noisy picture, and the guess."""
    steps = list(model.generate_steps([STILL], seed=STILL_SEED))
    pictures = {"noisy": steps[STILL_STEP][0], "guess": steps[STILL_STEP + 1][1]}
    pictures["flower"] = steps[-1][0]
    for name, (picture,) in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
