"""Training is refused before its first step, or leaves the model whole."""

import os
import signal
import threading

import imagegen
from imagegen import training

import grain
import keras
import numpy as np
import pytest
from keras import ops
from strategies import normal

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (8, 8, 8, 3), "uint8")
LABELS = np.arange(8) % 2
BACKEND = keras.backend.backend()


def plain(**options):
    model = imagegen.DiffusionModel(imagegen.UNet(8, [8], block_depth=1, norm="group"), **options)
    model.normalizer.adapt(PICTURES)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def named():
    network = imagegen.UNet(8, [8], block_depth=1, norm="group", embedding_dim=8, condition_dim=4)
    encoder = imagegen.LabelEncoder(["daisy", "rose"], 4)
    model = imagegen.DiffusionModel(network, encoder=encoder)
    model.normalizer.adapt(PICTURES)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def coder():
    vae = imagegen.VAE(imagegen.image_encoder(8, [4]), imagegen.image_decoder(8, [4]))
    vae.compile("adam")
    return vae


def weights(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def same(some, others):
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def works(model, examples=(PICTURES,), **options):
    """The model can be trained on, saved and asked."""
    history = model.fit(*examples, batch_size=4, verbose=0, **options)
    assert np.isfinite(history.history["loss"]).all()
    if isinstance(model, imagegen.DiffusionModel):
        assert model.generate(1, num_steps=1, seed=0).shape == (1, 8, 8, 3)
    else:
        model.encode(PICTURES)


# What is refused


WRONG_PICTURES = {
    "another size": (PICTURES[:, :4], "`images` must have the shape"),
    "another rank": (PICTURES[..., 0], "`images` must have the shape"),
    "several sizes": ([PICTURES[0], PICTURES[0, :4]], "`images` must all have the shape"),
    "nothing": (PICTURES[:0], "`images` must hold at least one"),
    "with labels": ((PICTURES, LABELS), "`x` must be"),
    "NaN": (
        np.where(np.arange(3) == 1, np.nan, PICTURES.astype("float32")),
        "`images` must be fin",
    ),
    "masked": (np.ma.masked_array(PICTURES, PICTURES < 9), "`images` must have no masked values"),
    "no array": ("pictures", "`images` must be an array|must be"),
}


@pytest.mark.parametrize(("images", "message"), WRONG_PICTURES.values(), ids=WRONG_PICTURES)
@pytest.mark.parametrize("make", [plain, coder])
def test_pictures_that_do_not_fit_are_refused_and_nothing_changes(make, images, message):
    model = make()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        model.fit(images, batch_size=4, verbose=0)
    assert same(weights(model), before)
    works(model)


@pytest.mark.parametrize(
    ("images", "value_range", "message"),
    [
        (PICTURES / 255.0, (0, 255), "from 0 to 255"),
        (PICTURES / 127.5 - 1.0, (0, 255), "from 0 to 255"),
        (PICTURES > 99, (0, 255), "from 0 to 255"),
        (PICTURES, (0, 1), "from 0 to 1"),
        (PICTURES.astype("float32"), (0, 1), "from 0 to 1"),
    ],
)
def test_pictures_out_of_the_range_are_refused(images, value_range, message):
    model = plain(value_range=value_range) if value_range == (0, 255) else unit()
    with pytest.raises(ValueError, match=f"value_range.*{message}"):
        model.fit(images, verbose=0)


def unit():
    model = imagegen.DiffusionModel(
        imagegen.UNet(8, [8], block_depth=1, norm="group"), value_range=(0, 1)
    )
    model.normalizer.adapt(PICTURES / 255.0)
    model.compile("adam")
    return model


def test_a_normalizer_of_other_values_is_refused():
    model = unit()
    model.normalizer.adapt(PICTURES)
    with pytest.raises(
        ValueError, match=r"`normalizer` must be adapted to pictures in the model's"
    ):
        model.fit(PICTURES / 255.0, verbose=0)
    model = plain()
    model.normalizer.adapt(np.zeros_like(PICTURES))
    with pytest.raises(ValueError, match=r"pictures that differ.*every value is 0"):
        model.fit(PICTURES, verbose=0)


@pytest.mark.parametrize("images", [PICTURES * 1.0, PICTURES / 127.5 - 1])
def test_a_vae_says_which_range_it_saw(images):
    with pytest.raises(ValueError, match=r"floats from 0 to 1.*Received: float64 from (0.0|-1.0)"):
        coder().fit(images, verbose=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 1, "numbers of classes from 0 to 1"),
        (LABELS - 1, "numbers of classes from 0 to 1"),
        (LABELS + 7, "numbers of classes from 0 to 1"),
        (LABELS[:5], "one for each picture"),
        (np.eye(2)[LABELS], "one for each picture"),
        (["daisy", "oak"] * 4, "'oak'"),
        (["daisy", None] * 4, "`prompts` must be an integer"),
        (LABELS + 0.5, "`prompts` must be whole numbers"),
        (LABELS * 1j, "`prompts` must hold real numbers"),
        (np.where(LABELS, np.nan, 0), "`prompts` must be finite"),
        (np.ma.masked_array(LABELS, LABELS == 1), "`prompts` must have no masked values"),
        ({"daisy": LABELS}, "`prompts` must be a list of prompts"),
    ],
)
def test_labels_that_the_encoder_does_not_know_are_refused(labels, message):
    model = named()
    for arguments in ((PICTURES, labels), ((PICTURES, labels),)):
        with pytest.raises(ValueError, match=message):
            model.fit(*arguments, verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": np.ones(5)}, "`sample_weight` must be 8 numbers"),
        ({"sample_weight": np.ones((8, 2))}, "`sample_weight` must be 8 numbers"),
        ({"sample_weight": -np.ones(8)}, "`sample_weight` must be 8 numbers"),
        ({"sample_weight": np.full(8, np.nan)}, "`sample_weight` must be finite"),
        ({"sample_weight": "all"}, "`sample_weight` must be an array"),
        ({"class_weight": [1, 2]}, "`class_weight` must be a dictionary"),
        ({"class_weight": {0: np.nan}}, "`class_weight` must be a finite number"),
        ({"class_weight": {"rose": 1}}, "`class_weight` must be an integer"),
        ({"batch_size": 0}, "`batch_size` must be an integer, at least 1"),
        ({"validation_batch_size": 0, "validation_data": (PICTURES, LABELS)}, "at least 1"),
        ({"epochs": -1}, "`epochs` must be an integer"),
        ({"epochs": 1.5}, "`epochs` must be an integer"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` must be an integer, at least 1"),
        ({"validation_split": 1}, "`validation_split` must be below 1"),
        ({"validation_split": np.nan}, "`validation_split` must be a finite number"),
        ({"callbacks": "checkpoint"}, "`callbacks` must be a list of Keras's callbacks"),
        ({"callbacks": [None]}, "`callbacks` must be a list of Keras's callbacks"),
    ],
)
def test_options_of_fit_are_looked_at_before_the_first_step(options, message):
    model = named()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        model.fit(PICTURES, LABELS, **{"batch_size": 4, "verbose": 0} | options)
    assert same(weights(model), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "mse"}, "`loss` must be left out"),
        ({"metrics": ["mae"]}, "`metrics` must be left out"),
        ({"optimizer": keras.optimizers.Adam(use_ema=True)}, "must not average weights"),
    ],
)
@pytest.mark.parametrize("make", [plain, coder])
def test_what_would_be_ignored_is_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make().compile(**{"optimizer": "adam"} | options)


def test_half_precision_is_for_accelerators():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        network = imagegen.UNet(8, [8], block_depth=1, norm="group")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model = imagegen.DiffusionModel(network)
    model.normalizer.adapt(PICTURES)
    model.compile("adam")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    if training.on_a_cpu():
        with pytest.raises(ValueError, match="on a CPU"):
            model.fit(PICTURES, verbose=0)


def test_weights_without_an_average_are_refused():
    model = plain()
    next(layer for layer in model.network.layers if "conv" in layer.name).enable_lora(2)
    with pytest.raises(ValueError, match="LoRA adds weights"):
        model.fit(PICTURES, verbose=0)


# What is understood


def trained_on(model, *arguments, **options):
    keras.utils.set_random_seed(3)
    model.set_weights(
        [
            0.1 * normal(index, *w.shape) if w.dtype.kind == "f" and w.ndim > 1 else w
            for index, w in enumerate(weights(model))
        ]
    )
    model.seed_generator.state.assign([0, 5])
    options = {"batch_size": 4, "shuffle": False, "verbose": 0} | options
    return model.fit(*arguments, **options).history


def test_prompts_are_taken_in_every_form():
    names = [["daisy", "rose"][label] for label in LABELS]
    forms = [
        ((PICTURES, LABELS),),
        (PICTURES, LABELS),
        (PICTURES, names),
        (PICTURES, np.array(names)),
        (PICTURES, tuple(names)),
        (PICTURES, LABELS.astype("float32")),
        (PICTURES, LABELS.astype(">i8")),
        (PICTURES.astype(">f4"), LABELS),
        ((list(PICTURES), names),),
    ]
    losses = [trained_on(named(), *form)["loss"] for form in forms]
    assert losses == [losses[0]] * len(forms)


class Batches(keras.utils.PyDataset):
    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[4 * index : 4 * index + 4] for part in self.parts)


def test_data_sets_are_taken_with_and_without_prompts():
    first = trained_on(plain(), PICTURES)["loss"]
    assert trained_on(plain(), Batches(PICTURES), batch_size=None)["loss"] == first
    expected = trained_on(named(), PICTURES, LABELS)["loss"]
    assert trained_on(named(), Batches(PICTURES, LABELS), batch_size=None)["loss"] == expected
    # Of a generator Keras takes tuples alone.
    for form in (lambda x: x, lambda x: (x,), lambda x: (x, None), lambda x: list(x)):
        batches = (form(PICTURES[i : i + 4]) for i in (0, 4))
        assert trained_on(plain(), batches, batch_size=None, steps_per_epoch=2)["loss"] == first
    batches = ((PICTURES[i : i + 4], LABELS[i : i + 4]) for i in (0, 4))
    assert trained_on(named(), batches, batch_size=None, steps_per_epoch=2)["loss"] == expected


def test_a_batch_may_lack_the_first_class_and_have_the_empty_prompt():
    model = named()
    tokens = model.encoder.tokens(["rose", ""])
    assert tokens.tolist() == [1, 2]
    history = model.fit(Batches(PICTURES, np.tile(tokens, 4)), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_a_wrong_batch_of_a_data_set_is_named():
    model = named()
    before = weights(model)
    with pytest.raises(ValueError, match="numbers of classes"):
        model.fit(Batches(PICTURES, LABELS + 5), verbose=0)
    assert same(weights(model), before)
    works(model, (PICTURES, LABELS))


def test_a_weight_of_zero_leaves_a_picture_out():
    model = named()
    halves = np.float32([1, 1, 1, 1, 0, 0, 0, 0])
    noisy = np.where(halves[:, None, None, None] == 0, 255 - PICTURES, PICTURES)
    losses = [
        trained_on(named(), images, LABELS, sample_weight=halves, batch_size=8)["loss"]
        for images in (PICTURES, noisy)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    listed = trained_on(named(), PICTURES, LABELS, sample_weight=list(halves), batch_size=8)["loss"]
    assert listed == losses[0]
    by_class = trained_on(model, PICTURES, LABELS, class_weight={0: 1.0, 1: 0.0}, batch_size=8)
    by_sample = trained_on(named(), PICTURES, LABELS, sample_weight=1.0 - LABELS, batch_size=8)
    assert by_class["loss"] == pytest.approx(by_sample["loss"], rel=1e-6)


def test_evaluation_draws_the_same_noise_each_time():
    model = plain()
    state = ops.convert_to_numpy(model.seed_generator.state).copy()
    first, second = (model.evaluate(PICTURES, verbose=0) for _ in range(2))
    assert first == second
    np.testing.assert_array_equal(ops.convert_to_numpy(model.seed_generator.state), state)
    history = model.fit(
        PICTURES, epochs=2, verbose=0, validation_data=(PICTURES,),
        callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)],
    )  # fmt: skip
    # The averages move towards weights that stand still.
    assert history.history["val_loss"][0] == pytest.approx(first, rel=1e-3)
    assert history.history["val_loss"][0] == pytest.approx(history.history["val_loss"][1], rel=1e-4)


def test_another_backend_chooses_its_own_compiler(tmp_path):
    model = plain()
    model.compile("adam", jit_compile=True)
    assert model.get_compile_config()["jit_compile"] == "auto"


# What fails leaves whole steps


class Failing(keras.callbacks.Callback):
    """Fails, or asks to stop, at the end or the beginning of a batch."""

    def __init__(self, act, batch=1):
        super().__init__()
        self.act, self.batch = act, batch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            self.act()


def fail():
    raise RuntimeError("planted")


def stop():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("make", [plain, coder])
@pytest.mark.parametrize(("act", "error"), [(fail, RuntimeError), (stop, KeyboardInterrupt)])
@pytest.mark.parametrize("batch", [0, 1])
def test_what_ends_early_leaves_the_last_whole_step(make, act, error, batch, interruptible):
    model, whole = make(), make()
    whole.set_weights(model.get_weights())
    for one in (model, whole):
        for layer in one._flatten_layers():
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign([0, 5])
    before = weights(model)
    with pytest.raises(error):
        model.fit(PICTURES, batch_size=4, shuffle=False, verbose=0, callbacks=[Failing(act, batch)])
    if batch == 0:
        assert same(weights(model), before)
    else:
        whole.fit(PICTURES[:4], batch_size=4, shuffle=False, verbose=0)
        for one, other in zip(weights(model), weights(whole), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    works(model)


@pytest.mark.parametrize("make", [plain, coder])
def test_a_step_that_cannot_be_traced_leaves_the_model(make, monkeypatch):
    model = make()
    before = weights(model)
    with monkeypatch.context() as patch:
        patch.setattr(type(model), "compute_loss", lambda *_, **__: fail())
        with pytest.raises(RuntimeError, match="planted"):
            model.fit(PICTURES, verbose=0)
        with pytest.raises(RuntimeError, match="planted"):
            model.evaluate(PICTURES, verbose=0)
    assert same(weights(model), before)
    works(model)


def test_stop_is_heard_at_any_moment(interruptible):
    model = plain()
    for seconds in (0.3, 0.6, 1.0, 1.5):
        timer = threading.Timer(seconds, stop)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            model.fit(PICTURES, batch_size=2, epochs=100_000, verbose=0)
        timer.join()
        assert all(np.isfinite(weight).all() for weight in weights(model))
        works(model)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_preset_shows_what_it_is_taught():
    model = imagegen.DiffusionModel.from_preset("captioned-32")
    assert float(ops.convert_to_numpy(model.steps_averaged)) == 0


def test_a_word_that_is_not_learned_to_its_end_leaves_every_weight(interruptible):
    tokenizer = imagegen.WordTokenizer.fit(["a red flower with petals"])
    network = imagegen.UNet(
        8,
        [8],
        block_depth=1,
        norm="group",
        embedding_dim=8,
        condition_dim=4,
        context_shape=(6, 4),
        attention_resolutions=[8],
    )
    model = imagegen.DiffusionModel(network, encoder=imagegen.TextEncoder(tokenizer, 4))
    model.normalizer.adapt(PICTURES)
    before = weights(model)
    for seconds in (0.5, 1.5, 3.0):
        timer = threading.Timer(seconds, stop)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            imagegen.learn_concept(
                model, PICTURES[:3], "<x>", initial_word="red", num_steps=100_000, batch_size=2
            )
        timer.join()
        assert same(weights(model), before)
        assert "<x>" not in model.encoder.tokenizer.words
    model.generate("a red flower", num_steps=1, seed=0)


def test_a_word_that_is_being_added_is_added_to_both_encoders(interruptible, monkeypatch):
    tokenizer = imagegen.WordTokenizer.fit(["a red flower with petals"])
    network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, condition_dim=4,
                            context_shape=(6, 4), attention_resolutions=[8])  # fmt: skip
    model = imagegen.DiffusionModel(network, encoder=imagegen.TextEncoder(tokenizer, 4))
    add = imagegen.WordTokenizer.add_word

    def add_and_stop(self, word):
        token = add(self, word)
        if word not in model.averaged_encoder.tokenizer.words:
            stop()
        return token

    monkeypatch.setattr(imagegen.WordTokenizer, "add_word", add_and_stop)
    with pytest.raises(KeyboardInterrupt):
        imagegen.add_concept(model, imagegen.Concept("<x>", np.ones(4, "float32")))
    for encoder in (model.encoder, model.averaged_encoder):
        token = encoder.tokenizer.tokens(["<x>"])[0, 0]
        assert (ops.convert_to_numpy(encoder.word_vectors)[token] == 1).all()


# Relatives of these: what comes batch by batch


class Loader:
    """As PyTorch's `DataLoader`: each loop over it begins anew."""

    def __init__(self, *parts):
        self.parts, self.loops = parts, 0

    def __len__(self):
        return 2

    def __iter__(self):
        self.loops += 1
        return (tuple(part[i : i + 4] for part in self.parts) for i in (0, 4))


def test_a_loader_is_read_in_every_epoch():
    expected = trained_on(named(), PICTURES, LABELS, epochs=3)["loss"]
    found = trained_on(named(), Loader(PICTURES, LABELS), batch_size=None, epochs=3)["loss"]
    assert found == expected


# Keras says so at the end of each epoch of whatever doesn't know its length.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("kind", ["map", "iterable", "loader"])
def test_grains_data_sets_are_read_in_every_epoch(kind):
    pairs = grain.MapDataset.range(8).map(lambda i: (PICTURES[i], LABELS[i]))
    if kind == "map":
        data = pairs.batch(4)
    elif kind == "iterable":
        data = pairs.to_iter_dataset().batch(4)
    else:
        order = grain.samplers.SequentialSampler(
            num_records=8, shard_options=grain.sharding.NoSharding()
        )
        data = grain.DataLoader(
            data_source=pairs, sampler=order, operations=[grain.transforms.Batch(4)]
        )
    expected = trained_on(named(), PICTURES, LABELS, epochs=2)["loss"]
    assert trained_on(named(), data, batch_size=None, epochs=2)["loss"] == expected


def test_every_batch_of_grain_is_looked_at():
    data = grain.MapDataset.range(8).map(lambda i: (PICTURES[i], 5 * LABELS[i])).batch(4)
    model = named()
    with pytest.raises(ValueError, match="numbers of classes from 0 to 1"):
        model.fit(data, verbose=0, shuffle=False)
    works(model, (PICTURES, LABELS))


def tf_batches(*parts):
    data = pytest.importorskip("tensorflow").data.Dataset
    return data.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(4)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PICTURES, np.r_[LABELS[:4], 0, 1, 3, 0], "numbers of classes from 0 to 1"),
        (PICTURES, np.r_[LABELS[:4], 0, 1, -1, 0], "numbers of classes from 0 to 1"),
        (np.where(np.arange(8)[:, None, None, None] < 6, PICTURES, np.nan), LABELS, "finite"),
        (np.where(np.arange(8)[:, None, None, None] < 6, PICTURES, 9e9), LABELS, "value_range"),
    ],
)
def test_every_batch_of_tensorflow_is_looked_at(images, labels, message):
    model = named()
    with pytest.raises(ValueError, match=message):
        model.fit(tf_batches(images.astype("float32"), labels), verbose=0, shuffle=False)
    assert all(np.isfinite(weight).all() for weight in weights(model))
    works(model, (PICTURES, LABELS))


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="at least one batch"):
        plain().fit(tf_batches(PICTURES[:0]), verbose=0, shuffle=False)


def test_weights_of_tensorflow_count():
    halves = np.float32([1, 0] * 4)
    expected = trained_on(named(), PICTURES, LABELS, sample_weight=halves)["loss"]
    found = trained_on(named(), tf_batches(PICTURES, LABELS, halves), batch_size=None)["loss"]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_a_single_batch_is_looked_at_too(method):
    model = named()
    names = ["daisy", "rose"] * 4
    step = getattr(model, method)
    assert np.isfinite(step(PICTURES, names))
    assert np.isfinite(step((PICTURES, LABELS), sample_weight=np.ones(8), return_dict=True)["loss"])
    before = weights(model)
    for wrong in ((PICTURES[:, :4], LABELS), (PICTURES, LABELS + 5), (PICTURES,)):
        with pytest.raises(ValueError, match="Received"):
            step(*wrong)
    assert same(weights(model), before)
    works(model, (PICTURES, LABELS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": 2}, "`sample_weight` must be an array"),
        ({"sample_weight": [1, [2]]}, "`sample_weight` must be 8 numbers"),
        ({"sample_weight": np.full(8, 1e39)}, "`sample_weight` must be finite numbers"),
        ({"sample_weight": "x", "class_weight": {0: 1}}, "`sample_weight` must be an array"),
        ({"sample_weight": np.ones(3), "class_weight": {0: 1}}, "`sample_weight` must be 8"),
        ({"validation_data": ()}, "`validation_data` must be"),
        ({"validation_data": (PICTURES, LABELS, np.ones(8), 1)}, "`validation_data` must be"),
    ],
)
def test_weights_and_validation_of_other_forms_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        named().fit(PICTURES, LABELS, verbose=0, **options)


def test_no_pictures_are_refused_and_a_range_is_a_list_of_labels():
    with pytest.raises(ValueError, match="`images` must hold at least one"):
        plain().fit([], verbose=0)
    assert named().fit(PICTURES[:2], range(2), verbose=0).history["loss"]


def test_a_wrong_prediction_leaves_the_model():
    model = named()
    before = weights(model)
    with pytest.raises(ValueError, match="a tuple of pictures and tokens"):
        model.predict(PICTURES, verbose=0)
    assert same(weights(model), before)
    works(model, (PICTURES, LABELS))
    assert len(plain().predict(PICTURES, verbose=0)) == 4


@pytest.mark.parametrize("name", ["averaging", "prompt_dropout"])
@pytest.mark.parametrize("value", [2, -0.1, np.nan, "0.5"])
def test_shares_that_were_set_are_looked_at(name, value):
    model = named()
    before = weights(model)
    setattr(model, name, value)
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number from 0 to 1"):
        model.fit(PICTURES, LABELS, verbose=0)
    assert same(weights(model), before)
