"""Models that leave Python: what they compute, as a file for other runtimes."""

import os
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from imagegen._checks import check_choice
from imagegen._contracts import checked
from imagegen._files import whole_file, whole_folder
from imagegen._saving import SavedWhole
from imagegen.guidance import guide
from imagegen.samplers import Level, advance
from imagegen.typing import Tensor

import keras
import numpy as np
from keras import ops

_PARTS = ("sampler", "denoiser")
# What the formats make: a file, or a folder. Of others, Keras alone knows.
_WHOLE = {
    "onnx": whole_file,
    "litert": whole_file,
    "torch": whole_file,
    "tf_saved_model": whole_folder,
}


class Exportable(SavedWhole, keras.Model):
    """A Keras model that generates, and can be exported: `DiffusionModel`, `LatentDiffusion`.

    Example:
        ```python
        import tempfile

        import imagegen

        model = imagegen.DiffusionModel(imagegen.UNet(8, [8], block_depth=1), value_range=None)
        assert isinstance(model, imagegen.Exportable)
        model.export(tempfile.mkdtemp() + "/denoiser.onnx", part="denoiser")
        ```
    """

    @checked
    def export(  # type: ignore[override]
        self,
        filepath: str | os.PathLike[str],
        format: str = "onnx",
        *,
        part: str = "sampler",
        prompts: bool = True,
        verbose: bool = False,
        **options: Any,
    ) -> None:
        """Writes what generates as a file that needs neither Python nor this package.

        The sampler is the whole way from noise to pictures. Its inputs are

        - `noise`: standard normal, float32 `(batch, *sample_shape)`;
        - with prompts, `tokens`: what `model.encoder.tokens(prompts)` returns, a row a picture;
        - with prompts, `guidance_scale`: a float32 scalar; not for a student, which has its
          teacher's built in.

        Its output are pictures, float32 from 0 to 1, or samples as they are where the model's
        `value_range` is `None`.

        The denoiser is one evaluation, for a loop of your own. Its inputs are `noisy`, normalized
        samples `(batch, *sample_shape)`; `time`, from 0 to 1, float32 `(batch,)`; for a model that
        jumps, `until`, the time at which the step ends, like `time` and 0 for the clean end; and
        with prompts `tokens`. Its output are normalized clean samples.

        What the averaged weights are at this moment is written. The batch may have any size.

        Args:
            filepath: Where to write. Missing folders are made.
            format: `"onnx"`, or another that `keras.Model.export` knows for the backend. ONNX is
                written on JAX, by jax2onnx: `pip install "imagegen[export]"`. On TensorFlow it
                takes tf2onnx, which can't convert a transformer of words. `"tf_saved_model"` needs
                TensorFlow.
            part: `"sampler"` or `"denoiser"`.
            prompts: Whether it is told what to paint, where the model has an encoder. Without, a
                poorer network guides where the model has one.
            verbose: Whether Keras says what it does.
            **options: Of the sampler, `num_steps` and `sampler`, which draws no noise on the way;
                by default, the model's own.

        Raises:
            ValueError: If an argument is none of these, or the model isn't ready.
            TypeError: If there is no option of a name.
            ImportError: If a package is missing that Keras needs for the format.

        Example:
            ```python
            import tempfile

            import imagegen
            import numpy as np
            import onnxruntime

            model = imagegen.DiffusionModel(imagegen.UNet(8, [8], block_depth=1), value_range=None)
            path = tempfile.mkdtemp() + "/painter.onnx"
            model.export(path, num_steps=4)
            painter = onnxruntime.InferenceSession(path)
            (images,) = painter.run(None, {"noise": np.zeros((2, 8, 8, 3), "float32")})
            assert images.shape == (2, 8, 8, 3)
            ```

        Reference:
            The format: [Open Neural Network Exchange](https://onnx.ai/onnx/intro/concepts.html).
        """
        check_choice(part, "part", _PARTS)
        if part == "denoiser" and options:
            raise TypeError(f"The denoiser takes no options. Received: {sorted(options)}")
        if unknown := options.keys() - {"num_steps", "sampler"}:
            raise TypeError(
                f"`{min(unknown)}` can't be exported; `num_steps` and `sampler` can. "
                "Guidance is an input of what is exported, and seeds become noise"
            )
        self.check_ready()  # type: ignore[attr-defined]
        program = _SamplerProgram(self, prompts, options) if part == "sampler" else None
        program = program or _DenoiserProgram(self, prompts)
        signature = program.signature()
        # Keras asks that it has been called.
        program([np.zeros([side or 1 for side in each.shape], each.dtype) for each in signature])
        path = Path(filepath)
        on_jax = keras.backend.backend() == "jax" and format == "tf_saved_model"
        # A loop has no gradient on JAX, and nobody asks for one.
        extra = {"jax2tf_kwargs": {"with_gradient": False}} if on_jax else {}
        with _WHOLE.get(format, nullcontext)(path) as target, warnings.catch_warnings():
            # Of the converters: they ask for types that there aren't, and go on without.
            warnings.simplefilter("ignore")
            keras.Model.export(program, str(target), format, verbose, [signature], **extra)
            if format == "onnx":
                _gather(target)

    @checked
    def pictures_of(self, samples: Tensor) -> Tensor:
        """Returns pictures from 0 to 1 of normalized samples, in a way that can be compiled."""
        raise NotImplementedError


