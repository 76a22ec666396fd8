"""The noise levels that Stable Diffusion 3 visits."""

from dataclasses import dataclass

from imagegen._checks import check_integer
from imagegen._contracts import checked
from imagegen.schedules import FlowSchedule
from imagegen.typing import Tensor

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="imagegen")
@checked
@dataclass(frozen=True)
class SD3Schedule(FlowSchedule):
    r"""The straight line of `FlowSchedule`, visited at the levels of Stable Diffusion 3.

    The shift $a$ is applied twice: once to find the last time, from which even times are counted,
    and once more to each of them,

    $$n_i = \frac{a t_i}{1 + (a - 1) t_i}, \quad
    t_i \text{ evenly from } 1 \text{ to } \frac{a / 1000}{1 + (a - 1) / 1000}.$$

    After the last of them comes the clean sample. Training draws its times from a logit-normal
    distribution, most of them half-way.

    Args:
        shift: The shift, above 0.

    Raises:
        ValueError: If `shift` is out of range.

    Example:
        ```python
        from imagegen import sd3

        noise_rates, _ = sd3.SD3Schedule()(sd3.SD3Schedule().sampling_times(4))
        assert [round(float(rate), 2) for rate in noise_rates] == [1.0, 0.86, 0.6, 0.01]
        ```

    Reference:
        Esser et al., [Scaling Rectified Flow Transformers for High-Resolution Image
        Synthesis](https://arxiv.org/abs/2403.03206), 2024, equations 19 and 23; the levels as
        KerasHub computes them.
    """

    shift: float = 3.0

    @checked
    def sampling_times(self, num_steps: int) -> np.ndarray:
        # A trace of signal, a millionth, is left at first: some samplers take its logarithm.
        check_integer(num_steps, "num_steps", minimum=1, maximum=1_000_000)
        first = 1 - 1e-6 * self.shift
        last = self.shift / (1000 + self.shift - 1)
        return np.linspace(first, last, num_steps, dtype="float32")

    @checked
    def training_times(self, uniform: Tensor) -> Tensor:
        quantiles = ops.clip(2 * uniform - 1, -1 + 1e-6, 1 - 1e-6)
        return ops.sigmoid(2**0.5 * ops.erfinv(quantiles))
