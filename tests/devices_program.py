"""Run by test_devices.py, alone: eight devices have to be asked for before JAX looks for any."""

import json
import sys

import jax

FOLDER = sys.argv[1]

jax.config.update("jax_num_cpu_devices", 8)
# The same programs are asked for again and again, by models that are made anew.
jax.config.update("jax_enable_compilation_cache", True)
jax.config.update("jax_compilation_cache_dir", f"{FOLDER}/programs")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

import imagegen

import keras
import numpy as np

PROMPTS = ["a red flower with five petals", "a blue flower with six petals"] * 4
DEVICES = keras.distribution.list_devices()
IMAGES, CAPTIONS, _ = imagegen.datasets.captioned_flowers(32, image_size=16, seed=0)


def data_parallel(count: int):
    return keras.distribution.DataParallel(devices=DEVICES[:count])


def model_parallel():
    """Two shares of every batch, and in each a network that is spread over four devices."""
    mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"), DEVICES)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*conv2d.*kernel"] = (None, None, None, "model")
    layout[".*attention.*(query|key|value).*kernel"] = (None, None, "model")
    layout[".*word_vectors"] = (None, "model")
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


def make_model() -> imagegen.DiffusionModel:
    keras.utils.set_random_seed(0)
    tokenizer = imagegen.WordTokenizer.fit([*CAPTIONS, *PROMPTS], length=24)
    network = imagegen.UNet(
        16,
        [16, 32],
        block_depth=1,
        norm="group",
        embedding_dim=16,
        condition_dim=16,
        context_shape=(24, 16),
        attention_resolutions=[8],
    )
    model = imagegen.DiffusionModel(
        network,
        encoder=imagegen.TextEncoder(tokenizer, dim=16, num_layers=1),
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
    )
    model.normalizer.adapt(IMAGES)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def trained(distribution, epochs: int = 2, folder: str | None = None) -> dict:
    """Losses, weights and pictures of a training under a distribution."""
    keras.distribution.set_distribution(distribution)
    model = make_model()
    batches = imagegen.ShuffledBatches(
        (IMAGES, model.encoder.tokens(CAPTIONS)), batch_size=16, seed=1
    )
    checkpoint = imagegen.Checkpoint(folder or f"{FOLDER}/unused", batches)
    done = checkpoint.restore(model) if folder else 0
    history = model.fit(
        batches,
        shuffle=False,
        initial_epoch=done,
        epochs=epochs,
        callbacks=[checkpoint] if folder else [],
        verbose=0,
    )
    kernel = next(weight for weight in model.network.weights if "kernel" in weight.path)
    kernels = [weight for weight in model.network.weights if weight.path.endswith("kernel")]
    return {
        "losses": history.history["loss"],
        "weights": [float(np.abs(each).sum()) for each in model.network.get_weights()],
        "pictures": model.generate(PROMPTS, num_steps=3, seed=0).tolist(),
        "few": model.generate(PROMPTS[:3], num_steps=3, seed=0).tolist(),
        "devices": len(kernel.value.devices()),
        "split": sum(not kernel.value.is_fully_replicated for kernel in kernels),
    }


def shares_of_sampling() -> int:
    """Between how many devices the pictures are divided while they are sampled."""
    keras.distribution.set_distribution(data_parallel(8))
    model, seen = make_model(), []

    class Watching(imagegen.DDIM):
        def step(self, denoise, noisy, now, after, state):
            jax.debug.inspect_array_sharding(noisy, callback=seen.append)
            return super().step(denoise, noisy, now, after, state)

    model.generate(PROMPTS, num_steps=2, seed=0, sampler=Watching())
    return seen[0].num_devices // (8 if seen[0].is_fully_replicated else 1)


def refused(batch_size: int, count: int, data=None) -> str:
    keras.distribution.set_distribution(data_parallel(8))
    model = make_model()
    before = model.network.get_weights()
    try:
        model.fit(
            data or IMAGES[:count],
            None if data else CAPTIONS[:count],
            batch_size=None if data else batch_size,
            verbose=0,
        )
    except ValueError as error:
        same = all(map(np.array_equal, before, model.network.get_weights()))
        return f"{same}: {error}"
    return ""


def main() -> None:
    answers = {
        "on": {count: trained(data_parallel(count)) for count in (1, 2, 8)},
        "split": trained(model_parallel()),
        "shares": shares_of_sampling(),
        "refused": [
            refused(20, 32),
            refused(16, 30),
            refused(
                0,
                0,
                imagegen.ShuffledBatches(
                    (IMAGES, make_model().encoder.tokens(CAPTIONS)), batch_size=20, seed=0
                ),
            ),
        ],
    }
    for first, then in ((8, 1), (1, 8)):
        folder = f"{FOLDER}/{first}"
        trained(data_parallel(first), epochs=1, folder=folder)
        answers[f"{first} to {then}"] = trained(data_parallel(then), epochs=2, folder=folder)
    print(json.dumps(answers))


main()
