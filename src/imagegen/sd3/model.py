"""Stable Diffusion 3 as one more generator: its latents, its prompts, and how it denoises."""

import functools
from collections.abc import Sequence
from typing import Any

from imagegen._checks import warn
from imagegen._contracts import checked
from imagegen._jit import compiled
from imagegen.conditioning import Conditions
from imagegen.generation import ImageGenerator
from imagegen.guidance import Guidance
from imagegen.images import to_uint8
from imagegen.samplers import Euler
from imagegen.sampling import Prompts, SamplingOptions
from imagegen.schedules import Schedule
from imagegen.sd3.schedule import SD3Schedule
from imagegen.typing import Array, Images, Tensor

import keras
import numpy as np
from keras import ops


class StableDiffusion3(ImageGenerator):
    r"""Stable Diffusion 3: a transformer that denoises latents, told by a sentence what they show.

    The network predicts the way from the clean latents to the noise, a velocity $v$, and

    $$\hat x = x_t - n_t\, v(x_t, t, \text{prompt}), \quad x_t = (1 - n_t)\, x_0 + n_t\, \epsilon.$$

    `sd3.load` and `sd3.tiny` make such models. Everything that the package does with a model that
    takes prompts works on them: `imagegen.image_to_image`, `inpaint`, `outpaint` and `variations`,
    `prompt_walk`, `prompt_grid` and `noise_walk`, all samplers. Pictures to edit may have any size:
    their middle is cut out and resized.

    Args:
        task: A `keras_hub.models.StableDiffusion3TextToImage`. It is left as it is, and can be
            saved: `model.task.save_to_preset(folder)`.

    Attributes:
        task: The KerasHub model.
        schedule: How much noise there is at which time: an `SD3Schedule`, which can be replaced.

    Example:
        ```python
        from imagegen import sd3

        model = sd3.tiny()
        images = model.generate(["a photo of a dog", "a painting of a cat"], num_steps=4, seed=0)
        assert images.shape == (2, 64, 64, 3)
        ```

    Reference:
        Esser et al., [Scaling Rectified Flow Transformers for High-Resolution Image
        Synthesis](https://arxiv.org/abs/2403.03206), 2024.
    """

    value_range: tuple[float, float] | None = (0, 255)
    accepts_any_size = True

    @checked
    def __init__(self, task: Any):
        self.task = task
        self.backbone: Any = task.backbone
        self.schedule: Schedule = SD3Schedule(self.backbone.shift)
        self.sample_shape: tuple[int, ...] = tuple(self.backbone.latent_shape[1:])

    @property
    def sampling(self) -> SamplingOptions:
        """28 steps of Euler's method, guided at a scale of 7, as the model was published."""
        return {"guidance_scale": 7.0, "num_steps": 28, "sampler": Euler()}

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a picture, `(height, width, 3)`."""
        return tuple(self.backbone.image_shape)

    @checked
    def encode_prompts(self, prompts: Prompts) -> Conditions:
        """Returns what prompts become, as all that takes prompts takes it.

        Args:
            prompts: A prompt or several.

        Returns:
            The vectors of the tokens `(num_prompts, 154, 4096)` and those of whole prompts
            `(num_prompts, 2048)`, float32.
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        if not prompts or not all(isinstance(prompt, str) for prompt in prompts):
            raise ValueError(f"`prompts` must be one string or more. Received: {prompts!r}")
        # One at a time: what is compiled serves any number of prompts.
        rows = [self._encode_text(self.tokens(prompt)) for prompt in prompts]
        return Conditions(
            *(
                np.concatenate(
                    [ops.convert_to_numpy(ops.cast(row[part], "float32")) for row in rows]
                )
                for part in (0, 2)
            )
        )

    @checked
    def to_images(self, samples: Array) -> np.ndarray:
        """Turns latents into pictures.

        Args:
            samples: Latents, float32 `(num_images, *sample_shape)`.

        Returns:
            uint8 pictures `(num_images, height, width, 3)`.

        Raises:
            FloatingPointError: If there is NaN or infinity in a picture.
        """
        # One at a time: at full size the decoder takes the most memory.
        latents = ops.convert_to_numpy(samples)
        pictures = np.concatenate(
            [ops.convert_to_numpy(self._decode(row[None])) for row in latents]
        )
        if not np.isfinite(pictures).all():
            raise FloatingPointError(
                "The network's output is not finite: NaN or infinity reached the pictures. "
                "In float16, take dtype='bfloat16' instead."
            )
        return to_uint8(pictures, value_range=(-1, 1))

    @checked
    def to_samples(self, images: Images) -> np.ndarray:
        """Turns pictures into latents, those that the autoencoder finds most likely.

        Args:
            images: uint8 pictures `(num_images, height, width, 3)`.

        Returns:
            Latents, float32 `(num_images, *sample_shape)`.
        """
        rows = [self._encode_image(row[None] / np.float32(127.5) - 1) for row in np.asarray(images)]
        return np.concatenate([ops.convert_to_numpy(row) for row in rows])

    @checked
    def denoise(
        self, noisy: Tensor, time: Tensor, conditions: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Returns the clean latents that the network sees in noisy ones.

        Args:
            noisy: Noisy latents `(batch, *sample_shape)`.
            time: The diffusion time in `[0, 1]`, a scalar or one a sample.
            conditions: What `encode_prompts` returned for one prompt a sample. `None` is the empty
                prompt.

        Returns:
            Clean latents, float32 of the shape of `noisy`.
        """
        noisy = ops.convert_to_tensor(noisy, "float32")
        count = ops.shape(noisy)[0]
        if conditions is None:
            conditions = [np.repeat(array, count, axis=0) for array in self.encode_prompts("")]
        times = ops.reshape(ops.convert_to_tensor(time, "float32"), (-1, 1))
        noise_rates, _ = self.schedule(ops.broadcast_to(times, (count, 1)))
        velocity = self.velocity(noisy, noise_rates, conditions)
        # In float32 whatever the network computes in: 28 small steps add up.
        return noisy - ops.reshape(noise_rates, (-1, 1, 1, 1)) * velocity

    @checked
    def velocity(self, noisy: Tensor, noise_rates: Tensor, conditions: Sequence[Tensor]) -> Tensor:
        """Returns the way from the clean latents to the noise that the network sees, float32.

        Args:
            noisy: Noisy latents `(batch, *sample_shape)`.
            noise_rates: How much of them is noise, `(batch, 1)`.
            conditions: What `encode_prompts` returned for one prompt a sample.
        """
        names = ("latent", "context", "pooled_projection", "timestep")
        values = (noisy, *conditions, self.backbone.num_train_timesteps * noise_rates)
        tensors = (ops.convert_to_tensor(value, "float32") for value in values)
        inputs = dict(zip(names, tensors, strict=True))
        return ops.cast(self.backbone.diffuser(inputs, training=False), "float32")

    @checked
    def guidance_of_nothing(self, num_images: int) -> Guidance:
        """Returns how to sample without prompts: with the empty one, and without guidance."""
        return self.guidance("", guidance_scale=None, num_images=num_images)

    @functools.cached_property
    def condition_shapes(self) -> list[tuple[int, ...]]:  # type: ignore[override]
        """The shapes of what `encode_prompts` returns, for one prompt."""
        return [array.shape[1:] for array in self.encode_prompts("")]

    @property
    def variables_read(self) -> Sequence[keras.Variable]:
        """Every variable that `denoise` reads: those of the transformer."""
        return self.backbone.diffuser.variables

    @checked
    def tokens(self, prompt: str) -> dict[str, Any]:
        """Returns the tokens of a prompt, int32 `(1, length)`, by the name of the text encoder."""
        preprocessor = self.task.preprocessor
        tokens = preprocessor.generate_preprocess([prompt])
        limit = preprocessor.sequence_length - 2
        (pieces,) = preprocessor.clip_l_preprocessor.tokenizer([prompt])
        if len(pieces) > limit:
            warn(
                f"`prompts` must have at most {limit} tokens, and what follows is not read. "
                f"Received: {len(pieces)} tokens, {prompt!r}",
            )
        return {name: ops.convert_to_tensor(array, "int32") for name, array in tokens.items()}

    @functools.cached_property
    def _encode_text(self) -> Any:
        backbone = self.backbone
        parts = [backbone.clip_l, backbone.clip_l_projection, backbone.clip_g]
        parts += [backbone.clip_g_projection, *([backbone.t5] if backbone.t5 else [])]
        return _compiled(lambda tokens: backbone.encode_text_step(tokens, tokens), parts)

    @functools.cached_property
    def _encode_image(self) -> Any:
        backbone = self.backbone

        def encode(images: Images) -> Any:
            # The mean alone: `vae.encode` adds noise to it.
            mean, _ = ops.split(backbone.vae.encoder(images, training=False), 2, axis=-1)
            return ops.cast(backbone.image_rescaling(mean), "float32")

        return _compiled(encode, [backbone.vae])

    @functools.cached_property
    def _decode(self) -> Any:
        backbone = self.backbone
        return _compiled(lambda row: ops.cast(backbone.decode_step(row), "float32"), [backbone.vae])


def _compiled(function: Any, layers: Sequence[Any]) -> Any:
    return compiled(function, [variable for layer in layers for variable in layer.variables])
