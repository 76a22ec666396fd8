"""The book's U-Net beside those of other packages: forward, sampling and training, on one machine.

    pip install -e . --group peers && KERAS_BACKEND=jax python benchmarks/peers.py

The contenders are this package, the book's own loop and that of Keras's DDIM example, which call
Keras from Python, diffusers' `UNet2DModel` (as it is, and by `torch.compile`; with DDIM, and with
DPM-Solver++) and `denoising-diffusion-pytorch`, all with widths of 32, 64, 96 and 128 and two
blocks in each stage, on pictures of 64 x 64 pixels. Equal widths don't make equal networks: theirs
compute more. So each is measured in GFLOP/s, too, operations counted by the framework itself.
Beside it stands the rate of a matrix product of 2048 x 2048, which is what the machine can do. All
take turns; figures are medians. Keras's example trains on TensorFlow alone: `training.py` has its
step.

Claim: more pictures a second than every peer at equal widths, forward and in sampling.
"""

from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

import imagegen

import jax
import keras
import numpy as np
import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from listings import eager_loop, example_network, noise_finder
from report import report
from torch.utils.flop_counter import FlopCounterMode
from turns import median_seconds

SIZE, WIDTHS, NUM_STEPS, ROUNDS = 64, (32, 64, 96, 128), 20, 5
FORWARD, TRAINING = 16, 32


class Contender(NamedTuple):
    """What one package does in a round, and how many operations that is."""

    run: Callable[[], object]
    operations: float


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(FORWARD, 3, SIZE, SIZE, generator=generator)
    networks = {
        "diffusers": UNet2DModel(
            sample_size=SIZE,
            block_out_channels=WIDTHS,
            layers_per_block=2,
            down_block_types=["DownBlock2D"] * 4,
            up_block_types=["UpBlock2D"] * 4,
            norm_num_groups=16,
        ),
        "denoising-diffusion-pytorch": Unet(
            dim=WIDTHS[0], dim_mults=(1, 2, 3, 4), full_attn=(False,) * 4
        ),
    }
    ours = imagegen.DiffusionModel(imagegen.UNet(SIZE, WIDTHS, block_depth=2))
    ours.normalizer.adapt(np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), "uint8"))
    example = example_network(SIZE, WIDTHS, depth=2)
    costs = {
        "imagegen": keras_operations(ours.network),
        "Keras's example": keras_operations(example),
    }
    for name, network in networks.items():
        with FlopCounterMode(display=False) as counter:
            network(noisy[:1], torch.ones(1))
        costs[name] = counter.get_total_flops()
    for name, operations in costs.items():
        print(f"{name}: {operations / 1e9:.2f} GFLOP for one picture, forward")

    faster = "more pictures a second than each peer at equal widths"
    compare("matrix product", matrix_products(), "none")
    compare("forward", forward(ours, networks, noisy, costs), faster)
    contenders = sampling(ours, example, networks, noisy, costs)
    compare(f"sampling in {NUM_STEPS} steps", contenders, faster)
    compare("training step", training(ours, networks, costs), "none")


def keras_operations(network: keras.Model) -> float:
    """The operations for one picture, two for each multiplication with a weight and its sum."""
    inputs = [np.zeros((1, SIZE, SIZE, 3), "float32"), np.zeros((1, 1, 1, 1), "float32")]
    program = jax.jit(lambda *inputs: network(list(inputs), training=False)).lower(*inputs)
    return float(program.compile().cost_analysis()["flops"])


def matrix_products() -> dict[str, Contender]:
    ones = np.ones((2048, 2048), "float32")
    tensor, array, product = torch.from_numpy(ones), jax.numpy.asarray(ones), jax.jit(jax.numpy.dot)
    return {
        "JAX": Contender(lambda: product(array, array).block_until_ready(), 2 * 2048**3),
        "PyTorch": Contender(lambda: tensor @ tensor, 2 * 2048**3),
    }


