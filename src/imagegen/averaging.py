"""Averaged weights: beside what learns, a copy whose weights are a moving average."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from imagegen._checks import check_number
from imagegen._contracts import checked

import keras
from keras import ops

# What learns, and its averaged copy.
Pairs = Sequence[tuple[Any, Any]]


def frozen_copy(layer: Any) -> Any:
    """Returns a copy that doesn't learn, with weights of its own."""
    copy = layer.__class__.from_config(layer.get_config())
    freeze(copy)
    copy.set_weights(layer.get_weights())
    return copy


def freeze(layer: Any) -> None:
    """Stops a layer, and all layers within, from learning."""
    # What is loaded or copied says that it is frozen when the layers within are not yet, and on
    # TensorFlow the assignment of a value that is there already changes nothing.
    layer.trainable = True
    layer.trainable = False


@checked
def move_averages(pairs: Pairs, steps: keras.Variable, longest: float) -> None:
    r"""Moves every average towards what learns, and counts the step.

    $$\text{average} \leftarrow k \cdot \text{average} + (1 - k) \cdot \text{weights}, \qquad
    k = \min\left(\text{longest}, \frac{1 + n}{10 + n}\right)$$

    after $n$ steps.

    Args:
        pairs: What learns, and its averaged copy: layers or models with as many weights.
        steps: A scalar variable, the number of steps before.
        longest: How much of an average survives a step after many, in `[0, 1]`.

    Example:
        ```python
        import imagegen
        import keras

        live, average = keras.layers.Dense(1), keras.layers.Dense(1)
        live.build((None, 2))
        average.build((None, 2))
        steps = keras.Variable(0.0)
        imagegen.move_averages([(live, average)], steps, 0.999)
        assert float(steps.value) == 1
        ```

    Reference:
        Polyak and Juditsky, [Acceleration of Stochastic Approximation by
        Averaging](https://doi.org/10.1137/0330046), 1992.
    """
    check_number(longest, "longest", minimum=0, maximum=1)
    # (1 + n) / (10 + n) starts near 0 and overtakes `longest` late: an average over about the last
    # tenth of a short training, and over a fixed window of a long one.
    kept = ops.minimum(longest, (1 + steps) / (10 + steps))
    for learning, copy in pairs:
        for averaged, live in zip(copy.weights, learning.weights, strict=True):
            live = ops.stop_gradient(live)
            averaged.assign(kept * averaged + (1 - kept) * ops.cast(live, averaged.dtype))
    steps.assign(steps + 1)


@contextmanager
def averaged_weights(pairs: Pairs) -> Iterator[None]:
    """Gives what learns the averaged weights, for as long as a `with` block runs."""
    learning = [(live, live.get_weights()) for live, _ in pairs]
    for live, averaged in pairs:
        live.set_weights(averaged.get_weights())
    try:
        yield
    finally:
        for live, weights in learning:
            live.set_weights(weights)
