"""Stable Diffusion 3 as one more generator: its latents, its prompts, and how it denoises."""

import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from imagegen._jit import compiled
from imagegen._sd3_schedule import SD3Schedule
from imagegen.generation import ImageGenerator
from imagegen.images import to_uint8
from imagegen.predictions import FlowPrediction
from imagegen.samplers import Euler, Sampler

import numpy as np
from keras import ops


class Embeddings(NamedTuple):
    """What two prompts become before the network sees them.

    Attributes:
        positive: The prompt, a vector for each token: float32 `(num_prompts, 154, 4096)`. The first
            77 are those of both CLIP text encoders, the others of T5, or zeros without it.
        negative: The same of the negative prompt.
        positive_pooled: The prompt as a whole: float32 `(num_prompts, 2048)`.
        negative_pooled: The same of the negative prompt.
    """

    positive: np.ndarray
    negative: np.ndarray
    positive_pooled: np.ndarray
    negative_pooled: np.ndarray


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

    value_range = (0, 255)
    fits_pictures = True
    prediction = FlowPrediction()

    def __init__(self, task: Any):
        self.task = task
        self.backbone = task.backbone
        self.schedule = SD3Schedule(self.backbone.shift)
        self.sample_shape = tuple(self.backbone.latent_shape[1:])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a picture, `(height, width, 3)`."""
        return tuple(self.backbone.image_shape)

    def generate(
        self,
        prompts: Any,
        *,
        negative_prompts: Any = None,
        guidance_scale: float | None = 7.0,
        guidance_rescale: float = 0.0,
        num_steps: int = 28,
        sampler: Sampler = Euler(),
        seed: int | Sequence[int] | None = None,
        noise: Any = None,
    ) -> np.ndarray:
        """Paints what prompts say: `ImageGenerator.generate` with the defaults of this model.

        Args:
            prompts: A prompt, several, one a picture, or what `encode` returned. A number is so
                many pictures of the empty prompt, without guidance.
            negative_prompts: What the pictures shall not show, one prompt for all or one a picture.
            guidance_scale: How firmly prompts are followed. `None` is for turbo models, which
                learned to do without, and takes half of the time.
            guidance_rescale: How much of the contrast that guidance adds is taken back, from 0 to
                1.
            num_steps: Steps from noise to picture.
            sampler: How a step is taken.
            seed: A non-negative integer, or one for each prompt. `None` draws one from Keras's
                global random state.
            noise: Standard normal noise to start from, `(num_images, *sample_shape)`.

        Returns:
            uint8 pictures `(num_images, height, width, 3)`.

        Raises:
            ValueError: If an argument is out of range.
            FloatingPointError: If the network gives NaN or infinity.
        """
        return super().generate(
            prompts,
            negative_prompts=negative_prompts,
            guidance_scale=guidance_scale,
            guidance_rescale=guidance_rescale,
            num_steps=num_steps,
            sampler=sampler,
            seed=seed,
            noise=noise,
        )

    def generate_steps(
        self,
        prompts: Any,
        *,
        guidance_scale: float | None = 7.0,
        num_steps: int = 28,
        sampler: Sampler = Euler(),
        **options: Any,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Paints as `generate` does, and yields every step of the way, as pictures.

        Args:
            prompts: A prompt or several, as `generate` takes them.
            guidance_scale: How firmly prompts are followed, as for `generate`.
            num_steps: Steps from noise to picture.
            sampler: How a step is taken.
            **options: Those of `generate`, `noise` aside.

        Yields:
            After each step, the noisy pictures, and the clean ones that the network saw in the
            noisier ones before.
        """
        return super().generate_steps(
            prompts,
            guidance_scale=guidance_scale,
            num_steps=num_steps,
            sampler=sampler,
            **options,
        )

    def embeddings(self, prompts: Any, negative_prompts: Any = "") -> Embeddings:
        """Returns the four tensors that tell the network what to paint, by name.

        Args:
            prompts: A prompt or several.
            negative_prompts: What the pictures shall not show: one prompt for all or one a picture.

        Returns:
            `Embeddings`, one row a prompt.

        Example:
            ```python
            from imagegen import sd3

            embeddings = sd3.tiny().embeddings("a dog", "blue color")
            assert embeddings.positive.shape == (1, 154, 4096)
            ```
        """
        positive = self.encode(prompts)
        negative = self.encode(negative_prompts)
        if len(negative[0]) == 1:
            negative = [np.repeat(array, len(positive[0]), axis=0) for array in negative]
        return Embeddings(positive[0], negative[0], positive[1], negative[1])

    def encode(self, prompts: Any) -> list[np.ndarray]:
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
        return [
            np.concatenate([ops.convert_to_numpy(ops.cast(row[part], "float32")) for row in rows])
            for part in (0, 2)
        ]

    def sample_steps(
        self,
        embeddings: Embeddings,
        *,
        guidance_scale: float | None = 7.0,
        num_steps: int = 28,
        sampler: Sampler = Euler(),
        seed: int | Sequence[int] | None = None,
        noise: Any = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Turns noise into latents, and yields every step of the way.

        Args:
            embeddings: What to paint: what `embeddings` returned.
            guidance_scale: How firmly prompts are followed. `None` leaves the negative ones aside.
            num_steps: Steps from noise to latents.
            sampler: How a step is taken.
            seed: A non-negative integer, or one for each prompt. `None` draws one from Keras's
                global random state.
            noise: Standard normal noise to start from, in the place of noise drawn from the seed.

        Yields:
            After each step, the noisy latents, and the clean ones that the network saw in the
            noisier ones before: float32 `(num_prompts, *sample_shape)`. `decode` shows both.
        """
        positive, negative, positive_pooled, negative_pooled = embeddings
        guidance = self.guidance(
            [positive, positive_pooled],
            None if guidance_scale is None else [negative, negative_pooled],
            guidance_scale,
        )
        count = len(guidance.positive[0])
        for step in self._sample(count, guidance, num_steps, sampler, seed, noise, 1):
            noisy, clean = map(ops.convert_to_numpy, step)
            yield noisy, clean

    def sample(self, embeddings: Embeddings, **options: Any) -> np.ndarray:
        """Turns noise into latents.

        Args:
            embeddings: What to paint: what `embeddings` returned.
            **options: Those of `sample_steps`.

        Returns:
            Clean latents, float32 `(num_prompts, *sample_shape)`.

        Example:
            ```python
            from imagegen import sd3

            model = sd3.tiny()
            latents = model.sample(model.embeddings("a dog"), num_steps=4, seed=0)
            images = model.decode(latents)
            ```
        """
        *_, (latents, _) = self.sample_steps(embeddings, **options)
        return latents

    def decode(self, latents: Any) -> np.ndarray:
        """Turns latents into pictures.

        Args:
            latents: float32 `(num_images, *sample_shape)`.

        Returns:
            uint8 pictures `(num_images, height, width, 3)`.

        Raises:
            FloatingPointError: If there is NaN or infinity in a picture.
        """
        # One at a time: at full size the decoder takes the most memory.
        latents = ops.convert_to_numpy(latents)
        pictures = np.concatenate(
            [ops.convert_to_numpy(self._decode(row[None])) for row in latents]
        )
        if not np.isfinite(pictures).all():
            raise FloatingPointError(
                "The network's output is not finite: NaN or infinity reached the pictures. "
                "In float16, take dtype='bfloat16' instead."
            )
        return to_uint8(pictures, value_range=(-1, 1))

    def to_images(self, samples: Any) -> np.ndarray:
        """Turns latents into pictures: another name for `decode`, the one that all models have."""
        return self.decode(samples)

    def to_samples(self, images: Any) -> np.ndarray:
        """Turns pictures into latents, those that the autoencoder finds most likely.

        Args:
            images: uint8 pictures `(num_images, height, width, 3)`.

        Returns:
            Latents, float32 `(num_images, *sample_shape)`.
        """
        rows = [self._encode_image(row[None] / np.float32(127.5) - 1) for row in images]
        return np.concatenate([ops.convert_to_numpy(row) for row in rows])

    def denoise(self, noisy: Any, time: Any, conditions: Sequence[Any] | None = None) -> Any:
        """Returns the clean latents that the network sees in noisy ones.

        Args:
            noisy: Noisy latents `(batch, *sample_shape)`.
            time: The diffusion time in `[0, 1]`, a scalar or one a sample.
            conditions: What `encode` returned for one prompt a sample. `None` is the empty prompt.

        Returns:
            Clean latents, float32 of the shape of `noisy`.
        """
        noisy = ops.convert_to_tensor(noisy, "float32")
        count = ops.shape(noisy)[0]
        if conditions is None:
            conditions = [np.repeat(array, count, axis=0) for array in self.encode("")]
        times = ops.reshape(ops.convert_to_tensor(time, "float32"), (-1, 1))
        noise_rates, _ = self.schedule(ops.broadcast_to(times, (count, 1)))
        velocity = self.velocity(noisy, noise_rates, conditions)
        # In float32 whatever the network computes in: 28 small steps add up.
        return noisy - ops.reshape(noise_rates, (-1, 1, 1, 1)) * velocity

    def velocity(self, noisy: Any, noise_rates: Any, conditions: Sequence[Any]) -> Any:
        """Returns the way from the clean latents to the noise that the network sees, float32.

        Args:
            noisy: Noisy latents `(batch, *sample_shape)`.
            noise_rates: How much of them is noise, `(batch, 1)`.
            conditions: What `encode` returned for one prompt a sample.
        """
        names = ("latent", "context", "pooled_projection", "timestep")
        values = (noisy, *conditions, self.backbone.num_train_timesteps * noise_rates)
        tensors = (ops.convert_to_tensor(value, "float32") for value in values)
        inputs = dict(zip(names, tensors, strict=True))
        return ops.cast(self.backbone.diffuser(inputs, training=False), "float32")

    def run(self, noisy: Any, *arguments: Any, **options: Any) -> Iterator[tuple[Any, Any]]:
        """Takes steps of sampling, as `ImageGenerator.run` does; without guidance, of nothing."""
        if options.get("guidance") is None:
            options["guidance"] = self.guidance("", guidance_scale=None, num_images=len(noisy))
        return super().run(noisy, *arguments, **options)

    def _condition_shapes(self) -> list[tuple[int, ...]]:
        return self._shapes

    @functools.cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return [array.shape[1:] for array in self.encode("")]

    def _variables(self) -> list[Any]:
        return self.backbone.diffuser.variables

    def tokens(self, prompt: str) -> dict[str, Any]:
        """Returns the tokens of a prompt, int32 `(1, length)`, by the name of the text encoder."""
        preprocessor = self.task.preprocessor
        tokens = preprocessor.generate_preprocess([prompt])
        limit = preprocessor.sequence_length - 2
        (pieces,) = preprocessor.clip_l_preprocessor.tokenizer([prompt])
        if len(pieces) > limit:
            warnings.warn(
                f"`prompts` must have at most {limit} tokens, and what follows is not read. "
                f"Received: {len(pieces)} tokens, {prompt!r}",
                stacklevel=3,
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

        def encode(images: Any) -> Any:
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
