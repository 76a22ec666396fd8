"""KID and FID of 10,000 features beside 10,000 others, against torchmetrics and clean-fid.

    pip install -e . --group peers && python benchmarks/metrics.py

All get the same features, float64, of 2,048 numbers each like those of InceptionV3. The peers
estimate KID from subsets; here they take all in one, so that all estimate the same.

Claims: the same FID and KID as each peer, to 1e-6 of the value; no slower than the faster one.
"""

import warnings

import imagegen

import numpy as np
import torch
from report import report
from turns import median_seconds

NUM_SAMPLES, NUM_FEATURES, ROUNDS = 10_000, 2_048, 1


class Features(torch.nn.Identity):
    """What torchmetrics takes for a network of features."""

    num_features = NUM_FEATURES


def main() -> None:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(NUM_FEATURES, NUM_FEATURES)) / NUM_FEATURES**0.5
    real, made = (generator.normal(size=(NUM_SAMPLES, NUM_FEATURES)) @ mixing for _ in range(2))
    real, made = np.maximum(real, 0), np.maximum(1.1 * made + 0.05, 0)

    compare("FID", frechet_distances(made, real))
    compare("KID", kernel_distances(made, real))


def frechet_distances(made, real):
    from cleanfid import fid
    from torchmetrics.image.fid import FrechetInceptionDistance

    def by_torchmetrics() -> float:
        metric = FrechetInceptionDistance(Features()).set_dtype(torch.float64)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(made), real=False)
        return float(metric.compute())

    def by_clean_fid() -> float:
        moments = ((part.mean(axis=0), np.cov(part, rowvar=False)) for part in (made, real))
        return float(fid.frechet_distance(*next(moments), *next(moments)))

    return {
        "imagegen": lambda: imagegen.frechet_inception_distance(made, real),
        "torchmetrics": by_torchmetrics,
        "clean-fid": by_clean_fid,
    }


def kernel_distances(made, real):
    from cleanfid import fid
    from torchmetrics.image.kid import KernelInceptionDistance

    def by_torchmetrics() -> float:
        metric = KernelInceptionDistance(Features(), subsets=1, subset_size=NUM_SAMPLES)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(made), real=False)
        return float(metric.compute()[0])

    return {
        "imagegen": lambda: imagegen.kernel_inception_distance(made, real).distance,
        "torchmetrics": by_torchmetrics,
        "clean-fid": lambda: fid.kernel_distance(
            made, real, num_subsets=1, max_subset_size=NUM_SAMPLES
        ),
    }


def compare(what, contenders) -> None:
    found = {}

    def keep(name):
        found[name] = contenders[name]()

    medians = median_seconds({name: lambda name=name: keep(name) for name in contenders}, ROUNDS)
    results = []
    for name, median in medians.items():
        print(f"{what} by {name:12} {found[name]:.10f} in {median:.1f} s")
        if name != "imagegen":
            apart = abs(found[name] / found["imagegen"] - 1)
            faster = median / medians["imagegen"]
            results.append(f"{apart:.0e} apart from {name}, {faster:.2f} times as fast")
    report(f"{what}: within 1e-6 of the peers', no slower", "; ".join(results))


if __name__ == "__main__":
    with warnings.catch_warnings(category=UserWarning, action="ignore"):
        main()
