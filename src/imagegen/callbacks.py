"""Callbacks of `fit`: what one likes to see while a model learns."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagegen._checks import check_integer
from imagegen._contracts import checked
from imagegen._files import whole_file
from imagegen.images import grid, show
from imagegen.typing import Logs

import keras
from PIL import Image


class ShowGenerated(keras.callbacks.Callback):
    """Draws a grid of generated pictures at the end of an epoch, to see what training is about.

    Every grid starts from the same noise, so that one sees the same pictures take form.

    Args:
        num_images: How many pictures.
        prompts: A prompt for each picture, in the place of their number, for a model that takes
            prompts.
        generator: What generates them, when it isn't the model that is trained itself but something
            around it, such as a `LatentDiffusion`.
        columns: How many of them there are in a row.
        num_steps: Steps of the sampler.
        every: Draws after each so many epochs; or after those that are listed, counted from 1.
        seed: The seed of the noise.
        folder: Where to save the grids as `epoch_0001.png` and so on; made when it is missing. By
            default they are shown in the notebook instead.

    Raises:
        ValueError: If a number is no positive integer.
        TypeError: If what should generate has no method `generate`.

    Example:
        ```python
        import tempfile
        import keras
        import numpy as np
        import imagegen

        class Painter(keras.Sequential):
            def generate(self, num_images, *, num_steps, seed):
                return np.zeros((num_images, 8, 8, 3), dtype="uint8")

        model = Painter([keras.layers.Dense(1)])
        model.compile(loss="mse")
        with tempfile.TemporaryDirectory() as folder:
            callback = imagegen.ShowGenerated(num_steps=4, folder=folder)
            model.fit(np.zeros((4, 2)), np.zeros(4), callbacks=[callback], verbose=0)
        ```
    """

    @checked
    def __init__(
        self,
        num_images: int = 18,
        *,
        prompts: str | Sequence[str] | None = None,
        generator: Any = None,
        columns: int = 6,
        num_steps: int = 20,
        every: int | Sequence[int] = 1,
        seed: int = 0,
        folder: str | os.PathLike[str] | None = None,
    ):
        super().__init__()
        self.num_images: int = check_integer(num_images, "num_images", minimum=1)
        self.prompts: list[str] = [prompts] if isinstance(prompts, str) else list(prompts or [])
        self.generator = generator
        self.columns: int = check_integer(columns, "columns", minimum=1)
        self.num_steps: int = check_integer(num_steps, "num_steps", minimum=1)
        self.every: int | list[int] = (
            [check_integer(epoch, "every", minimum=1) for epoch in every]
            if isinstance(every, Sequence)
            else check_integer(every, "every", minimum=1)
        )
        self.seed: int = check_integer(seed, "seed", minimum=0)
        self.folder: Path | None = None if folder is None else Path(folder)

    def on_train_begin(self, logs: Logs = None) -> None:
        generator = self.generator or self.model
        if not callable(getattr(generator, "generate", None)):
            raise TypeError(
                "`ShowGenerated` needs a model with a method `generate`, such as a "
                f"`DiffusionModel`. Received: {type(generator).__name__}"
            )

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        number = epoch + 1
        if number not in self.every if isinstance(self.every, list) else number % self.every:
            return
        wanted = self.prompts or self.num_images
        generator = self.generator or self.model
        images = generator.generate(wanted, num_steps=self.num_steps, seed=self.seed)
        if self.folder is None:
            show(images, columns=self.columns)
            return
        picture = grid(images, columns=self.columns)
        with whole_file(self.folder / f"epoch_{number:04d}.png") as partial:
            Image.fromarray(picture).save(partial, format="PNG")
