"""What recipes do beside training: captions from pixels, a loss in features."""

import importlib
from pathlib import Path

import imagegen
from imagegen.drawn.drawing import COLORS

import keras
import numpy as np
import pytest


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "recipes"))
    return importlib.import_module


def disc_on(background: tuple[int, int, int], color: tuple[int, int, int]) -> np.ndarray:
    places = np.linspace(-1, 1, 32)
    inside = places[:, None] ** 2 + places**2 < 0.5
    return np.where(inside[..., None], color, background).astype("uint8")


@pytest.mark.parametrize("color", [name for name in COLORS if name != "green"])
@pytest.mark.parametrize(
    ("background", "kind"),
    [((60, 120, 50), "green"), ((10, 12, 10), "dark"), ((120, 118, 115), "")],
)
def test_photographs_are_captioned_with_the_color_in_their_middle(recipe, color, background, kind):
    image = disc_on(background, COLORS[color])
    assert recipe("flowers_128").read_colors(image[None]) == ([color], [kind])


def test_no_color_is_named_where_none_prevails(recipe):
    image = disc_on((60, 120, 50), COLORS["red"])
    image[:, 16:] = disc_on((60, 120, 50), COLORS["blue"])[:, 16:]
    assert recipe("flowers_128").read_colors(image[None]) == ([""], ["green"])


def test_captions_say_nothing_but_what_is_known(recipe):
    flowers_128 = recipe("flowers_128")
    rng = np.random.default_rng(0)
    captions = [flowers_128.write_caption("tree poppy", "white", "dark", rng) for _ in range(1000)]
    said = {word for caption in captions for word in caption.split()}
    openings = {word for opening in flowers_128.OPENINGS for word in opening.split()}
    assert said == {"tree", "poppy", "white", "flower", "on", "dark", "background"} | openings
    assert {"a poppy", "a white tree poppy", "a flower"} <= set(captions)
    nothing = {flowers_128.write_caption("", "", "", rng) for _ in range(200)}
    assert nothing == {f"{opening} a flower".strip() for opening in flowers_128.OPENINGS}


def test_names_and_articles_are_english(recipe):
    write_caption, rng = recipe("flowers_128").write_caption, np.random.default_rng(0)
    captions = [write_caption("orange dahlia", "orange", "", rng) for _ in range(100)]
    assert not any("orange orange" in caption or "a orange" in caption for caption in captions)
    assert any(caption.endswith("an orange dahlia") for caption in captions)


def test_photographs_are_captioned_anew_in_every_epoch(recipe):
    flowers_128 = recipe("flowers_128")
    tokens = np.arange(flowers_128.NUM_CAPTIONS)[None, :, None].repeat(24, axis=0)
    batches = flowers_128.CaptionedBatches((np.zeros((24, 2)), tokens), batch_size=3, seed=0)
    assert len(batches) == 2, "a quarter of the samples"
    for epoch in range(2 * flowers_128.NUM_CAPTIONS):
        batches.epoch = epoch
        ((_, chosen),) = batches[1]
        assert (chosen == epoch % flowers_128.NUM_CAPTIONS).all()


def test_the_perceptual_loss_is_the_distance_of_unit_features(recipe):
    module = recipe("flowers_128_autoencoder")
    pictures = keras.Input((8, 8, 3))
    maps = [keras.layers.Conv2D(4, size)(pictures) for size in (3, 5)]
    features = keras.Model(pictures, maps)
    networks = imagegen.image_encoder(8, [8]), imagegen.image_decoder(8, [8])
    plain = imagegen.VAE(*networks, beta=0.5)
    vae = module.PerceptualVAE(*networks, beta=0.5, features=features, perceptual_weight=10.0)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), "uint8")
    outputs = vae(images)

    def unit(maps):
        maps = keras.ops.convert_to_numpy(maps)
        return maps / np.linalg.norm(maps, axis=-1, keepdims=True)

    drawn = features(255 * outputs[0])
    distance = sum(
        np.mean(np.sum((unit(one) - unit(other)) ** 2, axis=-1))
        for one, other in zip(features(images.astype("float32")), drawn, strict=True)
    )
    added = vae.compute_loss(images, y_pred=outputs) - plain.compute_loss(images, y_pred=outputs)
    assert float(added) == pytest.approx(10 * distance, rel=1e-3)
    assert not features.trainable_variables
    assert {metric.name for metric in vae.metrics} >= {"perceptual_loss", "kl_loss"}


def test_the_perceptual_features_take_larger_pictures_and_stay_the_classifiers(recipe):
    classifier = imagegen.presets.load("species-64", keras.Model)
    module = recipe("flowers_128_autoencoder")
    maps = module.perceptual_features()(np.zeros((1, 128, 128, 3), "float32"))
    assert [tuple(found.shape) for found in maps] == [
        (1, 64, 64, 32), (1, 32, 32, 64), (1, 16, 16, 128),
    ]  # fmt: skip
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    first = keras.Model(classifier.input, classifier.get_layer("add_32").output)(image)
    larger = module.perceptual_features()(np.pad(image, [(0, 0), (0, 64), (0, 64), (0, 0)]))[0]
    inner = np.s_[:, 4:24, 4:24]
    one, other = (keras.ops.convert_to_numpy(found)[inner] for found in (first, larger))
    assert np.allclose(one, other, atol=1e-3)
