"""A Stable Diffusion 3 of toy size, tokenizer included, built from random weights."""

from typing import Any

import numpy as np

# Words that are one token. In the real vocabulary too, "sks" is a token that hardly any text has.
_WORDS = ("a", "of", "in", "photo", "painting", "flower", "flowers", "dog", "cat", "sks")
_START, _END = "<|startoftext|>", "<|endoftext|>"


def tiny_task(
    seed: int, image_shape: tuple[int, int, int], dtype: str, hidden_dim: int, num_layers: int
) -> Any:
    """Returns a KerasHub task that draws noise, with every part that the real one has."""
    import keras_hub
    from keras_hub.src.models.vae.vae_backbone import VAEBackbone  # Exported nowhere, in 0.32.

    vocabulary, merges = _vocabulary()
    models = keras_hub.models

    def preprocessor(name: str) -> Any:
        # Without names of their own, the second file would overwrite the first in a saved preset.
        tokenizer = models.CLIPTokenizer(
            vocabulary, merges, name=name, config_file=f"{name}_tokenizer.json"
        )
        return models.CLIPPreprocessor(tokenizer, config_file=f"{name}_preprocessor.json")

    def text_encoder(name: str, width: int, activation: str) -> Any:
        sizes = (len(vocabulary), width, width, 2, 2, 2 * width, activation, -2)
        return models.CLIPTextEncoder(*sizes, dtype=dtype, name=name)

    backbone = models.StableDiffusion3Backbone(
        mmdit_patch_size=2,
        mmdit_hidden_dim=hidden_dim,
        mmdit_num_layers=num_layers,
        mmdit_num_heads=2,
        mmdit_position_size=max(image_shape) // 8,
        mmdit_qk_norm=None,
        mmdit_dual_attention_indices=None,
        vae=VAEBackbone(*[[32] * 4, [1] * 4] * 2, dtype=dtype, name="vae"),
        clip_l=text_encoder("clip_l", 8, "quick_gelu"),
        clip_g=text_encoder("clip_g", 16, "gelu"),
        image_shape=image_shape,
        dtype=dtype,
    )
    _randomize(backbone, seed)
    return models.StableDiffusion3TextToImage(
        backbone,
        models.StableDiffusion3TextToImagePreprocessor(
            preprocessor("clip_l"), preprocessor("clip_g")
        ),
    )


def _vocabulary() -> tuple[dict[str, int], list[str]]:
    """All bytes, then the words and what they are merged from, the end token last."""
    # CLIP writes every byte as a printable letter: those that are none move behind the others.
    letters = [chr(byte) for byte in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + number) for number in range(256 - len(letters))]
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    merges = []
    for word in _WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merge, pieces = f"{pieces[0]} {pieces[1]}", [pieces[0] + pieces[1], *pieces[2:]]
            if merge not in merges:
                merges.append(merge)
                tokens.append(pieces[0])
    # The text encoder takes its summary where the largest number is: at the end token.
    tokens += [_START, _END]
    return {token: number for number, token in enumerate(tokens)}, merges


def _randomize(backbone: Any, seed: int) -> None:
    """Draws the weights that matter from `seed` alone, whatever was drawn before."""
    generator = np.random.default_rng(seed)
    for variable in backbone.weights:
        if len(variable.shape) > 1:
            fan_in = float(np.prod(variable.shape[:-1]))
            values = generator.standard_normal(variable.shape) / fan_in**0.5
            variable.assign(values.astype("float32"))
