"""Writes what the flower painter loads: `python docs/_machinery/painter_data.py FOLDER`.

The network is what the package exports: one evaluation, as ONNX. Presets hold kernels in half
precision, and so does the file. The browser widens them again and computes in single precision, so
that its pictures are those of the package.
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

# Any diffusion model in pixels whose prompts are names of classes can take its place.
PRESET = "flowers-64-species"
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
    model = imagegen.DiffusionModel.from_preset(PRESET)
    content = gzip.compress(denoiser(model), mtime=0)
    digest = hashlib.sha256(content).hexdigest()[:16]
    (painter / "denoiser.bin").write_bytes(content)
    file = {"name": "denoiser.bin", "bytes": len(content), "digest": digest}
    (painter / "model.json").write_text(json.dumps(description(model) | {"file": file}))
    stills(model, painter)


def denoiser(model: imagegen.DiffusionModel) -> bytes:
    """One evaluation of the network as ONNX, with every long array in half precision."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "denoiser.onnx"
        model.export(path, part="denoiser")
        exported = onnx.load(path)
    graph = exported.graph
    widened = []
    for array in list(graph.initializer):
        values = onnx.numpy_helper.to_array(array)
        half = values.astype("float16")
        if values.dtype != np.float32 or values.size < SHORT or (half != values).any():
            continue
        name = f"{array.name}_half"
        graph.initializer.remove(array)
        graph.initializer.append(onnx.numpy_helper.from_array(half, name))
        widened.append(onnx.helper.make_node("Cast", [name], [array.name], to=1))
    nodes = [*widened, *graph.node]
    del graph.node[:], graph.value_info[:]
    for node in nodes:
        # Where in Python each came from, which no reader needs.
        node.doc_string = ""
        del node.metadata_props[:]
    graph.node.extend(nodes)
    return exported.SerializeToString()


def description(model: imagegen.DiffusionModel) -> dict:
    """What the page has to know about a model."""
    mean, variance = (
        np.broadcast_to(np.ravel(statistic), model.sample_shape[-1:])
        for statistic in (model.normalizer.adapt_mean, model.normalizer.adapt_variance)
    )
    names = list(model.encoder.names)
    assert type(model.schedule) is EvenLogSNRSchedule
    assert type(model.schedule.schedule) is CosineSchedule
    rates = model.schedule.schedule
    return {
        "preset": PRESET,
        "shape": list(model.sample_shape),
        "mean": mean.tolist(),
        "deviation": np.sqrt(variance).tolist(),
        "range": list(model.value_range),
        "minSignalRate": rates.min_signal_rate,
        "maxSignalRate": rates.max_signal_rate,
        "species": names,
        "empty": int(model.encoder.empty),
        "steps": model.sampling["num_steps"],
        "sampler": SAMPLERS[type(model.sampling["sampler"])],
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
