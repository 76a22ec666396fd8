"""Readers who type what they look for are led to it: the first result is the right one."""

import pytest

# What a reader types, and where it should lead: to a page, or to a section of one.
QUERIES = {
    "animation": "api/animation/",
    "attention": "learn/text_to_image/#a-network-that-looks-at-words",
    "classifier-free guidance": "learn/text_to_image/#guidance",
    "clip": "api/clip/",
    "cosine schedule": "learn/noise_and_signal/#the-cosine-schedule",
    "demo": "explore/",
    "ddim": "api/samplers/#imagegen.DDIM",
    "diffusion lab": "explore/diffusion_lab/",
    "dpm solver": "api/samplers/#imagegen.DPMSolver2M",
    "distributed training": "learn/many_devices/#sharing-a-batch",
    "ema": "learn/training_on_flowers/#averaged-weights",
    "fid": "learn/how_good_is_it/#fid-and-why-not",
    "backpropagation": "learn/before_you_begin/",
    "fine-tuning": "learn/your_own_pictures/#fine-tuning",
    "flow matching": "learn/diffusion_from_the_equations/#three-other-views",
    "gif": "api/animation/",
    "gpu": "learn/training_on_flowers/#what-full-training-looks-like-and-costs",
    "gallery": "learn/gallery/",
    "guidance": "learn/text_to_image/#guidance",
    "image to image": "learn/editing_pictures/#image-to-image",
    "inpainting": "learn/editing_pictures/#inpainting",
    "install": "#two-commands",
    "interpolation": "api/interpolation/",
    "kl divergence": "learn/latent_spaces/#two-losses",
    "interactive": "explore/",
    "latent plane": "explore/latent_plane/",
    "latent space": "learn/latent_spaces/",
    "overfitting": "learn/before_you_begin/",
    "loss function": "learn/training_on_flowers/#the-loss",
    "masks": "learn/editing_pictures/#inpainting",
    "memorization": "learn/how_good_is_it/#are-they-copies",
    "negative prompt": "learn/text_to_image/#negative-prompts",
    "metrics": "api/metrics/",
    "noise schedule": "learn/noise_and_signal/",
    "number of steps": "learn/flowers_from_noise/#how-many-steps-does-it-take",
    "onnx": "api/exporting/",
    "outpainting": "learn/editing_pictures/#outpainting",
    "pretrained models": "learn/presets/",
    "presets": "learn/presets/",
    "reparameterization trick": "learn/latent_spaces/#from-the-autoencoder-to-the-vae",
    "resume training": "api/checkpoints/",
    "samplers": "learn/samplers/",
    "save a model": "learn/presets/#load-one-of-your-own",
    "seed": "learn/flowers_from_noise/#the-same-seed-the-same-pictures",
    "slerp": "api/interpolation/#imagegen.slerp",
    "stable diffusion": "learn/stable_diffusion_3/",
    "super-resolution": "learn/editing_pictures/#super-resolution",
    "text to image": "learn/text_to_image/",
    "textual inversion": "learn/a_new_word/",
    "train on my own images": "learn/your_own_pictures/",
    "unet": "api/unet/",
    "vae": "api/vae/",
    "velocity prediction": "api/predictions/#imagegen.VelocityPrediction",
}


INDEX_BYTES = 150_000
SIZE = """() => performance.getEntriesByType("resource")
    .find(entry => entry.name.endsWith("search_index.json"))?.transferSize"""


@pytest.fixture(scope="module")
def first_result(browser, root):
    """A function from what is typed to the address of the best result."""
    page = browser.new_page()
    page.goto(root)
    field = page.get_by_role("textbox", name="Search")

    def ask(query: str) -> str:
        for text in ("", query):  # An empty field empties the list of results.
            field.fill(text)
            field.press("End")
            page.wait_for_function(
                "some => !!document.querySelector('.md-search-result__item') == some",
                arg=bool(text),
                timeout=10_000,
            )
        # Where Enter leads: to the link with the highest score of the first group.
        best = page.evaluate(
            """() => [...document.querySelector(".md-search-result__item").querySelectorAll("a")]
            .map(a => [+a.firstElementChild.dataset.mdScore, a.href])
            .sort((one, other) => other[0] - one[0])[0][1]"""
        )
        location, _, section = best.removeprefix(root).partition("#")
        return location.partition("?")[0] + (section and f"#{section}")

    yield ask
    page.close()


@pytest.mark.parametrize("query", QUERIES)
def test_what_a_reader_types_leads_to_the_right_place(first_result, query):
    found, wanted = first_result(query), QUERIES[query]
    assert found == wanted or ("#" not in wanted and found.startswith(wanted + "#"))


def test_the_index_comes_with_the_first_search_and_is_light(browser, root):
    page = browser.new_page()
    page.goto(root)
    with page.expect_response("**/search_index.json"):
        page.keyboard.press("/")
    # The browser notes the size a moment after the answer.
    assert page.wait_for_function(SIZE).json_value() <= INDEX_BYTES
    page.close()


def test_words_that_were_searched_are_marked_on_the_page(browser, root):
    page = browser.new_page()
    page.goto(f"{root}learn/noise_and_signal/?h=cosine")
    page.locator("mark", has_text="cosine").first.wait_for()
    page.close()
