"""A convolution has the derivatives of its definition, whichever way they are computed."""

import imagegen
from imagegen._convolutions import Conv2D, quick_kernel_gradients

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

jax = pytest.importorskip("jax")
from imagegen._convolutions import kernel_gradient  # noqa: E402

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="it is a way of JAX")
sizes = st.integers(1, 7)


def by_definition(x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The gradient in double precision: for each shift a sum over all places."""
    height, width = x.shape[1:3]
    x = np.pad(x.astype("float64"), ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.array(
        [
            [np.einsum("nijc,nijf->cf", x[:, u : u + height, v : v + width], g) for v in range(3)]
            for u in range(3)
        ]
    )


@on_jax
@given(st.integers(1, 6), sizes, sizes, st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=30)
def test_the_gradient_is_that_of_the_definition(batch, height, width, channels, filters, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, height, width, channels), "float32")
    g = rng.standard_normal((batch, height, width, filters), "float32")
    np.testing.assert_allclose(kernel_gradient(x, g), by_definition(x, g), rtol=1e-4, atol=1e-4)


def derivatives(layer_class: type) -> list[np.ndarray]:
    """A layer's output, the gradients of its weights and input, and a derivative forwards."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 12, 9, 5), "float32")
    layer = layer_class(7, 3, padding="same", data_format="channels_last")
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.get_weights()])
    weights = [weight.value for weight in layer.weights]

    def output(weights, x):
        return layer.stateless_call(weights, [], x)[0]

    def loss(weights, x):
        return ops.mean(ops.sin(output(weights, x)))

    with quick_kernel_gradients():
        gradients = jax.jit(jax.grad(loss, (0, 1)))(weights, x)
        ahead = jax.jvp(loss, (weights, x), ([w + 1 for w in weights], x))[1]
        of_slope = jax.grad(lambda w: jax.jvp(lambda x: loss(w, x), (x,), (x,))[1])(weights)
    found = (output(weights, x), gradients, ahead, of_slope)
    return [np.asarray(each) for each in jax.tree.leaves(found)]


@on_jax
def test_derivatives_are_those_of_keras_layer():
    for ours, theirs in zip(derivatives(Conv2D), derivatives(keras.layers.Conv2D), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


@on_jax
def test_outside_of_fit_jax_can_do_everything_with_it():
    layer = Conv2D(2, 3, padding="same")
    layer.build((None, 9, 9, 1))
    weights = [weight.value for weight in layer.weights]
    x = np.random.default_rng(0).standard_normal((3, 9, 9, 1), "float32")

    def loss(weights, x):
        return ops.mean(layer.stateless_call(weights, [], x[None])[0] ** 2)

    each = jax.vmap(jax.grad(loss), (None, 0))(weights, x)[0]
    alone = [jax.grad(loss)(weights, one)[0] for one in x]
    np.testing.assert_allclose(each, np.stack(alone), rtol=1e-5, atol=1e-7)
    assert np.isfinite(jax.hessian(loss)(weights, x[0])[0][0]).all()


@on_jax
def test_it_is_chosen_where_it_is_quicker():
    picture = np.zeros((2, 16, 16, 4), "float32")

    def is_quicker(shape=picture.shape, dtype="float32", **options) -> bool:
        layer = Conv2D(4, **{"kernel_size": 3, "padding": "same"} | options)
        layer.build(picture.shape)
        with quick_kernel_gradients():
            return layer._is_quicker(np.zeros(shape, dtype), layer.kernel)

    assert is_quicker() == (jax.default_backend() == "cpu")
    for other in (
        {"kernel_size": 1},
        {"strides": 2},
        {"padding": "valid"},
        {"dilation_rate": 2},
        {"groups": 2},
        {"shape": (2, 8, 8, 4)},
        {"dtype": "float16"},
    ):
        assert not is_quicker(**other), other


def test_a_layer_of_keras_takes_its_weights_and_its_name():
    ours, theirs = Conv2D(4, 3), keras.layers.Conv2D(4, 3)
    assert ours.name.startswith("conv2d")
    network = imagegen.UNet(8, [8], block_depth=1)
    assert any(type(layer) is Conv2D for layer in network.layers)
    for layer in (ours, theirs):
        layer.build((None, 8, 8, 3))
    ours.set_weights(theirs.get_weights())
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(ours))
    assert type(copy) is Conv2D
