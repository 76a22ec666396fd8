"""From pictures back to the noise that they come from."""

import dataclasses
from collections.abc import Hashable
from typing import Any

from imagegen._checks import check_integer
from imagegen._contracts import checked
from imagegen.editing import checked_picture, checked_pictures
from imagegen.generation import ImageGenerator, last_of
from imagegen.interpolation import slerp, walk
from imagegen.samplers import DDIM, Denoise, Level, Sampler, levels
from imagegen.typing import Images, State, Tensor

import numpy as np
from keras import ops


@checked
def ddim_inversion(
    model: ImageGenerator, images: Images, *, num_steps: int = 100, num_iterations: int = 3
) -> np.ndarray:
    r"""Finds the noise from which the deterministic sampler makes given pictures.

    Each of DDIM's steps is taken backwards. The step from $t'$ to the noisier $t$ has to undo the
    one from $t$ to $t'$, so the noise in it is the one that the model sees in the *result*:

    $$x_t = \frac{s_t}{s_{t'}}\left(x_{t'} - n_{t'}\, \hat\epsilon(x_t, t)\right)
    + n_t\, \hat\epsilon(x_t, t).$$

    The equation is solved by putting its result in again, `num_iterations` times.

    `model.generate(len(noise), noise=noise, num_steps=num_steps, sampler=imagegen.DDIM())` leads
    back to the pictures.

    Args:
        model: A model of pictures with values from 0 to 255. Stable Diffusion 3 takes pictures of
            any size.
        images: uint8, or floats from 0 to 1, of the model's size, `(height, width, 3)` or
            `(num_images, height, width, 3)`.
        num_steps: Steps from picture to noise. With few of them the way back ends elsewhere.
        num_iterations: How often the network looks. The first time it looks at the picture before
            the step, as if that had the noise of the next level.

    Returns:
        float32 noise, scaled as standard normal noise is: `(num_images, height, width, 3)`, or
        for a `LatentDiffusion` of the shape of latents.

    Raises:
        ValueError: If an argument is out of range, a picture doesn't have the model's size, or the
            model jumps, as students do.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        image = model.generate(1, num_steps=5, seed=0)
        noise = imagegen.ddim_inversion(model, image, num_steps=5)
        again = model.generate(1, noise=noise, num_steps=5, sampler=imagegen.DDIM())
        ```

    Reference:
        Song et al., [Denoising Diffusion Implicit Models](https://arxiv.org/abs/2010.02502), 2021,
        section 4.3; the iteration as in Pan et al., [Accelerated Iterative Diffusion
        Inversion](https://arxiv.org/abs/2309.04907), 2023.
    """
    images = checked_pictures(model, images, "images")
    if model.jumps:
        raise ValueError(
            "`model` must go in small steps, which can be taken backwards. A student jumps; its "
            f"teacher doesn't. Received: a {type(model).__name__} that jumps"
        )
    table = levels(model.schedule, num_steps)
    back = table.copy()
    back[: num_steps + 1] = table[num_steps::-1]
    sampler = InverseDDIM(check_integer(num_iterations, "num_iterations", minimum=1))
    clean = ops.convert_to_tensor(model.to_samples(images))
    state = sampler.init(clean, ops.convert_to_tensor(0, "int32"))
    steps = model.run(clean, state, back, 0, num_steps, sampler=sampler, label="invert")
    noisy = last_of(steps)
    return ops.convert_to_numpy(noisy) / np.hypot(*table[0, 1:])


@checked
def interpolate_images(
    model: ImageGenerator,
    image1: Images,
    image2: Images,
    num_frames: int = 12,
    *,
    num_steps: int = 100,
) -> np.ndarray:
    """Goes from one picture to another through pictures.

    Both are inverted to noise. Between the two noises the way is a great circle, and each noise on
    it becomes a picture.

    Args:
        model: A model of pictures with values from 0 to 255. Stable Diffusion 3 takes pictures of
            any size.
        image1: The picture to start from, uint8 or floats from 0 to 1, of the model's size.
        image2: The picture to arrive at.
        num_frames: How many pictures there are on the way, both ends included.
        num_steps: Steps of the sampler, there and back. The ends of the path are what the model
            makes of the inverted pictures: with few steps, they are only like them.

    Returns:
        uint8 pictures `(num_frames, height, width, 3)`.

    Raises:
        ValueError: If an argument is out of range, a picture doesn't have the model's size, or the
            model jumps, as students do.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        image1, image2 = model.generate(2, num_steps=5, seed=0)
        frames = imagegen.interpolate_images(model, image1, image2, 3, num_steps=5)
        assert frames.shape == (3, 64, 64, 3)
        ```

    Reference:
        Song et al., [Denoising Diffusion Implicit Models](https://arxiv.org/abs/2010.02502), 2021,
        section 5.3.
    """
    check_integer(num_frames, "num_frames", minimum=2)
    ends = [checked_picture(model, image1, "image1"), checked_picture(model, image2, "image2")]
    noises = ddim_inversion(model, np.concatenate(ends), num_steps=num_steps)
    noise = walk(noises, num_frames, interpolation=slerp)
    return model.generate(num_frames, noise=noise, num_steps=num_steps, sampler=DDIM())


@checked
@dataclasses.dataclass(frozen=True)
class InverseDDIM(Sampler):
    """DDIM's step backwards, on a table of levels that is turned round: `after` is the noisier one.

    Args:
        num_iterations: How often the network looks.

    Example:
        ```python
        import imagegen

        assert imagegen.InverseDDIM(num_iterations=3).num_iterations == 3
        ```

    Reference:
        Pan et al., [Accelerated Iterative Diffusion Inversion](https://arxiv.org/abs/2309.04907),
        2023.
    """

    num_iterations: int

    @checked
    def init(self, noisy: Tensor, seed: Tensor) -> State:
        return (ops.convert_to_tensor(self.num_iterations, "int32"),)

    def _formulas(self) -> Hashable:
        return InverseDDIM if self._steps_as(InverseDDIM) else self

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        def improve(_: Any, estimates: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
            noisier, _ = estimates
            clean = denoise(noisier, after.time)
            noise = (noisier - after.signal_rate * clean) / after.noise_rate
            ratio = after.signal_rate / now.signal_rate
            return ratio * (noisy - now.noise_rate * noise) + after.noise_rate * noise, clean

        (num_iterations,) = state
        noisier, clean = ops.fori_loop(0, num_iterations, improve, (noisy, noisy))
        return noisier, clean, state
