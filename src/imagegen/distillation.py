"""Distillation: students that learn to jump along the paths of a teacher."""

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack

from imagegen._checks import check_integer
from imagegen._contracts import checked
from imagegen._examples import as_images
from imagegen.averaging import frozen_copy
from imagegen.diffusion import DiffusionModel
from imagegen.flow_maps import FlowMap, unit_rate
from imagegen.generation import ImageGenerator
from imagegen.latent import LatentDiffusion
from imagegen.samplers import DDIM, MAX_STEPS, levels
from imagegen.sampling import Prompts, SamplingOptions, subjects
from imagegen.schedules import Schedule
from imagegen.typing import Batch, Config, Images, Tensor
from imagegen.unet import UNet

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

Model = TypeVar("Model", DiffusionModel, LatentDiffusion)


@keras.saving.register_keras_serializable(package="imagegen")
class TrajectoryStudent(FlowMap):
    r"""Learns to jump along the paths of a teacher.

    A path is what `trajectories` returns: samples at `num_jumps + 1` levels, from noise to the end.
    The student learns to go from each of them to the next, and also in fewer and longer jumps. From
    $x_t$ to $x_r$ that asks for the clean sample

    $$\hat x = \frac{x_r - (n_r / n_t)\, x_t}{s_r - (n_r / n_t)\, s_t},$$

    and the network learns what its `prediction` makes of that. The teacher's guidance is in its
    paths, and so in the student, which takes one evaluation a step where guidance takes two.

    `fit` takes the paths, and with an encoder a prompt for each: `fit(paths, prompts)`.

    Args:
        network: A functional Keras model of `[noisy, noise_rates, end_rates, *conditions]`.
        num_jumps: In how many jumps a path is learned. Each divisor of it is learned as well.
        sampling: Sampling options that are this model's own, where they aren't `num_jumps` steps of
            `DDIM` without guidance.
        **options: As for a `DiffusionModel`.

    Raises:
        ValueError: If the levels of fewer jumps are not among those of `num_jumps`, or an argument
            doesn't fit.

    Example:
        ```python
        import imagegen
        import numpy as np

        points = imagegen.datasets.s_curve(64)
        teacher = imagegen.DiffusionModel(imagegen.point_mlp(width=8), value_range=None)
        teacher.normalizer.adapt(points)
        paths = imagegen.trajectories(teacher, 32, num_jumps=2, seed=0)
        network = imagegen.point_mlp(width=8, jumps=True)
        student = imagegen.TrajectoryStudent(network, num_jumps=2, value_range=None)
        student.normalizer.adapt(points)
        student.compile("adam")
        student.fit(paths, verbose=0)
        assert student.generate(4, num_steps=1, seed=0).shape == (4, 2)
        ```

    Reference:
        Salimans and Ho, [Progressive Distillation for Fast Sampling of Diffusion
        Models](https://arxiv.org/abs/2202.00512), 2022, section 3, whose target it is; learned from
        whole paths as in Luhman and Luhman, [Knowledge Distillation in Iterative Generative
        Models](https://arxiv.org/abs/2101.02388), 2021. Flow maps: Boffi et al., [Flow Map
        Matching](https://arxiv.org/abs/2406.07507), 2024.
    """

    @checked
    def __init__(
        self,
        network: keras.Model,
        *,
        num_jumps: int = 4,
        sampling: SamplingOptions | None = None,
        **options: Any,
    ):
        check_integer(num_jumps, "num_jumps", minimum=1)
        own = SamplingOptions(num_steps=num_jumps, sampler=DDIM(), guidance_scale=None)
        super().__init__(network, sampling={**own, **(sampling or {})}, **options)
        self.num_jumps = num_jumps
        self._stops, self._jumps = _jumps_between(self.schedule, self.num_jumps)

    @property
    def knows_guidance(self) -> bool:
        """Always: its paths were walked with guidance, or on purpose without."""
        return True

    def get_config(self) -> Config:
        return super().get_config() | {"num_jumps": self.num_jumps}

    def _checked_images(self, images: Batch) -> Any:
        return as_images(images, (self.num_jumps + 1, *self.sample_shape), "trajectories")

    def call(self, paths: Images, training: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Takes a jump on each path, drawn at random.

        Args:
            paths: What `trajectories` returned, `(batch, num_jumps + 1, ...)`, or with an
                `encoder`, a tuple of that and tokens.
            training: Whether to use the learning network, in training mode.

        Returns:
            As `DiffusionModel.call` does: estimate, output, target and weights.
        """
        network, paths, conditions = self._asked(paths, training)
        paths = ops.cast(paths, "float32")
        count = ops.shape(paths)[0]
        drawn = keras.random.uniform((count,), seed=self.seed_generator) * len(self._jumps)
        jumps = ops.take(self._jumps, ops.cast(drawn, "int32"), axis=0)
        ones = (1,) * len(self.sample_shape)

        def at(stops: Tensor) -> list[Tensor]:
            places = ops.reshape(stops, (-1, 1, *ones))
            samples = ops.squeeze(ops.take_along_axis(paths, places, axis=1), 1)
            rates = ops.take(self._stops, stops, axis=0)
            return [samples, *(ops.reshape(rates[:, i], (-1, *ones)) for i in (1, 2))]

        noisy, noise_rates, signal_rates = at(jumps[:, 0])
        reached, end_noise_rates, end_signal_rates = at(jumps[:, 1])
        share = end_noise_rates / noise_rates
        clean = (reached - share * noisy) / (end_signal_rates - share * signal_rates)
        noise = (noisy - signal_rates * clean) / noise_rates
        told = [unit_rate(end_noise_rates, end_signal_rates), *conditions]
        output = self._output(network, noisy, noise_rates, signal_rates, told, training=training)
        estimate = self.prediction.denoised(noisy, output, noise_rates, signal_rates)
        target = self.prediction.target(clean, noise, noise_rates, signal_rates)
        return estimate, output, target, self.weighting(self.prediction, noise_rates, signal_rates)


def _jumps_between(schedule: Schedule, num_jumps: int) -> tuple[np.ndarray, np.ndarray]:
    """The levels of `num_jumps` jumps, and from where to where they lead, and fewer do."""
    stops, jumps = levels(schedule, num_jumps)[: num_jumps + 1], []
    for fewer in range(1, num_jumps + 1):
        if num_jumps % fewer:
            continue
        stride = num_jumps // fewer
        if not np.allclose(levels(schedule, fewer)[: fewer + 1], stops[::stride], atol=1e-4):
            raise ValueError(
                f"`schedule` must visit in {fewer} steps some of the levels that it visits in "
                f"{num_jumps}. `schedule.evenly()` may. Received: {schedule!r}"
            )
        jumps += [(start, start + stride) for start in range(0, num_jumps, stride)]
    return stops, np.array(jumps, "int32")


@checked
def trajectories(
    teacher: ImageGenerator,
    prompts: int | Prompts | Mapping[str, Prompts] | None = None,
    *,
    num_images: int | None = None,
    num_jumps: int = 4,
    batch_size: int = 64,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    """Follows the paths of a model from noise, and keeps where they are at a few levels.

    Args:
        teacher: A model that generates.
        prompts: How many paths, or prompts, as for `generate`.
        num_images: How many paths, as for `generate`.
        num_jumps: In how many jumps a student should go. The levels between them, at even times of
            the teacher's schedule, are kept. The teacher stops there on its own way of more steps.
        batch_size: How many paths are followed at a time.
        **options: How the teacher samples, by the names of `SamplingOptions`.

    Returns:
        Normalized samples, a float16 array `(num_images, num_jumps + 1, *sample_shape)`: noise
        first, the end last.

    Raises:
        ValueError: If an argument is out of range, or the sampler adds noise.

    Example:
        ```python
        import imagegen

        teacher = imagegen.DiffusionModel.from_preset("flowers-64")
        paths = imagegen.trajectories(teacher, 2, num_jumps=2, seed=0)
        assert paths.shape == (2, 3, 64, 64, 3)
        ```

    Reference:
        Luhman and Luhman, [Knowledge Distillation in Iterative Generative
        Models](https://arxiv.org/abs/2101.02388), 2021, section 3.
    """
    num_jumps = check_integer(num_jumps, "num_jumps", minimum=1)
    batch_size = check_integer(batch_size, "batch_size", minimum=1)
    way = teacher.begin(*subjects(prompts, num_images, options))
    if way.sampler.draws_noise():
        raise ValueError(
            "`sampler` must add no noise: where noise is added, no path leads from the first noise "
            f"to the end. Received: sampler={way.sampler!r}"
        )
    table, kept = _with_stops(way.table[: way.num_steps], way.schedule.evenly(), num_jumps)
    shape = (way.num_images, num_jumps + 1, *teacher.sample_shape)
    paths = np.empty(shape, "float16")
    for start in tqdm(range(0, way.num_images, batch_size), "trajectories", delay=1, leave=False):
        part = way.at(start, min(batch_size, way.num_images))
        rows = slice(start, start + batch_size)
        noisy = part.first_noise()
        state = part.sampler.init(noisy, part.seed_tensor)
        steps = teacher.run(
            noisy, state, table, 0, kept[-1], sampler=part.sampler, guidance=part.guidance, chunk=1
        )
        visited = [noisy, *(samples for samples, _ in steps)]
        for stop, place in enumerate(kept):
            found = ops.convert_to_numpy(visited[place])
            paths[rows, stop] = found[: len(paths[rows])]
    return paths


def _with_stops(
    own: np.ndarray, schedule: Schedule, num_jumps: int
) -> tuple[np.ndarray, list[int]]:
    """The levels of a way with those of `num_jumps` jumps among them, and where these are."""
    stops = levels(schedule, num_jumps)
    apart = np.abs(own[:, :1] - stops[None, :num_jumps, 0]).min(axis=1) > 1e-4
    rows = np.concatenate([own[apart], stops[:num_jumps]])
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    table = np.concatenate([rows, stops[num_jumps : num_jumps + 1]])
    padding = np.repeat(table[-1:], max(0, len(stops) - len(table)), axis=0)
    kept = [int(np.argmin(np.abs(rows[:, 0] - time))) for time in stops[:num_jumps, 0]]
    return np.concatenate([table, padding]).astype("float32"), [*kept, len(rows)]


@checked
def student_of(teacher: Model, *, num_jumps: int = 4) -> Model:
    """Returns a student that begins with what its teacher knows.

    Its network is the teacher's, which is now told where a step ends, too, and begins by taking no
    notice of it. It shares no weight with the teacher, and isn't compiled.

    Args:
        teacher: A `DiffusionModel` with a `UNet`, or a `LatentDiffusion` of one.
        num_jumps: In how many jumps the student learns to go; it also learns each divisor.

    Returns:
        A `TrajectoryStudent`, or a `LatentDiffusion` whose `model` is one.

    Raises:
        ValueError: If the teacher's network is no `UNet` with an `embedding_dim`.

    Example:
        ```python
        import imagegen

        network = imagegen.UNet(8, [8, 8], block_depth=1, embedding_dim=8)
        teacher = imagegen.DiffusionModel(network)
        student = imagegen.student_of(teacher, num_jumps=2)
        assert isinstance(student, imagegen.TrajectoryStudent)
        ```
    """
    check_integer(num_jumps, "num_jumps", minimum=1, maximum=MAX_STEPS)
    if isinstance(teacher, LatentDiffusion):
        return LatentDiffusion(student_of(teacher.model, num_jumps=num_jumps), teacher.autoencoder)
    if not isinstance(teacher.network, UNet) or teacher.network.config["embedding_dim"] is None:
        raise ValueError(
            "`teacher` must have a UNet with an `embedding_dim`. "
            f"Received: {type(teacher.network).__name__}"
        )
    network = UNet.from_config(teacher.averaged.get_config() | {"jumps": True, "trainable": True})
    learned = [layer for layer in teacher.averaged.layers if layer.weights]
    # A teacher that jumps itself knows where steps end.
    known = [
        layer
        for layer in network.layers
        if layer.weights and (teacher.jumps or not layer.name.startswith("end_"))
    ]
    for layer, source in zip(known, learned, strict=True):
        layer.set_weights(source.get_weights())
    encoder = teacher.averaged_encoder and frozen_copy(teacher.averaged_encoder)
    if encoder is not None:
        encoder.trainable = True
    student = TrajectoryStudent(
        network,
        num_jumps=num_jumps,
        encoder=encoder,
        prompt_dropout=0.0,
        schedule=teacher.schedule.evenly(),
        prediction=teacher.prediction,
        loss="mean_squared_error",
        averaging=teacher.averaging,
        value_range=teacher.value_range,
    )
    student.normalizer.set_weights(teacher.normalizer.get_weights())
    return student  # type: ignore[return-value]
