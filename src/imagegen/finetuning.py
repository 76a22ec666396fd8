"""Fine-tuning: a trained model that goes on with other words or in another size."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from imagegen._checks import check_integer, check_size
from imagegen._contracts import checked
from imagegen._weights import serialized
from imagegen.averaging import freeze, frozen_copy
from imagegen.diffusion import DiffusionModel
from imagegen.layers import PositionEmbedding
from imagegen.training import CarefulTraining
from imagegen.typing import Batch, Size, Tensor
from imagegen.unet import UNet

import keras
from keras import ops


@checked
def with_names(
    model: DiffusionModel, names: Sequence[str], *, like: Mapping[str, str] | None = None
) -> DiffusionModel:
    """Returns a model that can be taught more classes or words, and paints the old ones as before.

    The new model shares no weight with the old one. It isn't compiled, and its averages start
    anew. Until it is trained, a new name shows what the one does that it is `like`, or nothing in
    particular.

    To keep what the model knows, go in two steps. First set `model.network.trainable = False` and
    `fit` it on the new pictures: only the vectors of the new names learn, and old names mean what
    they meant. Then set it to `True` again, and go on showing it old pictures with their old names,
    a third or more of each batch. Without them it forgets the old classes while it learns the new
    one. Best are pictures of its first training; where there are none, let it paint some. Guidance
    moves away from the empty prompt, so that should stay with the old pictures, too: set
    `model.prompt_dropout = 0` and give some of them the prompt `""`. A `Rehearsal` also holds the
    model to its old answers.

    Args:
        model: A model whose encoder has names: a `LabelEncoder`, or a `TextEncoder` of words.
        names: The new classes or words.
        like: For a new name, a known one to start from: `{"my dog": "dog"}`. Others start from
            vectors of their own.

    Returns:
        The model.

    Raises:
        ValueError: If the model's encoder can't be extended, a name is there already, or `like`
            names another.

    Example:
        ```python
        import imagegen

        network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, condition_dim=4)
        encoder = imagegen.LabelEncoder(["daisy", "rose"], 4)
        model = imagegen.DiffusionModel(network, encoder=encoder)
        wider = imagegen.with_names(model, ["tulip"], like={"tulip": "rose"})
        assert wider.encoder.names == ("daisy", "rose", "tulip")
        ```

    Reference:
        What a model forgets, and its own pictures against that: Ruiz et al.,
        [DreamBooth](https://arxiv.org/abs/2208.12242), 2022, section 3.2.
    """
    if not hasattr(model.encoder, "extended"):
        raise ValueError(
            "`model` must have an encoder of names, such as a LabelEncoder. "
            f"Received: a {type(model).__name__} with the encoder {model.encoder!r}"
        )
    learning, averaged = (
        encoder.extended(names, like) for encoder in (model.encoder, model.averaged_encoder)
    )
    wider = _copy(model, encoder=serialized(learning))
    _take_over(wider, model)
    wider.encoder.set_weights(learning.get_weights())
    wider.averaged_encoder.set_weights(averaged.get_weights())
    return wider


class Rehearsal(CarefulTraining):
    r"""Teaches a model new names, and holds it to what it does with the old ones.

    Pictures with new names teach it as `fit` of the model does. Of the others it doesn't learn
    what they show: the target is what the averaged network said of them when the rehearsal began,

    $$\lVert f(x_t, c) - f_0(x_t, c) \rVert^2, \qquad x_t = s_t x + n_t \epsilon.$$

    At first this is 0, and it grows only as the model forgets. Old pictures alone, with what they
    show as the target, push a model about even where it has nothing to learn from them. How much an
    old picture counts, `sample_weight` says: at 20 to 40 times a new one, old names are painted
    much as before.

    The model that was handed in learns, is generated with and is saved; the rehearsal itself is
    only for `compile` and `fit`. It takes half as long again as `fit` of the model.

    Args:
        model: A model with an encoder of names: what `with_names` returned.
        names: The new names.

    Raises:
        ValueError: If the encoder doesn't know a name, or isn't one of names, or the model jumps.

    Example:
        ```python
        import imagegen
        import numpy as np

        images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")
        network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, condition_dim=4)
        encoder = imagegen.LabelEncoder(["daisy", "rose"], 4)
        model = imagegen.DiffusionModel(network, encoder=encoder)
        model.normalizer.adapt(images)
        wider = imagegen.with_names(model, ["tulip"])
        rehearsal = imagegen.Rehearsal(wider, ["tulip"])
        rehearsal.compile("adam")
        rehearsal.fit(images, ["tulip"] * 4 + ["daisy", "rose", "rose", ""], verbose=0)
        assert wider.generate(["tulip"], num_steps=2, seed=0).shape == (1, 8, 8, 3)
        ```

    Reference:
        Li and Hoiem, [Learning without Forgetting](https://arxiv.org/abs/1606.09282), 2016, section
        3.
    """

    @checked
    def __init__(self, model: DiffusionModel, names: Sequence[str], **options: Any):
        super().__init__(**{"dtype": "float32"} | options)
        if not hasattr(model.encoder, "mentions"):
            raise ValueError(
                "`model` must have an encoder of names, such as a LabelEncoder. "
                f"Received: a {type(model).__name__} with the encoder {model.encoder!r}"
            )
        if model.jumps:
            raise ValueError(
                "`model` must go in small steps, as what it knew is asked for one by one. "
                f"Received: a {type(model).__name__}, which jumps"
            )
        if isinstance(names, str) or not names:
            raise ValueError(f"`names` must be a list of names. Received: {names!r}")
        model.encoder.tokens(list(names))
        self.model, self.names = model, tuple(names)
        self.before = frozen_copy(model.averaged)
        self.encoder_before = frozen_copy(model.averaged_encoder)
        self.built = True

    def check_examples(self, x: Batch, y: Batch = None) -> tuple[Batch, Batch]:
        """Returns pictures and tokens as `model` takes them, or raises as that does."""
        return self.model.check_examples(x, y)

    def make_train_function(self, force: bool = False) -> Any:
        self.model.check_ready()
        return super().make_train_function(force)

    def call(self, images: Any, training: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Adds noise to pictures, and asks the model and what it was before.

        Args:
            images: A tuple of pictures and tokens.
            training: Whether to use the learning network, in training mode.

        Returns:
            As `DiffusionModel.call` does. The target of old names is what the network said before.
        """
        model, (examples, tokens) = self.model, images
        network, encoder = model.network, model.encoder
        if not training:
            network, encoder = model.averaged, model.averaged_encoder
        clean = model._normalized(examples)
        noise, noise_rates, signal_rates, noisy = model.mixed(clean, model.seed_generator)

        def ask(network: Any, encoder: Any, training: bool) -> Tensor:
            told = keras.tree.flatten(encoder(tokens, training=training))
            return model._output(network, noisy, noise_rates, signal_rates, told, training=training)

        output = ask(network, encoder, training)
        before = ops.stop_gradient(ask(self.before, self.encoder_before, False))
        new = ops.reshape(encoder.mentions(tokens, self.names), ops.shape(noise_rates))
        target = model.prediction.target(clean, noise, noise_rates, signal_rates)
        target = ops.where(new, target, before)
        estimate = model.prediction.denoised(noisy, output, noise_rates, signal_rates)
        weights = model.weighting(model.prediction, noise_rates, signal_rates)
        return estimate, output, target, weights

    def compute_loss(
        self,
        x: Batch = None,
        y: Batch = None,
        y_pred: Batch = None,
        sample_weight: Batch = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the loss as `model` does, and moves its averages."""
        return self.model.compute_loss(x, y, y_pred, sample_weight, training)


@checked
def resized(model: DiffusionModel, image_size: Size) -> DiffusionModel:
    """Returns a model of the same weights for pictures of another size.

    Convolutions know no size. So the model paints at once, but what it learned about large shapes
    fits pictures of the old size: train it on some of the new one. Learned positions are resized
    as a picture is. The new model isn't compiled, and its averages start anew.

    Args:
        model: A model with a `UNet`.
        image_size: The new size, `(height, width)` or one number for squares, which the network's
            halvings must divide.

    Returns:
        The model.

    Raises:
        ValueError: If the network is no `UNet`, or the size doesn't divide.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel(imagegen.UNet(8, [8, 8], block_depth=1))
        assert imagegen.resized(model, 16).sample_shape == (16, 16, 3)
        ```
    """
    networks = {"network": model.network, "guiding_network": model.guiding_network}
    configs = {}
    for name, network in networks.items():
        if network is None:
            continue
        if not isinstance(network, UNet):
            raise ValueError(f"`model` must have a UNet. Received: {type(network).__name__}")
        ratio = check_size(image_size, "image_size")[0] / model.sample_shape[0]
        config = network.get_config()
        heights = [round(height * ratio) for height in config["attention_resolutions"]]
        config |= {"image_size": image_size, "attention_resolutions": heights}
        configs[name] = serialized(UNet.from_config(config))
    larger = _copy(model, **configs)
    _take_over(larger, model)
    _take_over_encoder(larger, model)
    return larger


@checked
def with_lora(model: DiffusionModel, rank: int) -> DiffusionModel:
    r"""Returns a model whose network learns by small additions alone: LoRA.

    Each kernel stays as it is, and beside it two narrow matrices learn:

    $$W \leftarrow W + A B, \qquad A \in \mathbb R^{m \times r}, \; B \in \mathbb R^{r \times n}$$

    At first $B$ is 0, so that the model paints as before. With a small rank $r$ there is little
    that training can change, and less that it can spoil: the way to teach a model from few
    pictures. The matrices are Keras's own, of `enable_lora`, in all convolutions and dense layers.
    Every other weight of the network rests, biases too. An encoder learns on unless its `trainable`
    is `False`, so that new names find their place.

    `save` and `save_preset` write the sums, and what is loaded from the file is an ordinary model,
    not compiled.

    Args:
        model: A model, whose network has convolutions or dense layers.
        rank: The rank of the additions, at least 1; 4 to 16 are usual.

    Returns:
        The model. It isn't compiled, and its averages start anew.

    Raises:
        ValueError: If the rank is out of range, or the network has no such layer, or has additions
            already.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel(imagegen.UNet(8, [8, 8], block_depth=1))
        small = imagegen.with_lora(model, rank=2)
        learning = sum(weight.value.size for weight in small.trainable_weights)
        assert learning < model.network.count_params() / 2
        ```

    Reference:
        Hu et al., [LoRA](https://arxiv.org/abs/2106.09685), 2021, equation 3.
    """
    rank = check_integer(rank, "rank", minimum=1)
    if any(getattr(layer, "lora_enabled", False) for layer in model.network._flatten_layers()):
        raise ValueError(
            "`model` must be without LoRA; what is saved and loaded again is. Received: a network "
            "with additions"
        )
    copy = _copy(model)
    _take_over(copy, model)
    _take_over_encoder(copy, model)
    additions = []
    for network in (copy.network, copy.averaged):
        freeze(network)
        kernels = [layer for layer in network._flatten_layers() if hasattr(layer, "enable_lora")]
        _check_rank(rank, kernels)
        for layer in kernels:
            layer.enable_lora(rank)
        additions.append([(kernel.lora_kernel_a, kernel.lora_kernel_b) for kernel in kernels])
    if not additions[0]:
        raise ValueError(
            "`model` must have a network with convolutions or dense layers. "
            f"Received: {type(model.network).__name__}"
        )
    freeze(copy.averaged)
    copy.network.trainable = True
    for weight in copy.network.weights:
        weight.trainable = False
    for live, average in zip(*additions, strict=True):
        for weight, its_average in zip(live, average, strict=True):
            weight.trainable = True
            # By way of NumPy: a variable of JAX would share the other one's buffer.
            its_average.assign(ops.convert_to_numpy(weight))
    return copy


def _copy(model: DiffusionModel, **changes: object) -> DiffusionModel:
    return type(model).from_config(model.get_config() | changes)


def _check_rank(rank: int, layers: list[Any]) -> None:
    """Raises where no kernel has as many rows and columns as its additions would have."""
    sides = [(math.prod(layer.kernel.shape[:-1]), layer.kernel.shape[-1]) for layer in layers]
    if sides:
        check_integer(rank, "rank", minimum=1, maximum=max(map(min, sides)))


def _take_over(copy: DiffusionModel, model: DiffusionModel) -> None:
    """Gives a copy the weights of all that isn't an encoder."""
    pairs = [(copy.network, model.network), (copy.averaged, model.averaged)]
    if model.guiding_network is not None:
        pairs.append((copy.guiding_network, model.guiding_network))
    for new, old in pairs:
        for layer, before in zip(new.layers, old.layers, strict=True):
            if isinstance(layer, PositionEmbedding):
                size = layer.positions.shape[:2]
                positions = ops.convert_to_tensor(before.positions)
                layer.positions.assign(
                    ops.image.resize(positions, size, data_format="channels_last")
                )
            else:
                layer.set_weights(before.get_weights())
    copy.normalizer.set_weights(model.normalizer.get_weights())


def _take_over_encoder(copy: DiffusionModel, model: DiffusionModel) -> None:
    if model.encoder is not None:
        copy.encoder.set_weights(model.encoder.get_weights())
        copy.averaged_encoder.set_weights(model.averaged_encoder.get_weights())
