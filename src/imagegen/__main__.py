"""The command line: `python -m imagegen` lists presets and paints to files."""

import argparse
import json
import sys
from collections.abc import Sequence

import imagegen

import keras

_SAMPLERS = {
    "ddim": imagegen.DDIM,
    "ddpm": imagegen.DDPM,
    "dpm-solver": imagegen.DPMSolver2M,
    "edm": imagegen.EDMSampler,
    "euler": imagegen.Euler,
    "heun": imagegen.Heun,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command, and returns the exit status: 0, or 2 with one sentence on stderr.

    Args:
        arguments: The words of the command; by default, those of this process.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        print(f"imagegen: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m imagegen", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    presets = commands.add_parser("presets", help="list the trained models that come along")
    presets.set_defaults(run=_presets)
    info = commands.add_parser("info", help="say how a picture was made")
    info.add_argument("picture", nargs="+")
    info.set_defaults(run=_info)
    paint = commands.add_parser("paint", help="paint pictures to files")
    paint.add_argument("model", help="the name of a preset, or the path of a .keras file")
    paint.add_argument("prompts", nargs="*", help="what to paint; nothing for what the model likes")
    paint.add_argument("--num-images", type=int, help="how many, of each prompt (1)")
    paint.add_argument("--negative", help="what the pictures should not show")
    paint.add_argument("--guidance-scale", type=float, help="how firmly prompts are followed")
    paint.add_argument("--num-steps", type=int, help="steps from noise to picture")
    paint.add_argument("--sampler", choices=_SAMPLERS, help="how a step is taken")
    paint.add_argument("--seed", type=int, default=0, help="other numbers, other pictures (0)")
    paint.add_argument("--batch-size", type=int, help="pictures at a time")
    paint.add_argument("--folder", default=".", help="where the files go (here)")
    paint.add_argument("--format", default="png", choices=("png", "webp", "jpeg"))
    paint.set_defaults(run=_paint)
    return parser


def _presets(options: argparse.Namespace) -> None:
    width = max(map(len, imagegen.list_presets()))
    for name in imagegen.list_presets():
        print(f"{name:{width}}  {imagegen.preset_info(name).description}")


def _info(options: argparse.Namespace) -> None:
    for path in options.picture:
        print(json.dumps(imagegen.read_metadata(path), indent=2, ensure_ascii=False))


def _paint(options: argparse.Namespace) -> None:
    model = imagegen.presets.load(options.model, keras.Model)
    if not isinstance(model, imagegen.ImageGenerator):
        painters = ", ".join(
            name
            for name in imagegen.list_presets()
            if "paint" in imagegen.preset_info(name).description
        )
        raise ValueError(
            f"`model` must be one that paints, such as {painters}. "
            f"Received: {options.model!r}, a {type(model).__name__}"
        )
    count = 1 if options.num_images is None else options.num_images
    prompts = [prompt for prompt in options.prompts for _ in range(count)]
    chosen = {
        "negative_prompts": options.negative,
        "guidance_scale": options.guidance_scale,
        "num_steps": options.num_steps,
        "sampler": _SAMPLERS[options.sampler]() if options.sampler else None,
    }
    chosen = {name: value for name, value in chosen.items() if value is not None}
    images = model.generate(
        prompts or count, seed=options.seed, batch_size=options.batch_size, **chosen
    )
    told = {"model": options.model, "seed": options.seed, "number": list(range(len(images)))}
    told |= {"prompt": prompts} if prompts else {}
    told |= chosen | ({"sampler": options.sampler} if options.sampler else {})
    for path in imagegen.save_images(
        images, options.folder, name=_name(options.model), format=options.format, metadata=told
    ):
        print(path)


def _name(model: str) -> str:
    return model.replace("\\", "/").rpartition("/")[2].removesuffix(".keras")


if __name__ == "__main__":
    sys.exit(main())
