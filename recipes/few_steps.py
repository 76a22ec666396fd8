"""Trains students that paint in one to four steps.

    KERAS_BACKEND=tensorflow python recipes/few_steps.py captioned-64 --preset fast.keras

The teacher paints pictures from thousands of noises, with guidance, in its own many steps, and the
recipe keeps where each path is at five levels. Then the student learns to jump between them: in
four jumps, in two, and in one. It begins with the weights of its teacher. Prompts are written as in
the teacher's training, and what was held out there is held out here.

The paths are kept in the folder of the run, and so is a checkpoint after every epoch, a line in its
`log.csv`, and pictures over time. Kill the program at any moment: the same command goes on from
there. `benchmarks/few_steps.py` measures what has come of it.
"""

import argparse
import pathlib

import imagegen

import keras
import numpy as np
from captioned_32 import HELD_OUT, describe, train

SEED = 11
BATCH_SIZE = 32
PEAK_LEARNING_RATE = 5e-4
# What each teacher is asked with: steps that leave no error to see, and the guidance that its
# prompts need. A student has it built in.
TEACHERS = {
    "captioned-64": {"num_steps": 16, "guidance_scale": 2.0},
    "flowers-64-species": {"num_steps": 15, "guidance_scale": 3.0},
}
# How many paths with a prompt and without one, and how often each is learned from. A student that
# never saw the empty prompt can only guess what it means.
SCHOOLING = {"captioned-64": (4096, 0, 12), "flowers-64-species": (8192, 1024, 16)}


def captions(count: int) -> list[str]:
    rng, prompts = np.random.default_rng(SEED), []
    while len(prompts) < count:
        drawn = imagegen.drawn.sample_attributes(rng, upright=True)
        held_out = (drawn.petal_color, drawn.background_color) in HELD_OUT
        if not held_out and (drawn.num_petals <= 8 or rng.random() < 0.25):
            prompts.append(describe(drawn, rng))
    return prompts


def paths_of(teacher, prompts: int | list[str], file: pathlib.Path, **options) -> np.ndarray:
    """The paths in the file, or those that the teacher takes, which are written there."""
    if not file.is_file():
        paths = imagegen.trajectories(teacher, prompts, sampler=imagegen.DPMSolver2M(), **options)
        np.save(file, paths)
    return np.load(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teacher", choices=sorted(TEACHERS))
    parser.add_argument("--paths", type=int, help="how many; by default the preset's")
    parser.add_argument("--epochs", type=int, help="by default the preset's")
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()
    num_paths, num_untold, epochs = SCHOOLING[options.teacher]
    num_paths, epochs = options.paths or num_paths, options.epochs or epochs
    folder = options.folder or pathlib.Path("runs") / f"{options.teacher}-fast"
    folder.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(SEED)
    teacher = imagegen.presets.load(options.teacher, keras.Model)
    names = getattr(teacher.diffusion_model().encoder, "names", None)
    prompts = [names[i % len(names)] for i in range(num_paths)] if names else []
    prompts = prompts or captions(num_paths)
    walked = TEACHERS[options.teacher]
    paths = paths_of(teacher, prompts, folder / "paths.npy", seed=SEED, **walked)
    if num_untold:
        # Where it is told nothing, the teacher has another guide, or none.
        walked = {"num_steps": walked["num_steps"], "seed": SEED + 1}
        untold = paths_of(teacher, num_untold, folder / "untold.npy", **walked)
        paths = np.concatenate([paths, untold])
        prompts = prompts + [""] * num_untold

    student = imagegen.student_of(teacher)
    model = student.diffusion_model()
    steps = epochs * -(-len(paths) // BATCH_SIZE)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5, decay_steps=steps - 200, warmup_target=PEAK_LEARNING_RATE, warmup_steps=200
    )
    model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0))
    batches = imagegen.ShuffledBatches(
        (paths, model.encoder.tokens(prompts)), batch_size=BATCH_SIZE, seed=SEED
    )
    pictures = imagegen.ShowGenerated(
        prompts=prompts[:18], generator=student, folder=folder / "pictures", every=5
    )
    train(model, batches, epochs, folder, pictures)
    if options.preset:
        print(student.save_preset(options.preset, bits=8))


if __name__ == "__main__":
    main()
