"""What is exported computes what the model does, in a runtime that knows neither."""

import functools
from pathlib import Path

import imagegen

import keras
import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime", reason="runs what is exported")
if keras.backend.backend() == "jax":
    pytest.importorskip("jax2onnx", reason="Keras exports from JAX by it")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Keras exports from other backends by other packages"
)

NAMES = ["daisy", "rose", "lily"]


def random_weights(model):
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "float" in weight.dtype and weight.path.split("/")[-1] not in ("mean", "variance"):
            weight.assign(0.1 * random.standard_normal(weight.shape))
    return model


def labelled(**options):
    network = imagegen.UNet(
        8, [16, 16], block_depth=1, norm="group", embedding_dim=8, condition_dim=6, **options
    )
    model = random_weights(
        imagegen.DiffusionModel(network, encoder=imagegen.LabelEncoder(NAMES, 6))
    )
    model.normalizer.adapt(np.random.default_rng(1).integers(0, 256, (9, 8, 8, 3)))
    return model


def written():
    network = imagegen.UNet(
        (8, 16),
        [16, 16],
        block_depth=1,
        patch_size=2,
        norm="group",
        embedding_dim=8,
        condition_dim=8,
        context_shape=(4, 8),
        attention_resolutions=[2, 4],
        position_embedding=True,
    )
    encoder = imagegen.TextEncoder(imagegen.WordTokenizer([*NAMES], 4), 8)
    model = random_weights(imagegen.DiffusionModel(network, encoder=encoder))
    model.normalizer.adapt(np.random.default_rng(1).integers(0, 256, (9, 8, 16, 3)))
    return model


def latent():
    vae = imagegen.VAE(
        imagegen.image_encoder(8, [4], block_depth=1), imagegen.image_decoder(8, [4], block_depth=1)
    )
    network = imagegen.UNet(
        4, [16], block_depth=1, channels=4, norm="group", embedding_dim=8, condition_dim=6
    )
    model = imagegen.DiffusionModel(
        network, encoder=imagegen.LabelEncoder(NAMES, 6), value_range=None
    )
    model.normalizer.adapt(np.random.default_rng(1).normal(1, 2, (64, 4, 4, 4)))
    return random_weights(imagegen.LatentDiffusion(model, vae))


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options)


def noise_for(model, count=3):
    return np.random.default_rng(2).standard_normal((count, *model.sample_shape)).astype("float32")


@pytest.mark.parametrize("make", [labelled, written, latent])
@pytest.mark.parametrize("sampler", [imagegen.DDIM(), imagegen.DPMSolver2M()], ids=["ddim", "dpm"])
def test_an_exported_sampler_paints_what_the_model_does(make, sampler, tmp_path):
    model = make()
    model.export(tmp_path / "new" / "painter.onnx", num_steps=5, sampler=sampler)
    painter = session(tmp_path / "new" / "painter.onnx")
    assert [each.name for each in painter.get_inputs()] == ["noise", "tokens", "guidance_scale"]
    for scale in (1.0, 2.5):
        noise = noise_for(model)
        options = {"num_steps": 5, "sampler": sampler, "guidance_scale": scale, "noise": noise}
        expected = model.generate(NAMES, **options)
        tokens = model.diffusion_model().encoder.tokens(NAMES)
        (images,) = painter.run(
            None, {"noise": noise, "tokens": tokens, "guidance_scale": np.array(scale, "float32")}
        )
        assert images.dtype == np.float32
        # Half a level is what rounding to bytes takes.
        assert np.abs(images - expected / 255.0).max() <= 0.5 / 255 + 1e-4


@pytest.mark.parametrize("make", [labelled, written, latent])
def test_an_exported_denoiser_is_the_denoiser(make, tmp_path):
    model = make()
    model.export(tmp_path / "denoiser.onnx", part="denoiser")
    noisy, times = noise_for(model), np.float32([0.9, 0.5, 0.1])
    tokens = model.diffusion_model().encoder.tokens(["rose", "", "lily"])
    expected = model.denoise(noisy, times, model.encode_prompts(["rose", "", "lily"]))
    (clean,) = session(tmp_path / "denoiser.onnx").run(
        None, {"noisy": noisy, "time": times, "tokens": tokens}
    )
    np.testing.assert_allclose(clean, np.asarray(expected), atol=1e-4)


