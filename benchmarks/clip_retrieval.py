"""Do `clip-32` and `clip-flowers-32` know pictures? Prints the figures that their entries quote.

    python benchmarks/clip_retrieval.py

Claim: of 1,024 pictures that training never saw, at least 95% are nearest to their own caption
among 100, and captions to their own picture. The captions name all that captions name, and in each
set of 100 no two are the same. Beside that, what is read off by prompts alone: colours and the
number of petals. And what comes through when `clip-flowers-32` paints variations of 256 upright
flowers: each picture's embedding, moved by the mean gap, in the place of its caption's.
"""

import imagegen

import numpy as np
from report import report

SEED, NUM_PICTURES, NUM_CANDIDATES, NUM_VARIATIONS = 2_026, 1_024, 100, 256
COLOR_NAMES = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]
COLORS = {color: "an orange" if color == "orange" else f"a {color}" for color in COLOR_NAMES}
NUMBERS = ["three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
PROMPTS = {
    "petal_color": {color: f"{named} flower" for color, named in COLORS.items()},
    "center_color": {color: f"{named} centre" for color, named in COLORS.items()},
    "background_color": {color: f"{named} background" for color, named in COLORS.items()},
    "num_petals": {count: f"{name} petals" for count, name in enumerate(NUMBERS, start=3)},
}


def main() -> None:
    clip = imagegen.CLIP.from_preset("clip-32")
    images, _, attributes = imagegen.datasets.captioned_flowers(NUM_PICTURES, seed=SEED)
    captions = np.array([imagegen.drawn.caption(drawn, name_center=True) for drawn in attributes])
    similarity = clip.similarity(images, captions.tolist())
    of_images, of_texts = (
        np.mean([found(scores, captions, index) for index in range(NUM_PICTURES)])
        for scores in (similarity, similarity.T)
    )
    report(
        f"at least 95% among {NUM_CANDIDATES}",
        f"{of_images:.1%} of pictures, {of_texts:.1%} of captions",
    )
    for attribute, prompts in PROMPTS.items():
        best = clip.similarity(images, list(prompts.values())).argmax(axis=1)
        right = np.array(list(prompts))[best] == [getattr(drawn, attribute) for drawn in attributes]
        print(f"{attribute}, 1 of {len(prompts)}: {right.mean():.1%}")
    print(f"temperature: {clip.temperature:.4f}")
    told = variations(clip)
    report(
        "none for variations",
        f"{told.petal_color:.1%} keep the petals' colour, {told.center_color:.1%} the centre's, "
        f"{told.background_color:.1%} the background's, {told.num_petals:.1%} the number of petals",
    )


def variations(clip: imagegen.CLIP) -> imagegen.drawn.PromptAdherence:
    painter = imagegen.DiffusionModel.from_preset("clip-flowers-32")
    images, _, attributes = imagegen.datasets.captioned_flowers(
        NUM_VARIATIONS, seed=SEED, upright=True
    )
    captions = [imagegen.drawn.caption(drawn, name_center=True) for drawn in attributes]
    of_images, of_texts = clip.embed_images(images), clip.embed_texts(captions)
    moved = of_images + of_texts.mean(axis=0) - of_images.mean(axis=0)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    painted = painter.generate(imagegen.Conditions(moved), num_steps=20, seed=SEED)
    return imagegen.drawn.prompt_adherence(painted, attributes)


def found(scores: np.ndarray, captions: np.ndarray, index: int) -> bool:
    """Whether the own one of 100 candidates scores highest; no two of their captions are equal."""
    _, different = np.unique(captions, return_index=True)
    others = different[captions[different] != captions[index]]
    rng = np.random.default_rng([SEED, index])
    rivals = rng.choice(others, NUM_CANDIDATES - 1, replace=False)
    return bool(scores[index, index] > scores[index, rivals].max())


if __name__ == "__main__":
    main()