def _gather(path: Path) -> None:
    """Brings home what jax2onnx puts beside the file: arrays of a mebibyte or more."""
    beside = path.with_name(f"{path.name}.data")
    if not beside.exists():
        return
    import onnx

    try:
        onnx.save(onnx.load(path), path)
    finally:
        beside.unlink()


class _Program(keras.Model):
    """What is written: a model from arrays to arrays, of constants and weights alone."""

    def __init__(self, model: Any, prompts: bool):
        super().__init__(name=model.name)
        self.model = model
        trained = model.diffusion_model()
        self.encoder = trained.averaged_encoder if prompts else None
        self.autoguidance = None if self.encoder is not None else model.autoguidance

    def tokens_signature(self) -> list[keras.InputSpec]:
        if self.encoder is None:
            return []
        parts = keras.tree.flatten(self.encoder.empty)
        names = ["tokens"] if len(parts) == 1 else [f"tokens_{i}" for i in range(len(parts))]
        return [
            keras.InputSpec(shape=(None, *part.shape), dtype=part.dtype.name, name=name)
            for part, name in zip(parts, names, strict=True)
        ]

    def conditions(self, tokens: list[Tensor]) -> list[Tensor]:
        assert self.encoder is not None
        structure = keras.tree.pack_sequence_as(self.encoder.empty, tokens)
        return keras.tree.flatten(self.encoder(structure, training=False))


class _DenoiserProgram(_Program):
    def signature(self) -> list[keras.InputSpec]:
        noisy = keras.InputSpec(
            shape=(None, *self.model.sample_shape), dtype="float32", name="noisy"
        )
        times = [
            keras.InputSpec(shape=(None,), dtype="float32", name=name)
            for name in ("time", *(["until"] if self.model.jumps else []))
        ]
        return [noisy, *times, *self.tokens_signature()]

    def call(self, inputs: list[Tensor]) -> Tensor:
        noisy, time, *tokens = inputs
        until = {}
        if self.model.jumps:
            end, *tokens = tokens
            until["until"] = self._level(end)
        if self.encoder is not None:
            return self.model.denoise(noisy, time, self.conditions(tokens), **until)
        denoise = self.model.denoise
        around = self.autoguidance.around(denoise) if self.autoguidance else denoise
        return around(noisy, time, **until)

    def _level(self, end: Tensor) -> Level:
        """The level at a time, one a sample. At the clean end a little noise may be scheduled."""
        end = ops.reshape(end, (-1,) + (1,) * len(self.model.sample_shape))
        noise_rates, signal_rates = self.model.schedule(end)
        clean = end <= 0
        return Level(end, ops.where(clean, 0.0, noise_rates), ops.where(clean, 1.0, signal_rates))


class _SamplerProgram(_Program):
    def __init__(self, model: Any, prompts: bool, options: dict[str, Any]):
        super().__init__(model, prompts)
        way = model.begin(None, 1, {**options, "seed": 0})
        if way.sampler.draws_noise():
            raise ValueError(
                "`sampler` must draw no noise on the way: files have no random numbers that are "
                f"the same everywhere. Received: sampler={way.sampler!r}"
            )
        self.sampler, self.num_steps = way.sampler, way.num_steps
        constants = (way.table[: way.num_steps + 1], *map(np.float32, model.bounds))
        # A function, or Keras would make lists of arrays its own.
        self.constants = lambda: constants

    def signature(self) -> list[keras.InputSpec]:
        noise = keras.InputSpec(
            shape=(None, *self.model.sample_shape), dtype="float32", name="noise"
        )
        tokens = self.tokens_signature()
        scale = keras.InputSpec(shape=(), dtype="float32", name="guidance_scale")
        # What has learned guidance isn't guided a second time.
        guided = tokens and not self.model.knows_guidance
        return [noise, *tokens, *([scale] if guided else [])]

    def call(self, inputs: list[Tensor]) -> Tensor:
        noise, *told = inputs
        table, low, high = self.constants()
        denoise = self._guided(ops.shape(noise)[0], told)

        def clipped(noisy: Tensor, time: Tensor, **until: Any) -> Tensor:
            return ops.clip(denoise(noisy, time, **until), low, high)

        noisy = noise * np.hypot(*table[0, 1:]).astype("float32")
        state = self.sampler.init(noisy, ops.convert_to_tensor(0, "int32"))
        table = ops.convert_to_tensor(table)
        start, stop = (ops.convert_to_tensor(step, "int32") for step in (0, self.num_steps))
        samples, _, _ = advance(
            self.sampler, clipped, noisy, state, table, start, stop, jumps=self.model.jumps
        )
        return self.model.pictures_of(samples)

    def _guided(self, count: Any, told: list[Tensor]) -> Any:
        denoise = self.model.denoise
        if self.encoder is None:
            return self.autoguidance.around(denoise) if self.autoguidance else denoise
        if self.model.knows_guidance:
            conditions = self.conditions(told)
            return lambda noisy, time, **until: denoise(noisy, time, conditions, **until)
        *tokens, scale = told
        empty = [
            ops.broadcast_to(part, (count, *part.shape))
            for part in keras.tree.flatten(self.encoder.empty)
        ]
        positive, negative = self.conditions(tokens), self.conditions(empty)

        def guided(noisy: Tensor, time: Tensor, **until: Any) -> Tensor:
            # Two calls and not one of twice the size: converters lose count of the batch there.
            to, away = (denoise(noisy, time, told, **until) for told in (positive, negative))
            return guide(to, away, scale)

        return guided