def student(**options):
    return random_weights(imagegen.student_of(labelled(**options), num_jumps=4))


def student_in_latents():
    return random_weights(imagegen.student_of(latent(), num_jumps=4))


@pytest.mark.parametrize("make", [student, student_in_latents])
def test_an_exported_student_is_not_guided_a_second_time(make, tmp_path):
    model = make()
    model.export(tmp_path / "painter.onnx", num_steps=2)
    painter = session(tmp_path / "painter.onnx")
    assert [each.name for each in painter.get_inputs()] == ["noise", "tokens"]
    noise, tokens = noise_for(model), model.diffusion_model().encoder.tokens(NAMES)
    (images,) = painter.run(None, {"noise": noise, "tokens": tokens})
    expected = model.generate(NAMES, num_steps=2, noise=noise)
    assert np.abs(images - expected / 255.0).max() <= 0.5 / 255 + 1e-4


@pytest.mark.parametrize("make", [student, student_in_latents])
def test_an_exported_denoiser_that_jumps_is_told_where_to(make, tmp_path):
    model = make()
    model.export(tmp_path / "denoiser.onnx", part="denoiser")
    jump = session(tmp_path / "denoiser.onnx")
    assert [each.name for each in jump.get_inputs()] == ["noisy", "time", "until", "tokens"]
    noisy, tokens = noise_for(model), model.diffusion_model().encoder.tokens(NAMES)
    conditions = model.encode_prompts(NAMES)
    begin, middle, end = (
        imagegen.Level(*row) for row in imagegen.samplers.levels(model.schedule, 2)[:3]
    )
    found = []
    for now, after in ((begin, middle), (middle, end)):
        times = [np.full(3, level.time, "float32") for level in (now, after)]
        expected = model.denoise(noisy, now.time, conditions, until=after)
        given = {"noisy": noisy, "time": times[0], "until": times[1], "tokens": tokens}
        (clean,) = jump.run(None, given)
        np.testing.assert_allclose(clean, np.asarray(expected), atol=1e-4)
        found.append(clean)
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_runtimes_on_gpus_know_every_convolution(tmp_path):
    onnx = pytest.importorskip("onnx", reason="jax2onnx writes by it")
    labelled().export(tmp_path / "denoiser.onnx", part="denoiser")
    graph = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "denoiser.onnx")).graph
    shapes = {each.name: each.type.tensor_type.shape.dim for each in graph.value_info}
    # Pictures of two dimensions; the sum over a window would be a convolution of four.
    inputs = [node.input[0] for node in graph.node if node.op_type == "Conv"]
    assert inputs
    assert {len(shapes[name]) for name in inputs} == {4}


def test_without_prompts_the_poorer_network_guides(tmp_path):
    network = imagegen.UNet(8, [16, 16], block_depth=1, norm="group")
    poorer = imagegen.UNet(8, [16], block_depth=1, norm="group")
    model = random_weights(imagegen.DiffusionModel(network, guiding_network=poorer))
    model.normalizer.adapt(np.random.default_rng(1).integers(0, 256, (9, 8, 8, 3)))
    model.autoguidance_scale = 1.7
    noise = noise_for(model, 2)
    model.export(tmp_path / "painter.onnx", num_steps=3, prompts=False)
    (images,) = session(tmp_path / "painter.onnx").run(None, {"noise": noise})
    expected = model.generate(2, num_steps=3, noise=noise)
    assert np.abs(images - expected / 255.0).max() <= 0.5 / 255 + 1e-4


def test_a_saved_model_of_tensorflow_paints_it_too(tmp_path):
    tensorflow = pytest.importorskip("tensorflow", reason="reads what is exported")
    model, noise = labelled(), noise_for(labelled())
    model.export(tmp_path / "painter", format="tf_saved_model", num_steps=3)
    painter = tensorflow.saved_model.load(str(tmp_path / "painter"))
    tokens = model.encoder.tokens(NAMES)
    images = painter.serve([noise, tokens, np.float32(2.0)]).numpy()
    expected = model.generate(NAMES, num_steps=3, guidance_scale=2.0, noise=noise)
    assert np.abs(images - expected / 255.0).max() <= 0.5 / 255 + 1e-4


