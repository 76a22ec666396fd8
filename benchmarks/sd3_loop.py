"""Stable Diffusion 3's loop: KerasHub's steps taken one by one, against one compiled program.

    python benchmarks/sd3_loop.py

Claims: 28 steps of the tiny model at least 15 times faster than `backbone.denoise_step` in a Python
loop, as the book writes it; one program for all numbers of steps; the frames of a walk between two
prompts change less than a third as much as under fresh noise. Both loops take turns, so that a busy
machine slows both. What is gained is what Python and KerasHub do between the operations: with
weights of full size, on a device of its own, it is little.
"""

import statistics
import time

import imagegen
from imagegen import sd3

import keras
import numpy as np

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


def seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def mean_change(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames.astype(int), axis=0)).mean())


def main() -> None:
    model = sd3.tiny()
    conditions, nothing = model.encode_prompts(PROMPTS[0]), model.encode_prompts("")
    noise = np.random.default_rng(0).standard_normal((1, *model.sample_shape), "float32")
    options = {"guidance_scale": 7.0, "num_steps": STEPS}
    # Encoded before, for both loops.
    encoded = {"negative_prompts": nothing, **options}
    (positive, positive_pooled), (negative, negative_pooled) = conditions, nothing
    embeddings = (positive, negative, positive_pooled, negative_pooled)

    theirs = step_by_step(model.backbone, embeddings, noise)
    ours = model.sample(conditions, noise=noise, **encoded)
    print(f"latents differ by at most {np.abs(ours - theirs).max():.0e}")
    model.generate(conditions, noise=noise, **encoded)
    # KerasHub's decoder is left out there, and is in here.
    pairs = [
        (
            seconds(lambda: step_by_step(model.backbone, embeddings, noise)),
            seconds(lambda: model.generate(conditions, noise=noise, **encoded)),
        )
        for _ in range(ROUNDS)
    ]
    eager, compiled = map(statistics.median, zip(*pairs, strict=True))
    print(f"step by step {1000 * eager:.0f} ms, compiled {1000 * compiled:.1f} ms, with decoding")
    print(f"{eager / compiled:.0f} times faster (claim: at least 15)")

    first = seconds(lambda: model.generate(conditions, noise=noise, num_steps=100))
    print(f"100 steps for the first time: {first:.2f} s: nothing is compiled again")

    frames = imagegen.prompt_walk(model, PROMPTS, FRAMES, between=(0.5, 0.6), seed=0, **options)
    ends = model.encode_prompts(PROMPTS)
    way = imagegen.Conditions(*(imagegen.walk(end, FRAMES, between=(0.5, 0.6)) for end in ends))
    fresh = model.generate(way, seed=0, **options)
    share = mean_change(frames) / mean_change(fresh)
    print(f"frames change {share:.3f} times as much as under fresh noise (claim: under 1/3)")


if __name__ == "__main__":
    main()
