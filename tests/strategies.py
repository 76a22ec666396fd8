"""What the tests draw from."""

import imagegen

import numpy as np
from hypothesis import strategies as st

times = st.floats(0, 1, width=32)
rates = st.floats(0.01, 1)
seeds = st.integers(0, 2**31 - 1)

predictions = st.sampled_from(
    [
        imagegen.NoisePrediction(),
        imagegen.ImagePrediction(),
        imagegen.VelocityPrediction(),
        imagegen.FlowPrediction(),
        imagegen.EDMPrediction(),
    ]
)


@st.composite
def cosine_schedules(draw) -> imagegen.CosineSchedule:
    low = draw(st.floats(0.001, 0.5))
    high = draw(st.floats(0.6, 1))
    return imagegen.CosineSchedule(low, high)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")
