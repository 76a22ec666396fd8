"""Features: what a trained network sees in pictures, as vectors that metrics compare."""

from functools import cache
from typing import Any

from imagegen import presets
from imagegen._batches import in_batches
from imagegen._cache import cache_folder
from imagegen._checks import check_choice, check_finite, check_integer, check_rank, warn
from imagegen._contracts import checked
from imagegen._download import DownloadError, fetch
from imagegen.typing import Images

import keras
import numpy as np
from keras import layers, ops

# The file that Keras itself takes, with the digest that Keras checks.
_INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
_INCEPTION_URL = (
    f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{_INCEPTION_FILE}"
)
_INCEPTION_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"


@checked
def feature_model(source: str = "auto") -> keras.Model:
    """Loads the network whose features metrics compare by default.

    The source `"inception-v3"` is Keras's InceptionV3, which learned a thousand kinds of things
    from ImageNet, up to the means over all places: 2,048 features of pictures of 299 x 299 pixels.
    Its weights, 88 MB, are downloaded once, checked and kept. `"species-64"` is the preset of that
    name, which learned to tell species of flowers apart: 192 features of pictures of 64 x 64
    pixels. `"auto"` takes InceptionV3, and the preset, with a warning, where the weights can't be
    had. Distances in two feature spaces can't be compared, so a process stays with its first.

    Args:
        source: `"auto"`, `"inception-v3"` or `"species-64"`.

    Returns:
        A Keras model from pictures, floats from 0 to 255, to features `(batch, num_features)`.

    Raises:
        ValueError: If `source` is none of these.
        OSError: If the source is `"inception-v3"` and can't be downloaded.

    Example:
        ```python
        from imagegen import feature_model

        model = feature_model("species-64")
        assert model.output_shape == (None, 192)
        ```

    Reference:
        [Szegedy et al., 2015](https://arxiv.org/abs/1512.00567) for InceptionV3.
    """
    return _feature_model(check_choice(source, "source", ("auto", "inception-v3", "species-64")))


@cache
def _feature_model(source: str) -> keras.Model:
    if source != "species-64":
        try:
            return _inception()
        except DownloadError as error:
            if source == "inception-v3":
                raise
            warn(
                "Using the features of the preset species-64 instead of InceptionV3's, with which "
                f"their distances can't be compared: {error}. "
                f"{presets.preset_info('species-64').metrics} Say source='species-64' to "
                "silence this.",
            )
    classifier = presets.load("species-64", keras.Model)
    return keras.Model(classifier.input, classifier.get_layer("features").output)


@checked
def extract_features(
    images: Images, model: keras.Model | None = None, *, batch_size: int = 64
) -> np.ndarray:
    """Turns pictures into features.

    Args:
        images: Pictures, uint8 of shape `(num_images, height, width, channels)`. They are resized
            to what the model takes, bilinearly and with antialiasing.
        model: A functional or sequential Keras model from pictures, floats from 0 to 255, to
            vectors, which brings its own preprocessing. None takes `feature_model()`.
        batch_size: How many pictures the model sees at once, at least 1.

    Returns:
        float32 features of shape `(num_images, num_features)`.

    Raises:
        ValueError: If the pictures have another shape or type, or the model doesn't fit them.
        FloatingPointError: If it returns NaN or infinity.

    Example:
        ```python
        from imagegen import datasets, extract_features, feature_model

        images = datasets.flowers("painted", image_size=32).images[:4]
        features = extract_features(images, feature_model("species-64"))
        assert features.shape == (4, 192)
        ```
    """
    batch_size = check_integer(batch_size, "batch_size", minimum=1)
    images = check_rank(
        check_finite(images, "images"), "images", 4, "(num_images, height, width, channels)"
    )
    if images.dtype != np.uint8 or images.size == 0:
        raise ValueError(
            "`images` must be uint8 pictures, at least one. "
            f"Received: {images.dtype} of shape {images.shape}"
        )
    model = feature_model() if model is None else model
    size = _input_size(model, images.shape[-1])

    def predict(batch: np.ndarray) -> Any:
        batch = batch.astype("float32")
        if None not in size and size != images.shape[1:3]:
            resized = ops.image.resize(batch, size, antialias=True, data_format="channels_last")
            batch = ops.convert_to_numpy(resized)
        return model.predict_on_batch(batch)

    batch_size = min(batch_size, len(images))
    (features,) = in_batches(predict, images, batch_size, "extract features")
    if not np.isfinite(features).all():
        raise FloatingPointError(
            f"The features are NaN or infinite: the weights of {model.name!r} are unusable."
        )
    return features


def _inception() -> keras.Model:
    path = fetch(_INCEPTION_URL, cache_folder() / _INCEPTION_FILE, md5=_INCEPTION_MD5)
    images = keras.Input((299, 299, 3), name="images")
    # Its own preprocessing: from -1 to 1.
    x = layers.Rescaling(1 / 127.5, offset=-1, name="unit_range")(images)
    network = keras.applications.InceptionV3(
        include_top=False, weights=str(path), input_shape=(299, 299, 3), pooling="avg"
    )
    return keras.Model(images, network(x), name="inception_v3_features")


def _input_size(model: keras.Model, channels: int) -> tuple[int | None, int | None]:
    """The height and width of the pictures that a model takes, None where it takes any."""
    input_shape = getattr(model, "input_shape", None)
    output_shape = getattr(model, "output_shape", None)
    takes_pictures = isinstance(input_shape, tuple) and len(input_shape) == 4
    gives_vectors = isinstance(output_shape, tuple) and len(output_shape) == 2
    if input_shape is None or not takes_pictures or not gives_vectors:
        raise ValueError(
            "`model` must be a functional or sequential Keras model from pictures to vectors. "
            f"Received: model={model!r} from {input_shape} to {output_shape}"
        )
    if input_shape[-1] not in (None, channels):
        raise ValueError(
            f"`images` must have {input_shape[-1]} channels, which the model takes. "
            f"Received: {channels}"
        )
    return input_shape[1], input_shape[2]
