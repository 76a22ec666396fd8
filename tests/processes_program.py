"""Run by test_devices.py, once for each process: two train one model, and paint together."""

import json
import os
import signal
import sys

import jax

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_cpu_collectives_implementation", "gloo")

import imagegen

import keras
import numpy as np

NUMBER, NUM_PROCESSES, PORT, FOLDER, KILLED = sys.argv[1:]


class Killed(keras.callbacks.Callback):
    """Ends the second process in the middle of the second epoch, as a power cut would."""

    def on_train_batch_begin(self, batch, logs=None):
        if NUMBER == "1" and batch == 1 and self.epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def main() -> None:
    if NUM_PROCESSES != "1":
        keras.distribution.initialize(f"127.0.0.1:{PORT}", int(NUM_PROCESSES), int(NUMBER))
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    images, _, _ = imagegen.datasets.captioned_flowers(64, image_size=16, seed=0)
    keras.utils.set_random_seed(0)
    network = imagegen.UNet(16, [16, 32], block_depth=1, norm="group", embedding_dim=16)
    model = imagegen.DiffusionModel(network, loss="mean_squared_error")
    model.normalizer.adapt(images)
    model.compile(keras.optimizers.Adam(1e-3))
    batches = imagegen.ShuffledBatches(images, batch_size=16, seed=1)
    checkpoint = imagegen.Checkpoint(FOLDER, batches)
    done = checkpoint.restore(model)
    history = model.fit(
        batches,
        shuffle=False,
        initial_epoch=done,
        epochs=2,
        callbacks=[checkpoint] + ([Killed()] if KILLED == "killed" else []),
        verbose=0,
    )
    answers = {
        "devices": jax.device_count(),
        "done": done,
        "losses": history.history["loss"],
        "weights": [float(np.abs(each).sum()) for each in model.network.get_weights()],
        "pictures": model.generate(8, num_steps=3, seed=0).tolist(),
    }
    print(json.dumps(answers))


main()
