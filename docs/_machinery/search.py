"""A MkDocs hook: what the search index holds, and which words lead to which section.

Prose, headings and names are searched. Listings are not: they would make the index, which
whoever searches waits for, twice as large, and bury what explains under what only mentions.

Readers type words that a section doesn't say, or not in its heading. `WORDS` gives the section
these words, and they count about as much as its heading does. What readers type is written down in
`site_tests/test_search.py`.
"""

import json
import logging
import re
from pathlib import Path

from mkdocs.plugins import event_priority

# Listings, signatures, and the package's source.
UNSEARCHED = re.compile(
    r'<(?=div class="[^"]*\bhighlight"|details class="mkdocstrings-source")(\w+)'
)
# Who refers to whom, with which mkdocstrings ends a section once all pages are known.
BACKLINKS = re.compile(r"(?:Referenced|Returned|Subclassed|Used) by: <ul>.*", re.DOTALL)

WORDS = {
    "#two-commands": ["install"],
    "api/animation/": ["gif"],
    "api/checkpoints/": ["resume training"],
    "api/predictions/#imagegen.VelocityPrediction": ["velocity prediction"],
    "api/samplers/#imagegen.DDIM": ["ddim"],
    "api/interpolation/#imagegen.slerp": ["slerp"],
    "api/exporting/": ["onnx"],
    "explore/": ["interactive", "demo", "playground"],
    "learn/a_new_word/#one-vector-learns": ["textual inversion"],
    "learn/before_you_begin/#one-step": ["backpropagation", "gradient descent"],
    "learn/diffusion_from_the_equations/#three-other-views": ["flow matching"],
    "learn/editing_pictures/#image-to-image": ["image to image"],
    "learn/editing_pictures/#inpainting": ["masks"],
    "learn/training_on_flowers/#averaged-weights": ["ema"],
    "learn/flowers_from_noise/#how-many-steps-does-it-take": ["number of steps"],
    "learn/training_on_flowers/#the-loss": ["loss function"],
    "learn/training_on_flowers/#what-full-training-looks-like-and-costs": ["gpu"],
    "learn/how_good_is_it/#are-they-copies": ["memorization"],
    "learn/latent_spaces/#from-the-autoencoder-to-the-vae": ["reparameterization trick"],
    "learn/latent_spaces/#two-losses": ["kl divergence"],
    "learn/many_devices/#sharing-a-batch": ["data parallelism", "distributed training"],
    "learn/noise_and_signal/": ["noise schedule"],
    "learn/noise_and_signal/#the-cosine-schedule": ["cosine schedule"],
    "learn/presets/": ["pretrained models"],
    "learn/presets/#load-one-of-your-own": ["save a model", "save and load"],
    "learn/your_own_pictures/": ["train my own", "train own photos", "own dataset"],
    "learn/your_own_pictures/#fine-tuning": ["fine-tuning", "dreambooth"],
    "learn/text_to_image/#guidance": ["guidance", "classifier-free guidance"],
    "learn/text_to_image/#a-network-that-looks-at-words": ["attention"],
}

log = logging.getLogger("mkdocs.hooks.search")


def on_page_markdown(markdown, page, config, files):
    """Let the chapters, which explain, come before the reference where both fit."""
    if page.url.startswith("learn/"):
        page.meta.setdefault("search", {"boost": 1.2})


@event_priority(-100)  # after the plugins that put such things on a page
def on_page_content(content, page, config, files):
    """Mark what is not to be searched, in Material's way."""
    return UNSEARCHED.sub(r'<\1 data-search-exclude="true"', content)


@event_priority(-100)  # after the plugin that writes the index
def on_post_build(config):
    """Take out who refers to whom, and give sections their words, as tags."""
    path = Path(config.site_dir) / "search" / "search_index.json"
    index = json.loads(path.read_text("utf-8"))
    for section in index["docs"]:
        section["text"] = " ".join(BACKLINKS.sub("", section["text"]).split())
    sections = {section["location"]: section for section in index["docs"]}
    for location, words in WORDS.items():
        if location in sections:
            sections[location]["tags"] = words
        else:
            log.warning(f"{Path(__file__).name} gives words to {location}, which isn't there.")
    path.write_text(json.dumps(index, separators=(",", ":")), "utf-8")