def forward(ours, networks, noisy, costs) -> dict[str, Contender]:
    network = ours.averaged
    variables = (network.trainable_variables, network.non_trainable_variables)
    weights = [[variable.value for variable in part] for part in variables]
    pictures = jax.numpy.asarray(noisy.permute(0, 2, 3, 1).numpy())
    rates = jax.numpy.full((FORWARD, 1, 1, 1), 0.5)

    @jax.jit
    def program(trainable, others, pictures, rates):
        return network.stateless_call(trainable, others, [pictures, rates], training=False)[0]

    def of_torch(network):
        @torch.inference_mode()
        def run():
            network(noisy, torch.full((FORWARD,), 500.0))

        return run

    contenders = {"imagegen": lambda: program(*weights, pictures, rates).block_until_ready()}
    for name, peer in networks.items():
        contenders[name] = of_torch(peer.eval())
    contenders["diffusers, compiled"] = of_torch(torch.compile(networks["diffusers"]))
    return {
        name: Contender(run, FORWARD * costs[name.split(",")[0]])
        for name, run in contenders.items()
    }


def sampling(ours, example, networks, noisy, costs) -> dict[str, Contender]:
    chain = GaussianDiffusion(
        networks["denoising-diffusion-pytorch"], image_size=SIZE, sampling_timesteps=NUM_STEPS
    )

    def by_diffusers(network, scheduler):
        @torch.inference_mode()
        def run():
            scheduler.set_timesteps(NUM_STEPS)
            samples = noisy
            for step in scheduler.timesteps:
                output = network(samples, step).sample
                samples = scheduler.step(output, step, samples).prev_sample

        return run

    def by_listing(network, power):
        denoise, noise = noise_finder(network, power), jax.numpy.moveaxis(noisy.numpy(), 1, -1)
        return lambda: eager_loop(denoise, noise, NUM_STEPS).block_until_ready()

    network = networks["diffusers"].eval()

    def quietly():
        module = "denoising_diffusion_pytorch.denoising_diffusion_pytorch.tqdm"
        with patch(module, lambda steps, **_: steps):
            chain.sample(batch_size=FORWARD)

    contenders = {
        "imagegen": lambda: ours.generate(
            FORWARD, num_steps=NUM_STEPS, sampler=imagegen.DDIM(), seed=0
        ),
        "the book's loop": by_listing(ours.averaged, power=1),
        "Keras's example": by_listing(example, power=2),
        "diffusers": by_diffusers(network, DDIMScheduler()),
        "diffusers, compiled": by_diffusers(torch.compile(network), DDIMScheduler()),
        "diffusers, DPM-Solver++": by_diffusers(network, DPMSolverMultistepScheduler()),
        "denoising-diffusion-pytorch": quietly,
    }
    costs = costs | {"the book's loop": costs["imagegen"]}
    return {
        name: Contender(run, NUM_STEPS * FORWARD * costs[name.split(",")[0]])
        for name, run in contenders.items()
    }


def training(ours, networks, costs) -> dict[str, Contender]:
    images = np.random.default_rng(0).integers(0, 256, (TRAINING, SIZE, SIZE, 3), "uint8")
    ours.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-4))
    clean = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1

    def of_torch(network):
        optimizer = torch.optim.AdamW(network.train().parameters(), 1e-3)

        def run():
            times = torch.randint(0, 1000, (TRAINING,))
            noise = torch.randn_like(clean)
            signal = torch.cos(times / 1000 * np.pi / 2).reshape(-1, 1, 1, 1)
            noisy = signal * clean + (1 - signal**2).sqrt() * noise
            output = network(noisy, times)
            loss = (getattr(output, "sample", output) - noise).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    contenders = {
        "imagegen": lambda: ours.fit(images, batch_size=TRAINING, verbose=0),
        **{name: of_torch(network) for name, network in networks.items()},
    }
    return {name: Contender(run, 3 * TRAINING * costs[name]) for name, run in contenders.items()}


def compare(what: str, contenders: dict[str, Contender], claim: str) -> None:
    """Lets contenders take turns, and says what each needs beside the first one."""
    medians = median_seconds({name: each.run for name, each in contenders.items()}, ROUNDS)
    rates = {name: contenders[name].operations / medians[name] / 1e9 for name in contenders}
    first, *others = contenders
    print(f"\n{what}:")
    for name in contenders:
        print(f"    {name}: {medians[name]:.3f} s, {rates[name]:.0f} GFLOP/s")
    results = [
        f"{medians[name] / medians[first]:.2f} times {name} (at equal operations "
        f"{rates[first] / rates[name]:.2f})"
        for name in others
    ]
    report(f"{what}: {claim}", f"{first}, {rates[first]:.0f} GFLOP/s: " + ", ".join(results))


if __name__ == "__main__":
    main()
