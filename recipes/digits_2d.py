"""Makes the preset `digits-2d`: the VAE of the digits, trained on MNIST's 60,000.

    KERAS_BACKEND=tensorflow python recipes/digits_2d.py --output digits-2d.keras

TensorFlow is the fastest backend on a CPU: 40 epochs take about half an hour on one core. The
weights serve every backend. Run the same command again to go on after an interruption: the folder
`--checkpoints` holds the state after each epoch, and a log. A resumed run draws other batches and
other noise than an uninterrupted one.

The last line reports the mean negative ELBO of the 10,000 test digits, which training never sees.
"""

import argparse
from pathlib import Path

import imagegen

import keras

BATCH_SIZE = 128
PEAK_LEARNING_RATE = 2e-3
NOISE_DRAWS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the preset digits-2d.")
    parser.add_argument("--output", type=Path, default=Path("digits-2d.keras"))
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints/digits-2d"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(arguments.seed)
    train = imagegen.datasets.digits(source="mnist", split="train").images
    test = imagegen.datasets.digits(source="mnist", split="test").images

    steps_per_epoch = -(-len(train) // BATCH_SIZE)
    vae = imagegen.VAE(imagegen.digit_encoder(), imagegen.digit_decoder())
    # The rate rises for an epoch, then falls to 0 along a cosine, so that the noise of single
    # batches averages out over the last epochs.
    vae.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                0.0,
                decay_steps=(arguments.epochs - 1) * steps_per_epoch,
                warmup_target=PEAK_LEARNING_RATE,
                warmup_steps=steps_per_epoch,
            )
        )
    )
    vae.optimizer.build(vae.trainable_variables)  # There must be a state to restore.
    arguments.checkpoints.mkdir(parents=True, exist_ok=True)
    vae.fit(
        train,
        batch_size=BATCH_SIZE,
        epochs=arguments.epochs,
        validation_data=(test,),
        validation_freq=5,
        verbose=2,
        callbacks=[
            keras.callbacks.BackupAndRestore(arguments.checkpoints, delete_checkpoint=False),
            keras.callbacks.CSVLogger(arguments.checkpoints / "log.csv", append=True),
        ],
    )

    imagegen.save_preset(vae, arguments.output)
    bound = imagegen.negative_elbo(vae, test, num_draws=NOISE_DRAWS)
    print(f"Test digits, means of {NOISE_DRAWS} draws: {bound}")


if __name__ == "__main__":
    main()
