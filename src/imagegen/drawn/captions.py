"""Sentences that say what a drawn flower looks like."""

from imagegen._checks import check_choice
from imagegen._contracts import checked
from imagegen.drawn.drawing import HABITATS, MIN_PETALS, FlowerAttributes

import numpy as np

_COUNTS = ["three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


@checked
def caption(
    attributes: FlowerAttributes, *, name_center: bool = False, habitat: str | None = None
) -> str:
    """Describes a flower in one sentence.

    Args:
        attributes: The flower.
        name_center: Whether the sentence names the colour of the flower's centre.
        habitat: Where the flower grows, a name in `HABITATS`, if the sentence says so: "a red
            alpine flower".

    Returns:
        The caption, in lower case.

    Raises:
        ValueError: If there is no such habitat.

    Example:
        ```python
        from imagegen.drawn import FlowerAttributes, caption

        flower = FlowerAttributes(5, "red", "yellow", "blue")
        assert caption(flower) == "a red flower with five petals on a blue background"
        ```
    """
    petals = f"{_COUNTS[attributes.num_petals - MIN_PETALS]} petals"
    center = f" and {_article(attributes.center_color)} centre" if name_center else ""
    return (
        f"{_subject(attributes.petal_color, habitat)} with {petals}{center} "
        f"on {_article(attributes.background_color)} background"
    )


@checked
def partial_caption(
    attributes: FlowerAttributes, rng: np.random.Generator, *, habitat: str | None = None
) -> str:
    """Describes some of a flower, as prompts do that leave the rest open.

    One caption in five is a single phrase, such as "red petals" or "a blue background". In the
    others each of the colours and the number of petals is named with a probability of 0.75: "a
    flower with five petals on a blue background".

    Args:
        attributes: The flower.
        rng: Where the random numbers come from.
        habitat: Where the flower grows, a name in `HABITATS`, if the caption may say so. Among the
            single phrases is then one such as "an alpine flower", and all others with a flower in
            them say it.

    Returns:
        The caption, in lower case.

    Raises:
        ValueError: If there is no such habitat.

    Example:
        ```python
        import numpy as np
        from imagegen.drawn import FlowerAttributes, partial_caption

        flower = FlowerAttributes(5, "red", "yellow", "blue")
        print(partial_caption(flower, np.random.default_rng(0)))
        ```
    """
    count = _COUNTS[attributes.num_petals - MIN_PETALS]
    petals, center, background = attributes._colors()
    phrases = [
        f"{petals} petals",
        f"{count} petals",
        f"{count} {petals} petals",
        f"{_article(center)} centre",
        f"{_article(background)} background",
        _subject(petals, habitat),
    ]
    if habitat:
        phrases.append(_subject(None, habitat))
    if rng.random() < 0.2:
        return str(rng.choice(phrases))
    named = [bool(rng.random() < 0.75) for _ in range(4)]
    subject = _subject(petals if named[0] else None, habitat)
    parts = [f"{count} petals"] * named[1] + [f"{_article(center)} centre"] * named[2]
    parts = [f"with {' and '.join(parts)}"] if parts else []
    parts += [f"on {_article(background)} background"] * named[3]
    return " ".join([subject, *parts])


def _subject(color: str | None, habitat: str | None) -> str:
    if habitat is not None:
        check_choice(habitat, "habitat", HABITATS)
    return _article(" ".join(filter(None, [color, habitat, "flower"])))


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
