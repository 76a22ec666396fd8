"""How good a flower model is: its pictures against the 500 photographs that training never saw.

    python benchmarks/flowers_quality.py flowers-64 --num-images 1000
    python benchmarks/flowers_quality.py flowers-64-species --species --guidance-scale 3
    python benchmarks/flowers_quality.py flowers-64 --sampler ddpm --steps 128 --even-times \
        --autoguidance-scale 1.1

The model is a preset's name or the path of a `.keras` file. With `--species` it is told to paint
those of the held-out photographs, and without it paints what it likes. Pictures come in batches of
50, so that one compiled program serves.

Claims: the pictures are no copies. In features, the nearest training picture is no nearer to them
than to the held-out photographs. In pixels, they are no nearer to 500 training pictures than to the
500 held-out ones. Beside them stand real photographs of the training split, as if a model had made
them: the best that can be had.
"""

import argparse

import imagegen

import numpy as np
from report import report
from tqdm import trange

BATCH_SIZE = 50
SAMPLERS = {
    "ddim": imagegen.DDIM(),
    "ddpm": imagegen.DDPM(),
    "dpm-solver": imagegen.DPMSolver2M(),
    "euler": imagegen.Euler(),
    "heun": imagegen.Heun(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a flower model.")
    parser.add_argument("model", nargs="?", default="flowers-64", help="a preset's name or a path")
    parser.add_argument("--num-images", type=int, default=1000)
    parser.add_argument("--sampler", choices=SAMPLERS, default="dpm-solver")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--even-times", action="store_true", help="not even log SNR")
    parser.add_argument("--species", action="store_true", help="prompts for those held out")
    parser.add_argument("--guidance-scale", type=float, default=1.0, help="for species")
    parser.add_argument("--autoguidance-scale", type=float, help="away from the poorer network")
    parser.add_argument("--features", choices=["species-64", "inception-v3"], default="species-64")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    training = imagegen.datasets.flowers("oxford", 64, split="train")
    held_out = imagegen.datasets.flowers("oxford", 64, split="test")
    random = np.random.default_rng(options.seed)
    model = imagegen.DiffusionModel.from_preset(options.model)
    if not options.even_times:
        model.schedule = imagegen.EvenLogSNRSchedule(model.schedule)
    if options.autoguidance_scale is not None:
        model.autoguidance_scale = options.autoguidance_scale
    species = [held_out.names[label] for label in held_out.labels]
    generated = generate(model, options, species)

    network = imagegen.feature_model(options.features)
    generated_features, training_features, mirrored_features, held_out_features = (
        imagegen.extract_features(images, network)
        for images in (generated, training.images, training.images[:, :, ::-1], held_out.images)
    )
    print(
        f"{options.model}: {len(generated)} pictures, {options.steps} steps of {options.sampler},"
    )
    print(f"features of {options.features}, against {len(held_out.images)} held-out photographs\n")
    photographs = training_features[random.permutation(len(training_features))[: len(generated)]]
    for name, features in (("model", generated_features), ("photographs", photographs)):
        kid = imagegen.kernel_inception_distance(features, held_out_features)
        precision, recall = imagegen.precision_and_recall(features, held_out_features)
        report(
            "none",
            f"{name}: KID {kid.distance:.4f} ± {kid.standard_error:.4f}, "
            f"precision {precision:.3f}, recall {recall:.3f}",
        )

    # Training sees each photograph mirrored, too, so a copy may be of either.
    known = np.concatenate([training_features, mirrored_features])
    found = []
    for name, features in (("model", generated_features), ("held-out", held_out_features)):
        distances = imagegen.nearest_neighbors(features, known).distances
        found.append(f"{name} {np.percentile(distances, [1, 5, 50]).round(2)}")
    report(
        "from features to the nearest of all training pictures, percentiles 1, 5, 50, not below "
        "those of held-out photographs",
        ", ".join(found),
    )

    some = training.images[random.permutation(len(training.images))[: len(held_out.images)]]
    found = []
    for name, pictures in (("training", some), ("held-out", held_out.images)):
        distances = imagegen.nearest_neighbors(generated, pictures).distances
        found.append(f"{np.mean(distances) / np.sqrt(generated[0].size):.2f} to {name}")
    report(
        "in pixels no nearer to 500 training pictures than to 500 held-out ones",
        ", ".join(found) + " levels",
    )


def generate(
    model: imagegen.DiffusionModel, options: argparse.Namespace, species: list[str]
) -> np.ndarray:
    """Generates pictures in batches of one size, each from a seed of its own."""
    if options.species:
        species = [name for name in species if name in model.encoder.names]
    random = np.random.default_rng(options.seed)
    batches = [
        model.generate(
            random.choice(species, BATCH_SIZE).tolist() if options.species else BATCH_SIZE,
            # A student has its teacher's built in.
            guidance_scale=None if model.knows_guidance else options.guidance_scale,
            num_steps=options.steps,
            sampler=SAMPLERS[options.sampler],
            seed=options.seed + number,
        )
        for number in trange(-(-options.num_images // BATCH_SIZE), desc="generate")
    ]
    return np.concatenate(batches)[: options.num_images]


if __name__ == "__main__":
    main()
