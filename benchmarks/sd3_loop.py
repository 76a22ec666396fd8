"""Stable Diffusion 3's loop: KerasHub's steps taken one by one, against one compiled program.

    python benchmarks/sd3_loop.py

Claims: 28 steps of the tiny model at least 15 times faster than `backbone.denoise_step` in a Python
loop, as the book writes it; one program for all numbers of steps; the frames of a walk between two
prompts change less than a third as much as under fresh noise. Both loops take turns, so that a busy
machine slows both. What is gained is what Python and KerasHub do between the operations: a larger
transformer, of 256 channels and 8 layers for pictures of 128 x 128, shows how it shrinks.
"""

import time

import imagegen
from imagegen import sd3

import keras
import numpy as np
from report import report
from turns import median_seconds

PROMPTS = (
    "A friendly dog looking up in a field of flowers",
    "A horrifying, tentacled creature hovering over a field of flowers",
)
STEPS, ROUNDS, FRAMES = 28, 7, 9


def step_by_step(backbone, embeddings, noise):
    """KerasHub's parts, as one would write the loop with them."""
    backbone.configure_scheduler(STEPS)
    latents = keras.ops.convert_to_tensor(noise)
    for step in range(STEPS):
        latents = backbone.denoise_step(latents, embeddings, step, STEPS, 7.0)
    return keras.ops.convert_to_numpy(latents)


def mean_change(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames.astype(int), axis=0)).mean())


def faster(model: sd3.StableDiffusion3) -> str:
    """How many times faster the compiled loop is, and how far apart the latents of both are."""
    positive, positive_pooled = model.encode_prompts(PROMPTS[0])
    negative, negative_pooled = model.encode_prompts("")
    embeddings = (positive, negative, positive_pooled, negative_pooled)
    noise = np.random.default_rng(0).standard_normal((1, *model.sample_shape), "float32")
    # Encoded before, for both loops.
    conditions = imagegen.Conditions(positive, positive_pooled)
    options = {
        "negative_prompts": imagegen.Conditions(negative, negative_pooled),
        "noise": noise,
        "guidance_scale": 7.0,
        "num_steps": STEPS,
    }
    theirs = step_by_step(model.backbone, embeddings, noise)
    apart = np.abs(model.sample(conditions, **options) - theirs).max()
    medians = median_seconds(
        {
            "step by step": lambda: step_by_step(model.backbone, embeddings, noise),
            # KerasHub's decoder is left out there, and is in here.
            "compiled, with decoding": lambda: model.generate(conditions, **options),
        },
        ROUNDS,
    )
    for name, median in medians.items():
        print(f"{name:25} {1000 * median:.0f} ms")
    eager, compiled = medians.values()
    return f"{eager / compiled:.1f} times; latents differ by at most {apart:.0e}"


def main() -> None:
    model = sd3.tiny()
    report(f"{STEPS} steps at least 15 times faster than one by one", faster(model))
    larger = sd3.tiny(image_size=128, hidden_dim=256, num_layers=8)
    report("the same of 256 channels and 8 layers: none", faster(larger))

    start = time.perf_counter()
    model.generate(PROMPTS[0], num_steps=100)
    first = time.perf_counter() - start
    print(f"100 steps for the first time: {first:.2f} s: nothing is compiled again")

    options = {"guidance_scale": 7.0, "num_steps": STEPS}
    frames = imagegen.prompt_walk(model, PROMPTS, FRAMES, between=(0.5, 0.6), seed=0, **options)
    ends = model.encode_prompts(PROMPTS)
    way = imagegen.Conditions(*(imagegen.walk(end, FRAMES, between=(0.5, 0.6)) for end in ends))
    fresh = model.generate(way, seed=0, **options)
    share = mean_change(frames) / mean_change(fresh)
    report("frames change under 1/3 as much as under fresh noise", f"{share:.3f} times")


if __name__ == "__main__":
    main()
