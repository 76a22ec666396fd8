"""Photographs decoded and cropped a second: the folder loader, and those of Keras and torchvision.

    pip install -e . --group peers && python benchmarks/decoding.py

All read the same JPEGs, 500 x 600 pixels of quality 90, as in Oxford Flowers, and cut and shrink
each to 64 x 64. Keras's loader reads with TensorFlow. Its resizing doesn't look at all pixels
unless told to, so its pictures are rougher. One that isn't installed, or can't be imported, is left
out.

Claim: no slower than the others.
"""

import tempfile
from pathlib import Path

import imagegen

import keras
import numpy as np
from PIL import Image
from report import report
from turns import median_seconds

COUNT, SIZE, BATCH_SIZE, WORKERS, ROUNDS = 256, 64, 32, 2, 5


def write_photographs(folder: Path) -> None:
    """Noise of all scales: as hard to decode as photographs are."""
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        picture = np.zeros((500, 600, 3), "float32")
        for side in (4, 16, 64, 256):
            noise = Image.fromarray(generator.integers(0, 256, (side, side, 3), "uint8"))
            picture += np.asarray(noise.resize((600, 500), Image.Resampling.BICUBIC), "float32")
        path = folder / f"species {number % 4}" / f"{number:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((picture / 4).astype("uint8")).save(path, quality=90)


def of_imagegen(folder: Path, stream: bool):
    def run() -> None:
        pictures = imagegen.datasets.folder(folder, SIZE, stream=stream)
        if stream:
            batches = pictures.batches(BATCH_SIZE, workers=WORKERS)
            for index in range(len(batches)):
                batches[index]

    return run


def of_keras(folder: Path):
    def run() -> None:
        batches = keras.utils.image_dataset_from_directory(
            folder,
            image_size=(SIZE, SIZE),
            batch_size=BATCH_SIZE,
            crop_to_aspect_ratio=True,
            verbose=False,
        )
        for _ in batches:
            pass

    return run


def of_torchvision(folder: Path):
    import torch
    from torchvision import datasets, transforms

    steps = [transforms.Resize(SIZE), transforms.CenterCrop(SIZE), transforms.PILToTensor()]
    pictures = datasets.ImageFolder(folder, transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(
        pictures, BATCH_SIZE, num_workers=WORKERS, persistent_workers=True
    )

    def run() -> None:
        for _ in loader:
            pass

    return run


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder)
        contenders = {
            "imagegen, into memory": of_imagegen(folder, stream=False),
            "imagegen, batch by batch": of_imagegen(folder, stream=True),
        }
        for peer, prepare in (("Keras", of_keras), ("torchvision", of_torchvision)):
            try:
                contenders[peer] = prepare(folder)
                contenders[peer]()
            except (ImportError, RuntimeError) as error:
                # A torchvision built for another PyTorch raises a RuntimeError.
                contenders.pop(peer, None)
                print(f"{peer} is left out: {error}")
        medians = median_seconds(contenders, ROUNDS)
    rates = {name: COUNT / median for name, median in medians.items()}
    for name, rate in rates.items():
        print(f"{name:25} {rate:7.0f} pictures a second")
    ours = rates["imagegen, into memory"]
    results = [f"{ours / rate:.2f} times {name}" for name, rate in list(rates.items())[1:]]
    report("folder loader no slower than others", f"{ours:.0f} a second; " + ", ".join(results))


if __name__ == "__main__":
    main()