def test_a_folder_is_written_whole_or_stays_as_it_was(tmp_path, monkeypatch):
    model, path = labelled(), tmp_path / "painter"
    before = {"saved_model.pb": b"before", "variables/variables.index": b"before", "notes": b"mine"}
    for name, content in before.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)

    def found():
        files = (file for file in tmp_path.rglob("*") if file.is_file())
        return {str(file.relative_to(path)): file.read_bytes() for file in files}

    def export(program, fails, filepath, *_, **__):
        for name in ("saved_model.pb", "variables/variables.index", "assets/words"):
            (Path(filepath) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(filepath) / name).write_bytes(b"new")
            if fails:
                raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "export", functools.partialmethod(export, True))
    with pytest.raises(OSError, match="No space"):
        model.export(path, format="tf_saved_model")
    assert found() == before
    monkeypatch.setattr(keras.Model, "export", functools.partialmethod(export, False))
    model.export(path, format="tf_saved_model")
    new = dict.fromkeys(["saved_model.pb", "variables/variables.index", "assets/words"], b"new")
    assert found() == {**new, "notes": b"mine"}


def test_points_leave_as_they_are(tmp_path):
    model = random_weights(
        imagegen.DiffusionModel(imagegen.point_mlp(2, width=16), value_range=None)
    )
    noise = noise_for(model, 5)
    model.export(tmp_path / "points.onnx", num_steps=4, sampler=imagegen.Heun())
    (points,) = session(tmp_path / "points.onnx").run(None, {"noise": noise})
    expected = model.generate(5, num_steps=4, sampler=imagegen.Heun(), noise=noise)
    np.testing.assert_allclose(points, expected, atol=1e-4)


def test_large_kernels_are_in_the_same_file(tmp_path):
    network = imagegen.point_mlp(2, width=520, depth=2)
    assert max(weight.nbytes for weight in network.get_weights()) > 2**20
    model = random_weights(imagegen.DiffusionModel(network, value_range=None))
    model.export(tmp_path / "denoiser.onnx", part="denoiser")
    assert [each.name for each in tmp_path.iterdir()] == ["denoiser.onnx"]
    noisy, times = np.ones((1, 2), "float32"), np.float32([0.5])
    (clean,) = session(tmp_path / "denoiser.onnx").run(None, {"noisy": noisy, "time": times})
    np.testing.assert_allclose(clean, model.denoise(noisy, times), rtol=1e-3)


def test_the_halves_of_an_autoencoder_are_exported_by_keras(tmp_path):
    vae = imagegen.VAE.from_preset("digits-2d")
    latents = np.random.default_rng(0).standard_normal((3, 2)).astype("float32")
    vae.decoder(latents)
    vae.decoder.export(tmp_path / "decoder.onnx", format="onnx", verbose=False)
    decoder = session(tmp_path / "decoder.onnx")
    (images,) = decoder.run(None, {decoder.get_inputs()[0].name: latents})
    np.testing.assert_allclose(images, vae.decode(latents), atol=1e-4)
    vae.encoder(images)
    vae.encoder.export(tmp_path / "encoder.onnx", format="onnx", verbose=False)
    encoder = session(tmp_path / "encoder.onnx")
    means, log_variances = encoder.run(None, {encoder.get_inputs()[0].name: images})
    for ours, theirs in zip(vae.encode(images), (means, log_variances), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"part": "half"}, ValueError, "`part` must be one of"),
        ({"sampler": imagegen.DDPM()}, ValueError, "`sampler` must draw no noise"),
        ({"sampler": imagegen.EDMSampler(churn=0.3)}, ValueError, "`sampler` must draw no noise"),
        ({"num_steps": 0}, ValueError, "`num_steps`"),
        ({"seed": 0}, TypeError, "`seed` can't be exported"),
        ({"part": "denoiser", "num_steps": 3}, TypeError, "takes no options"),
        ({"format": "jpeg"}, ValueError, "jpeg"),
    ],
)
def test_what_cannot_be_exported_leaves_the_old_file(options, error, message, tmp_path):
    path = tmp_path / "painter.onnx"
    path.write_text("old")
    with pytest.raises(error, match=message):
        labelled().export(path, **options)
    assert [each.name for each in tmp_path.iterdir()] == ["painter.onnx"]
    assert path.read_text() == "old"
