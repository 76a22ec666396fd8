"""What students keep of their teachers in one, two and four steps, and what they cost.

    python benchmarks/few_steps.py
    python benchmarks/few_steps.py flowers-64-species --student fast.keras

A student of drawn flowers is held to its prompts: how often petals, centre and background have the
right colour, and the number of petals is right. A student of photographs is held to the photographs
that nobody learned from, by KID in the features of `species-64`, under the names of their species.
Diversity is how far apart two pictures of one prompt are, in levels of 255 a pixel, beside the
same for the teacher. Teachers paint at their defaults, and once more with the evaluations that the
student has: guidance takes two a step.

Claims: in four steps the drawn flowers' figures are within 2 points of the teacher's, and KID is at
most 1.25 times its; in one step at most 2.5 times; four steps cost at most a fifth of the time.
"""

import argparse
from collections.abc import Callable

import imagegen

import keras
import numpy as np
from PIL import Image
from prompt_adherence import prompts_of
from report import report
from turns import median_seconds

STUDENTS = {"captioned-64": "captioned-64-fast", "flowers-64-species": "flowers-64-species-fast"}
BATCH_SIZE, NUM_PROMPTS, NUM_ALIKE, ROUNDS = 50, 8, 16, 5
STEPS = (4, 2, 1)


def drawn(count: int) -> tuple[list[str], Callable[[np.ndarray], str]]:
    prompts = prompts_of(held_out=False)[:count]

    def told(images: np.ndarray) -> str:
        share = imagegen.drawn.prompt_adherence(images, prompts)
        return (
            f"petals {share.petal_color:.1%}, centre {share.center_color:.1%}, background "
            f"{share.background_color:.1%}, number {share.num_petals:.1%}"
        )

    return prompts, told


def photographs(count: int) -> tuple[list[str], Callable[[np.ndarray], str]]:
    held_out = imagegen.datasets.flowers("oxford", 64, split="test")
    known = imagegen.DiffusionModel.from_preset("flowers-64-species").encoder.names
    names = [held_out.names[label] for label in held_out.labels]
    names = [name for name in names if name in known]
    network = imagegen.feature_model("species-64")
    real = imagegen.extract_features(held_out.images, network)

    def told(images: np.ndarray) -> str:
        own = imagegen.extract_features(images, network)
        kid, error = imagegen.kernel_inception_distance(own, real)
        return f"KID {kid:.4f} ± {error:.4f}"

    return list(np.random.default_rng(0).choice(names, count)), told


def diversity(painter: imagegen.ImageGenerator, prompts: list[str], **options) -> float:
    """How far apart two pictures of one prompt are on average, the root of the mean square."""
    images = painter.generate(
        [prompt for prompt in prompts for _ in range(NUM_ALIKE)],
        seed=1,
        batch_size=BATCH_SIZE,
        **options,
    )
    alike = images.reshape(len(prompts), NUM_ALIKE, -1).astype("float32")
    # Twice the variance is the mean square of a difference.
    return float(np.sqrt(2 * alike.var(axis=1, ddof=1).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teachers", nargs="*", default=STUDENTS, help="both by default")
    parser.add_argument("--student", help="a path; by default the preset")
    parser.add_argument("--num-images", type=int, default=500)
    parser.add_argument("--pictures", help="where to save sixteen of each, a row each")
    options = parser.parse_args()
    for name in options.teachers:
        measure(name, options.student or STUDENTS[name], options.num_images, options.pictures)


def measure(name: str, student_name: str, count: int, pictures: str | None) -> None:
    teacher = imagegen.presets.load(name, keras.Model)
    student = imagegen.presets.load(student_name, keras.Model)
    prompts, told = (drawn if name.startswith("captioned") else photographs)(count)
    ways = {"teacher, as it comes": (teacher, {})}
    for steps in STEPS:
        ways[f"student, {steps} evaluations"] = (student, {"num_steps": steps})
    for steps in (2, 1):
        ways[f"teacher, {2 * steps} evaluations"] = (teacher, {"num_steps": steps})
    rows = []
    for way, (painter, chosen) in ways.items():
        images = painter.generate(prompts, seed=0, batch_size=BATCH_SIZE, **chosen)
        rows.append(images[:16])
        apart = diversity(painter, prompts[:NUM_PROMPTS], **chosen)
        report(f"{name}: 4 evaluations nearly as good", f"{way}: {told(images)}; {apart:.0f} apart")
    if pictures:
        Image.fromarray(imagegen.grid(np.concatenate(rows), columns=16)).save(pictures)
    calls = {
        way: lambda painter=painter, chosen=chosen: painter.generate(prompts[:16], seed=0, **chosen)
        for way, (painter, chosen) in list(ways.items())[:2]
    }
    full, few = median_seconds(calls, ROUNDS).values()
    report(f"{name}: 4 evaluations cost at most a fifth", f"{few / full:.3f} of the time")


if __name__ == "__main__":
    main()
