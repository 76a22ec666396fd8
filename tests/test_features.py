"""Features: what a model is shown, in batches, and which model it is."""

from imagegen import datasets, extract_features, feature_model, features, preset_info, presets
from imagegen._download import DownloadError

import keras
import numpy as np
import pytest
from keras import layers


@pytest.fixture(scope="module")
def images():
    return datasets.flowers("painted", image_size=16).images[:10]


@pytest.fixture(autouse=True)
def fresh():
    """Each test begins as a process does, with no feature space chosen."""
    features._feature_model.cache_clear()
    yield
    features._feature_model.cache_clear()


def pixels(size=None):
    """A model whose features are the pixels that it is shown."""
    return keras.Sequential(
        [keras.Input((size, size, 3)), layers.Flatten() if size else layers.GlobalMaxPooling2D()]
    )


def test_a_model_is_shown_pictures_as_floats_up_to_255(images):
    np.testing.assert_array_equal(extract_features(images, pixels(16)), images.reshape(10, -1))
    assert extract_features(images, pixels(16)).dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_batches_change_nothing(images, batch_size):
    features = extract_features(images, pixels(16), batch_size=batch_size)
    np.testing.assert_array_equal(features, images.reshape(10, -1))


def test_every_batch_has_one_size_so_that_one_program_serves_all(images):
    sizes = set()

    class Recorder(layers.Layer):
        def call(self, inputs):
            sizes.add(inputs.shape[0])
            return inputs

    model = keras.Sequential([keras.Input((16, 16, 3)), Recorder(), layers.Flatten()])
    sizes.clear()  # What Keras tried while it built the model.
    extract_features(images, model, batch_size=4)
    assert sizes == {4}


def test_pictures_are_resized_to_what_the_model_takes(images):
    smaller = extract_features(images, pixels(8)).reshape(10, 8, 8, 3)
    # Antialiased at half the size, a pixel is a weighted mean of 4 x 4 with these weights.
    weights = np.array([1, 3, 3, 1]) / 8
    inner = [
        sum(
            weights[i] * weights[j] * images[:, 2 * y + i - 1, 2 * x + j - 1].astype("float64")
            for i in range(4)
            for j in range(4)
        )
        for y in range(1, 7)
        for x in range(1, 7)
    ]
    expected = np.stack(inner, axis=1).reshape(10, 6, 6, 3)
    np.testing.assert_allclose(smaller[:, 1:7, 1:7], expected, atol=0.01)


def test_a_model_for_all_sizes_sees_pictures_as_they_are(images):
    np.testing.assert_array_equal(extract_features(images, pixels()), images.max(axis=(1, 2)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 3)), "must be uint8"),
        (np.zeros((0, 8, 8, 3), "uint8"), "at least one"),
        (np.zeros((8, 8, 3), "uint8"), "must have the shape"),
        (np.zeros((2, 8, 8, 1), "uint8"), "3 channels"),
        (np.full((2, 8, 8, 3), np.nan), "must be finite"),
    ],
)
def test_other_pictures_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        extract_features(images, pixels(8))


@pytest.mark.parametrize(
    "model",
    [
        keras.Sequential([keras.Input((5,)), layers.Dense(2)]),
        keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 1)]),
        "inception",
    ],
)
def test_a_model_of_other_things_is_refused(model):
    with pytest.raises(ValueError, match=r"from pictures to vectors|`model` must be a Model"):
        extract_features(np.zeros((2, 8, 8, 3), "uint8"), model)


def test_features_of_a_broken_model_are_refused(images):
    model = keras.Sequential([pixels(16), layers.Dense(2, bias_initializer="ones")])
    model.layers[-1].bias.assign([1, np.nan])
    with pytest.raises(FloatingPointError, match="unusable"):
        extract_features(images, model)


def no_network(*_, **__):
    raise DownloadError("the network is unreachable")


def test_without_a_network_the_preset_serves_with_a_warning(images, monkeypatch):
    monkeypatch.setattr(features, "fetch", no_network)
    with pytest.warns(UserWarning, match="species-64 instead of InceptionV3.*can't be compared"):
        vectors = extract_features(images)
    assert vectors.shape == (10, 192)
    # A process stays with its first feature space, and says so once.
    monkeypatch.undo()
    np.testing.assert_array_equal(extract_features(images), vectors)
    np.testing.assert_array_equal(extract_features(images, feature_model("species-64")), vectors)


def test_inception_is_shown_what_keras_prepares_for_it(images, monkeypatch):
    def small_network(*, include_top, weights, input_shape, pooling):
        assert (include_top, weights, pooling) == (False, "weights.h5", "avg")
        return keras.Sequential([keras.Input(input_shape), layers.GlobalMaxPooling2D()])

    monkeypatch.setattr(features, "fetch", lambda *_, **__: "weights.h5")
    monkeypatch.setattr(keras.applications, "InceptionV3", small_network)
    large = keras.ops.image.resize(images[:2].astype("float32"), (299, 299))
    prepared = keras.applications.inception_v3.preprocess_input(keras.ops.convert_to_numpy(large))
    vectors = extract_features(images[:2])
    np.testing.assert_allclose(vectors, prepared.max(axis=(1, 2)), atol=1e-4)


def test_who_insists_on_inception_is_told_that_it_cannot_be_had(monkeypatch):
    monkeypatch.setattr(features, "fetch", no_network)
    with pytest.raises(DownloadError, match="unreachable"):
        feature_model("inception-v3")
    with pytest.raises(ValueError, match="source"):
        feature_model("vgg")


def test_the_preset_is_a_classifier_of_all_species_whose_accuracy_is_stated():
    classifier = presets.load("species-64", keras.Model)
    assert classifier.output_shape == (None, len(datasets.FLOWER_NAMES))
    assert "held-out" in preset_info("species-64").metrics


def test_features_are_what_the_classifier_decides_by(images):
    classifier = presets.load("species-64", keras.Model)
    vectors = extract_features(images, feature_model("species-64"))
    shown = keras.ops.image.resize(images.astype("float32"), (64, 64), antialias=True)
    last = classifier.layers[-1]
    logits = vectors @ keras.ops.convert_to_numpy(last.kernel)
    logits += keras.ops.convert_to_numpy(last.bias)
    np.testing.assert_allclose(classifier.predict(shown, verbose=0), logits, atol=1e-3)


def test_a_source_is_loaded_once_however_it_is_named():
    assert feature_model("species-64") is feature_model(source="species-64")
    with pytest.raises(ValueError, match="`source` must be"):
        feature_model(["species-64"])
