"""Writes what exhibits load, from the package: `python docs/_machinery/exhibit_data.py FOLDER`.

Networks are written exactly as presets hold them: kernels in half precision, biases in single. Of
each array first all first bytes are written, then all second ones: the bytes with the exponents
repeat, and gzip finds it.
"""

import gzip
import itertools
import json
import sys
from pathlib import Path

import imagegen

import keras
import numpy as np
from PIL import Image

# So many of the test digits are scattered over the plane. More would hide each other.
NUM_DOTS = 1000
# The plane is shown from -3.6 to 3.6. A handful of these digits lie beyond.
LIMIT = 3.6
SIZE = 360
COLORS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    *("#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
)
MAP = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 360" font-family="sans-serif">
<g fill="none" stroke="#888" stroke-opacity=".6">
<path d="M0.5.5h359v359h-359zM180 0v360M0 180h360"/>
<circle cx="180" cy="180" r="{radius:.1f}"/>
</g>
<g stroke-linecap="round" stroke-width="3.4" stroke-opacity=".75">
{dots}
</g>
<g fill="#fff" stroke-width="1.6" text-anchor="middle" font-size="10" font-weight="bold">
{names}
</g>
</svg>
"""


def main(folder: Path) -> None:
    plane, schedules, lab = (
        folder / name for name in ("latent_plane", "schedules", "diffusion_lab")
    )
    for one in (plane, schedules, lab):
        one.mkdir(parents=True)
    latent_plane(plane)
    flower(schedules)
    walks(lab)


def latent_plane(folder: Path) -> None:
    """Writes both networks, the map of the digits, and what the decoder draws at first."""
    vae = imagegen.VAE.from_preset("digits-2d")
    (folder / "decoder.bin").write_bytes(network(vae.decoder.layers))
    layers = [layer for layer in vae.encoder.layers if layer.name != "log_variance"]
    (folder / "encoder.bin").write_bytes(network(layers))
    images, labels = imagegen.datasets.digits("mnist-sample", split="test")
    mean, labels = vae.encode(images[:NUM_DOTS])[0], labels[:NUM_DOTS]
    hundredths = np.column_stack([mean * 100, labels]).round().astype(int).tolist()
    digits = json.dumps({"limit": LIMIT, "digits": hundredths}, separators=(",", ":"))
    (folder / "digits.json").write_text(digits)
    (folder / "map.svg").write_text(drawn_map(mean, labels))
    first = vae.decode(mean[labels == 1][:1])
    Image.fromarray(imagegen.to_uint8(first)[0, ..., 0]).save(folder / "digit.png", optimize=True)


def drawn_map(mean: np.ndarray, labels: np.ndarray) -> str:
    """The digits as dots, coloured by class, and each class by name."""
    places = SIZE / 2 * (1 + mean * (1, -1) / LIMIT)
    dots, names = [], []
    for label, color in enumerate(COLORS):
        own = places[labels == label]
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in own)
        dots.append(f'<path stroke="{color}" d="{path}"/>')
        # On the dot nearest to the middle of its class that is clear of the names before.
        by_distance = own[np.hypot(*(own - np.median(own, axis=0)).T).argsort()]
        clear = (dot for dot in by_distance if all(np.hypot(*(dot - n)) > 22 for n in names))
        names.append(next(clear))
    circles = "\n".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" stroke="{COLORS[label]}"/>'
        f'<text x="{x:.1f}" y="{y + 3.5:.1f}" fill="#222">{label}</text>'
        for label, (x, y) in enumerate(names)
    )
    # Nine tenths of a normal distribution in the plane are within sqrt(2 log 10) of its centre.
    radius = SIZE / 2 / LIMIT * np.sqrt(2 * np.log(10))
    return MAP.format(radius=radius, dots="\n".join(dots), names=circles)


def flower(folder: Path) -> None:
    """Writes a flower, plain and noisy, and the mean and deviation of all flowers, by colour."""
    flowers = imagegen.datasets.flowers("painted", split="test")
    image = flowers.images[list(flowers.labels).index(flowers.names.index("corn poppy"))]
    mean, deviation = flowers.images.mean(axis=(0, 1, 2)), flowers.images.std(axis=(0, 1, 2))
    statistics = {"mean": mean.tolist(), "deviation": deviation.tolist()}
    (folder / "flower.json").write_text(json.dumps(statistics))
    noise_rate, signal_rate = map(np.asarray, imagegen.CosineSchedule()(0.4))
    noise = np.random.default_rng(0).standard_normal(image.shape)
    noisy = mean + deviation * (signal_rate * (image - mean) / deviation + noise_rate * noise)
    for name, picture in {"flower": image, "noisy": noisy.clip(0, 255).astype("uint8")}.items():
        Image.fromarray(picture).save(folder / f"{name}.png", optimize=True)


def walks(folder: Path) -> None:
    """Draws the lab's still picture: walks from noise to an S, led by the exact answer."""
    schedule = imagegen.CosineSchedule(max_signal_rate=0.999)
    points = imagegen.datasets.s_curve(1000, noise=0.07)
    points = (points - points.mean(axis=0)) / points.std(axis=0)

    def denoise(noisy: np.ndarray, time: float) -> np.ndarray:
        noise_rate, signal_rate = map(float, schedule(time))
        squares = ((noisy[:, None] - signal_rate * points) ** 2).sum(axis=2) / noise_rate**2
        weights = np.exp((squares.min(axis=1, keepdims=True) - squares) / 2)
        return weights @ points / weights.sum(axis=1, keepdims=True)

    stops = [imagegen.Level(*row) for row in imagegen.samplers.levels(schedule, 30)[:31]]
    noisy = imagegen.samplers.initial_noise(300, (2,), seed=0)
    places, state = [noisy], ()
    for now, after in itertools.pairwise(stops):
        noisy, _, state = imagegen.DDIM().step(denoise, noisy, now, after, state)
        places.append(noisy)
    # Up is up, and a unit is 60 pixels.
    ways = (200 + np.stack(places, axis=1) * [60, -60]).round(1)
    lines = "".join(f"M{' '.join(f'{x:g},{y:g}' for x, y in way)}" for way in ways[:60])
    dots = "".join(f"M{x:g},{y:g}h0" for x, y in ways[:, -1])
    (folder / "still.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400" fill="none" '
        f'stroke="#6f82e0"><path d="{lines}" opacity="0.35"/>'
        f'<path d="{dots}" stroke-width="3.5" stroke-linecap="round"/></svg>\n'
    )


