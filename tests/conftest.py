"""What every test file shares."""

import os
from importlib.metadata import version

# Before Keras is imported: a test file may import it ahead of the package.
os.environ.setdefault("KERAS_BACKEND", "jax")
# Most of the time goes into compiling programs that run a few steps. Compiled without pains they
# are ready much sooner.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# A third sooner still in one piece each, and by the older way to emit loops. That way is gone from
# JAX 0.12, and XLA ends the process at a flag that it doesn't know.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_parallel_codegen_split_count=1"
    if tuple(map(int, version("jaxlib").split(".")[:2])) >= (0, 12)
    else "--xla_cpu_parallel_codegen_split_count=1 --xla_cpu_use_fusion_emitters=false",
)
# Nor are they kept: hundreds of small ones would only crowd the user's cache.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")

from hypothesis import settings

# The first example of a test compiles what it calls, so that a limit per example means nothing.
settings.register_profile("imagegen", deadline=None)
settings.load_profile("imagegen")


def pytest_addoption(parser):
    parser.addoption("--exact", action="store_true", help="compare digests with golden.json")
    parser.addoption("--record", action="store_true", help="write golden.json anew")
