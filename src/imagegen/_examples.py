"""The examples that `fit` is given: looked at before they are learned from."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from imagegen._checks import check_finite, check_integer, check_number
from imagegen.typing import Batch

import keras
import numpy as np


class Learner(Protocol):
    """A model that says which examples it can learn from."""

    _refused: Exception | None

    def check_examples(self, x: Batch, y: Batch = None) -> tuple[Batch, Batch]: ...


def is_arrays(data: Batch) -> bool:
    """Whether `fit` was given the examples themselves, and not what gives batches of them."""
    if isinstance(data, str | list | tuple | dict):
        return True
    return hasattr(data, "shape") or not hasattr(data, "__iter__")


def looked_at(data: Batch, model: Learner) -> Batch:
    """What gives the batches of `data`, checked: of its kind where Keras knows that."""
    if isinstance(data, keras.utils.PyDataset):
        return _Looking(data, model)
    if hasattr(data, "element_spec"):  # TensorFlow's
        return _looked_at_by_tensorflow(data, model)
    if hasattr(data, "__len__") and iter(data) is not data:
        return _Again(data, model)
    if hasattr(data, "__iter__"):
        return (_batch(batch, model) for batch in data)
    return data


class _Looking(keras.utils.PyDataset):
    """A data set whose every batch is checked, and brought into the form that a model takes."""

    def __init__(self, data: keras.utils.PyDataset, model: Learner):
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self.data, self.model = data, model

    def __len__(self) -> int:
        return len(self.data)

    @property
    def num_batches(self) -> int | None:
        return self.data.num_batches

    def __getitem__(self, index: int) -> Batch:
        return _batch(self.data[index], self.model)

    def on_epoch_begin(self) -> None:
        self.data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.data.on_epoch_end()


class _Again(keras.utils.PyDataset):
    """What gives the same number of batches in every loop, such as PyTorch's `DataLoader`.

    A generator would be empty after the first epoch.
    """

    def __init__(self, data: Any, model: Learner):
        super().__init__()
        self.data, self.model = data, model
        self.rest: Iterator[Any] = iter(())

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Batch:
        """The next batch, whatever the index: the order is that of the data."""
        batch = next(self.rest, None)
        if batch is None:
            self.on_epoch_begin()
            batch = next(self.rest)
        return _batch(batch, self.model)

    def on_epoch_begin(self) -> None:
        self.rest = iter(self.data)


def _looked_at_by_tensorflow(data: Any, model: Learner) -> Any:
    """A data set of TensorFlow's that checks every batch as it comes.

    An error inside of it becomes one of TensorFlow's, so that the model keeps the one that was
    meant.
    """
    import tensorflow as tf

    first = next(iter(data.take(1).as_numpy_iterator()), None)
    if first is None:
        raise ValueError("A data set must have at least one batch. Received: an empty one")
    _batch(first, model)
    spec = data.element_spec

    def look(*parts: np.ndarray) -> tuple[np.ndarray, ...]:
        try:
            _batch(tf.nest.pack_sequence_as(spec, parts), model)
        except ValueError as error:
            model._refused = error
            raise
        return parts

    def looked(*batch: Any) -> Any:
        parts = tf.nest.flatten(batch)
        same = tf.numpy_function(look, parts, [part.dtype for part in parts])
        for new, part in zip(same, parts, strict=True):
            new.set_shape(part.shape)
        return taken(*tf.nest.pack_sequence_as(batch, same))

    def taken(x: Any, y: Any = None, weight: Any = None) -> tuple[Any, ...]:
        x = x if y is None else (x, y)
        # Without targets, which nobody looks at, Keras drops the weights.
        return (x,) if weight is None else (x, tf.zeros_like(weight), weight)

    return data.map(looked)


def _batch(batch: Batch, model: Learner) -> Batch:
    """A batch `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)` as the model takes it."""
    x, y, weight = (
        keras.utils.unpack_x_y_sample_weight(batch)
        if isinstance(batch, tuple)
        else (batch, None, None)
    )
    x, y = model.check_examples(x, y)
    if weight is not None:
        weight, y = weighted(weight, x)
    # Always a tuple: Keras takes no other batches from a generator.
    return (x,) if y is None else keras.utils.pack_x_y_sample_weight(x, y, weight)


def weighted(weights: Any, x: Batch) -> tuple[Any, np.ndarray]:
    """The weights of examples, and targets that nobody looks at: without any, Keras drops them."""
    count = len(keras.tree.flatten(x)[0])
    if isinstance(weights, np.ndarray | list | tuple):
        try:
            weights = check_finite(weights, "sample_weight")
        except ValueError as error:
            if "Received" in str(error):
                raise
            raise ValueError(
                f"`sample_weight` must be {count} numbers. Received: a ragged list"
            ) from error
        if weights.size and np.abs(weights).max() > np.finfo("float32").max:
            raise ValueError(
                "`sample_weight` must be finite numbers of float32. "
                f"Received: up to {np.abs(weights).max():g}"
            )
        weights = weights.astype("float32")
        if weights.shape != (count,) or weights.min() < 0:
            raise ValueError(
                f"`sample_weight` must be {count} numbers, one for each picture and at least 0. "
                f"Received: shape {weights.shape}, from {weights.min():g} to {weights.max():g}"
            )
    elif not hasattr(weights, "shape"):
        raise ValueError(f"`sample_weight` must be an array. Received: {weights!r:.200}")
    return weights, np.zeros(count, "float32")


def weights_of_classes(x: Batch, class_weight: Mapping[int, float], others: Any) -> np.ndarray:
    """The weight of each example, from the weights of its class."""
    labels = x[1] if isinstance(x, tuple) else None
    if not isinstance(labels, np.ndarray) or labels.ndim != 1:
        raise ValueError(
            "`class_weight` must come with arrays of pictures and their classes. Give "
            "`sample_weight` otherwise, one for each picture. "
            f"Received: class_weight={class_weight!r}"
        )
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            "`class_weight` must be a dictionary from the numbers of classes to their weights. "
            f"Received: class_weight={class_weight!r}"
        )
    for label, weight in class_weight.items():
        check_integer(label, "class_weight", minimum=0)
        check_number(weight, "class_weight", minimum=0)
    weights = np.array([class_weight.get(int(label), 1.0) for label in labels], "float32")
    return weights if others is None else weights * weighted(others, x)[0]


def as_images(images: Batch, shape: tuple[int, ...], name: str = "images") -> Any:
    """Returns pictures of one shape as an array or a tensor, or raises.

    Args:
        images: An array or a tensor `(num_images, *shape)`, or a list of pictures.
        shape: The shape of a picture.
        name: What they are called in an error.

    Raises:
        ValueError: If they have another shape, or a value is NaN or infinite.
    """
    if isinstance(images, list | tuple):
        sizes = {np.shape(image) for image in images}
        if len(sizes) > 1:
            raise ValueError(
                f"`{name}` must all have the shape {shape}. Received: {sorted(sizes)[:3]}"
            )
        if not sizes:
            raise ValueError(f"`{name}` must hold at least one picture. Received: {images!r}")
        images = np.stack(images)
    if not hasattr(images, "shape"):
        raise ValueError(f"`{name}` must be an array. Received: {type(images).__name__}")
    if tuple(images.shape[1:]) != tuple(shape):
        raise ValueError(
            f"`{name}` must have the shape (num_images, {', '.join(map(str, shape))}). "
            f"Received: shape {tuple(images.shape)}"
        )
    if not len(images):
        raise ValueError(f"`{name}` must hold at least one picture. Received: none")
    return check_finite(images, name) if isinstance(images, np.ndarray) else images


def are_texts(prompts: Any, empty: Any) -> bool:
    """Whether prompts are still to be read: no tokens in the nesting of those of the empty one."""
    if isinstance(prompts, list | range):
        return True
    if isinstance(prompts, tuple):
        return not keras.tree.is_nested(empty)
    return getattr(prompts, "dtype", np.dtype(int)).kind in "OUS"


def as_tokens(tokens: Any, empty: Any) -> Any:
    """Returns what an encoder's `tokens` would give, given as it is, or raises.

    Args:
        tokens: Arrays or tensors `(num_prompts, ...)` in the nesting of `empty`.
        empty: The tokens of the empty prompt.

    Raises:
        ValueError: If they are nested otherwise, or are no finite numbers, or no whole ones where
            those of the empty prompt are.
    """

    def check(array: Any, one: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        array = check_finite(array, "prompts")
        if one.dtype.kind not in "iu" or array.dtype.kind in "iu":
            return array
        if (array != np.floor(array)).any():
            raise ValueError(
                f"`prompts` must be whole numbers when they are no texts. Received: {array.dtype} "
                f"from {array.min():g} to {array.max():g}"
            )
        return array.astype(one.dtype)

    try:
        keras.tree.assert_same_structure(empty, tokens)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`prompts` must be a list of prompts, or their tokens as the model's encoder gives "
            f"them. Received: {type(tokens).__name__}"
        ) from error
    return keras.tree.map_structure(check, tokens, empty)


def value_range_of(images: Any) -> tuple[float, float] | None:
    """The lowest and the highest value of an array; `None` for a tensor."""
    return (float(images.min()), float(images.max())) if isinstance(images, np.ndarray) else None