def network(layers: list[keras.Layer]) -> bytes:
    """A chain of layers: a line of JSON, and then their weights."""
    described, weights = [], []
    for layer in layers:
        if isinstance(layer, keras.layers.InputLayer | keras.layers.Reshape | keras.layers.Flatten):
            continue
        kernel, bias = layer.get_weights()
        described.append(description(layer))
        # All kernels as (rows, columns, inputs, outputs).
        if isinstance(layer, keras.layers.Conv2DTranspose):
            kernel = kernel.transpose(0, 1, 3, 2)
        half = kernel.astype("<f2")
        assert (half == kernel).all(), f"{layer.name} is not in half precision"
        weights += [planes(half), planes(bias.astype("<f4"))]
    content = b"".join([json.dumps(described).encode(), b"\n", *weights])
    return gzip.compress(content, mtime=0)


def description(layer: keras.Layer) -> dict:
    """What a layer computes. A dense layer is a convolution of one pixel."""
    activation = layer.activation.__name__
    if isinstance(layer, keras.layers.Dense):
        inputs, outputs = layer.kernel.shape
        ends = {"input": [1, 1, inputs], "output": [1, 1, outputs]}
        return {"kind": "conv", **ends, "kernel": 1, "stride": 1, "activation": activation}
    kinds = {keras.layers.Conv2D: "conv", imagegen.SubPixelConv2DTranspose: "transposed"}
    return {
        "kind": kinds[type(layer)],
        "input": list(layer.input.shape[1:]),
        "output": list(layer.output.shape[1:]),
        "kernel": layer.kernel_size[0],
        "stride": layer.strides[0],
        "activation": activation,
    }


def planes(array: np.ndarray) -> bytes:
    """An array's bytes, all first ones first."""
    return array.reshape(-1, 1).view("uint8").T.tobytes()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
