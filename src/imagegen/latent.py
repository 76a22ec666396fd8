"""Latent diffusion: pictures that are generated as the small pictures of an autoencoder."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Self

from imagegen import presets
from imagegen._contracts import checked, renamed
from imagegen.conditioning import Conditions
from imagegen.diffusion import DiffusionModel
from imagegen.exporting import Exportable
from imagegen.generation import ImageGenerator
from imagegen.guidance import Autoguidance
from imagegen.images import to_uint8
from imagegen.samplers import Level
from imagegen.sampling import Prompts, SamplingOptions
from imagegen.schedules import Schedule
from imagegen.typing import Array, Config, Images, Tensor
from imagegen.vae import VAE

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="imagegen")
class LatentDiffusion(ImageGenerator, Exportable):
    r"""Generates pictures by diffusion in the latent space of an autoencoder.

    The diffusion model never sees a pixel. It makes latents, which the decoder turns into a
    picture:

    $$x = D(\sigma z + \mu), \qquad z \text{ from noise, step by step.}$$

    The decoder knows how petals and edges look; what is left to the diffusion model is what the
    picture shows, on a fraction of the places. Its normalizer, the mean $\mu$ and the deviation
    $\sigma$ of each channel, gives the latents the unit variance that noise has.

    Everything is asked for in pictures and answered in pictures: prompts, guidance, samplers and
    the functions that edit work as they do with a `DiffusionModel`, `super_resolve` aside, which
    needs pixels. The parts are trained one after the other: the autoencoder on pictures, the model
    on their latents, which are computed once.

    Args:
        model: A `DiffusionModel` of latents, with `value_range=None`.
        autoencoder: What makes latents of pictures, and pictures of latents.
        **kwargs: Keyword arguments of `keras.Model`.

    Raises:
        ValueError: If the model's samples aren't the autoencoder's latents.

    Example:
        ```python
        import imagegen
        import numpy as np

        images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), "uint8")
        autoencoder = imagegen.VAE(
            imagegen.image_encoder(16, [8, 8]), imagegen.image_decoder(16, [8, 8]), beta=1e-3
        )
        autoencoder.compile("adam")
        autoencoder.fit(images, batch_size=8, verbose=0)

        latents, _ = autoencoder.encode(images)
        network = imagegen.UNet(4, [8], block_depth=1, channels=4)
        model = imagegen.DiffusionModel(network, value_range=None)
        model.normalizer.adapt(latents)
        model.compile("adamw")
        model.fit(latents, batch_size=8, verbose=0)

        painter = imagegen.LatentDiffusion(model, autoencoder)
        assert painter.generate(2, num_steps=3, seed=0).shape == (2, 16, 16, 3)
        ```

    Reference:
        Rombach et al., [High-Resolution Image Synthesis with Latent Diffusion
        Models](https://arxiv.org/abs/2112.10752), 2022, section 3.
    """

    value_range = (0, 255)

    @checked
    def __init__(self, model: DiffusionModel, autoencoder: VAE, **kwargs: Any):
        super().__init__(**kwargs)
        if model.value_range is not None:
            raise ValueError(
                "`model` must be a model of latents, made with `value_range=None`. "
                f"Received: value_range={model.value_range}"
            )
        if model.sample_shape != autoencoder.latent_shape:
            raise ValueError(
                "`model` must work on the latents of `autoencoder`. Received: samples of the shape "
                f"{model.sample_shape}, and latents of the shape {autoencoder.latent_shape}"
            )
        self.model = model
        self.autoencoder = autoencoder
        self.sample_shape = model.sample_shape
        self.built = True

    @classmethod
    @checked
    def from_preset(cls, name: str | Path) -> Self:
        """Returns a trained model, ready to generate.

        Args:
            name: A name out of `imagegen.list_presets()`, the path of a preset file, or its address
                followed by `#sha256=` and its checksum.

        Returns:
            The model.

        Raises:
            ValueError: If the name is unknown, or the file is damaged or holds another model.
            OSError: If the file has to be downloaded and can't be.
        """
        model = presets.load(name, cls)
        model.model.steps_averaged.assign(0)  # As `DiffusionModel.from_preset` does.
        return model

    @checked
    def save_preset(self, path: str | Path, *, bits: int = 16) -> str:
        """Saves the averaged model and the autoencoder, small enough to share, as one file.

        Args:
            path: Where to write; the name ends in `.keras`.
            bits: 16, or 8 for a file half as large, as for `imagegen.save_preset`.

        Returns:
            The file's sha256.
        """
        with self.model.averaged_weights():
            return presets.save_preset(self, path, bits=bits)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a picture, `(height, width, channels)`."""
        return tuple(self.autoencoder.encoder.input_shape[1:])

    def diffusion_model(self) -> DiffusionModel:
        """Returns the model that learns to denoise: `model`."""
        return self.model

    @property
    def jumps(self) -> bool:
        """Whether `model` does."""
        return self.model.jumps

    @property
    def knows_guidance(self) -> bool:
        """Whether `model` does."""
        return self.model.knows_guidance

    @property
    def schedule(self) -> Schedule:
        """The rates of noise and signal at every time: those of `model`."""
        return self.model.schedule

    @schedule.setter
    @checked
    def schedule(self, schedule: Schedule) -> None:
        self.model.schedule = schedule

    @property
    def sampling(self) -> SamplingOptions:
        """The sampling options that are the model's own: those of `model`."""
        return self.model.sampling

    @property
    def condition_shapes(self) -> Sequence[tuple[int, ...]]:
        """The shapes of what `encode_prompts` returns, for one prompt."""
        return self.model.condition_shapes

    @property
    def variables_read(self) -> Sequence[keras.Variable]:
        """Every variable that `denoise` reads."""
        return self.model.variables_read

    @property
    def autoguidance(self) -> Autoguidance | None:
        """That of `model`."""
        return self.model.autoguidance

    def formulas(self) -> Hashable:
        """Those of `model`."""
        return self.model.formulas()

    @checked
    def denoise(
        self,
        noisy: Tensor,
        time: Tensor,
        conditions: Sequence[Tensor] | None = None,
        **until: Level,
    ) -> Tensor:
        """Returns the clean latents that `model` sees in noisy ones.

        Args:
            noisy: Normalized noisy latents `(batch, *sample_shape)`, float32.
            time: The diffusion time in `[0, 1]`, a scalar or one a sample, `(batch,)`.
            conditions: What `encode_prompts` returned for one prompt a sample. `None` is the empty
                prompt.
            **until: The level at which the step ends, for a `model` that jumps.

        Returns:
            Normalized clean latents, float32 of the shape of `noisy`.
        """
        return self.model.denoise(noisy, time, conditions, **until)

    @checked
    def encode_prompts(self, prompts: Prompts) -> Conditions:
        """Returns what prompts become before the network of `model` sees them.

        Args:
            prompts: A prompt or several, or their tokens.

        Returns:
            float32 arrays `(num_prompts, ...)`, one for each further input of the network.

        Raises:
            ValueError: If `model` has no encoder, or the encoder doesn't know a prompt.
        """
        return self.model.encode_prompts(prompts)

    @checked
    def to_samples(self, images: Images) -> np.ndarray:
        """Turns pictures into normalized latents.

        Args:
            images: uint8 pictures `(batch, height, width, channels)`, or floats from 0 to 1.

        Returns:
            The means that the encoder gives: a float32 array `(batch, *sample_shape)`.

        Raises:
            ValueError: If the pictures have another shape or range or hold NaN, or the normalizer
                is not adapted.
        """
        self.check_ready()
        latents, _ = self.autoencoder.encode(images)
        return self.model.to_samples(latents)

    @checked
    def to_images(self, samples: Array) -> np.ndarray:
        """Turns normalized latents into pictures.

        Args:
            samples: Normalized latents `(batch, *sample_shape)`.

        Returns:
            uint8 pictures `(batch, height, width, channels)`.

        Raises:
            FloatingPointError: If there is NaN or infinity among the samples.
        """
        with renamed("latents", "samples"):
            return to_uint8(self.autoencoder.decode(self.model.to_images(samples)))

    @checked
    def pictures_of(self, samples: Tensor) -> Tensor:
        """Returns pictures from 0 to 1 of normalized latents, in a way that can be compiled.

        Args:
            samples: Normalized latents, a tensor `(batch, *sample_shape)`.

        Returns:
            A float32 tensor `(batch, height, width, channels)`.
        """
        return self.autoencoder.decoder(self.model.pictures_of(samples), training=False)

    def check_ready(self) -> None:
        """Raises a ValueError when the normalizer of `model` is not adapted."""
        mean = ops.convert_to_numpy(self.model.normalizer.adapt_mean)
        variance = ops.convert_to_numpy(self.model.normalizer.adapt_variance)
        if not mean.any() and (variance == 1).all():
            raise ValueError(
                "The normalizer of `model` must be adapted to the latents before it is trained: "
                "call `model.normalizer.adapt(latents)`. Received: mean 0, variance 1"
            )

    @checked
    def fit(self, *arguments: Any, **options: Any) -> keras.callbacks.History:
        """Says how a latent diffusion model is trained: in its latents.

        Raises:
            ValueError: If it is called.
        """
        raise ValueError(
            "A LatentDiffusion is trained in its latents: compile and fit its `model` on "
            "`to_samples(images)`. Received: a call of `fit`"
        )

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "model": serialize(self.model),
            "autoencoder": serialize(self.autoencoder),
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("model", "autoencoder")
        }
        return cls(**{**config, **parts})
