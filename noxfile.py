"""Everything that is done to this project, one session each: `nox -l` lists them."""

import os
import shutil
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

if sys.version_info < (3, 11):  # noqa: UP036  (said in a sentence, before pip says it in pages)
    sys.exit(f"imagegen needs Python 3.11 or newer. {sys.executable} is {sys.version.split()[0]}.")

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "docs"]

PYPROJECT = nox.project.load_toml("pyproject.toml")

# So that a change is to blame where it fails, CI tests it with the versions in this file. Every
# week, and on everybody's own machine, the newest ones are taken.
LOCK = "constraints.txt"
LOCKED = ["--constraint", LOCK] if os.environ.get("LOCKED") else []

# What the design promises of every backend; the rest of the tests runs on JAX alone.
BACKEND_TESTS = [
    f"tests/test_{module}.py"
    for module in (
        "layers",
        "vae",
        "unet",
        "schedules",
        "discrete",
        "predictions",
        "samplers",
        "checkpoints",
        "conditioning",
        "generation",
        "diffusion",
        "latent",
        "text",
        "concepts",
        "distillation",
    )
]


def install(session: nox.Session, *groups: str, extra: str = "") -> None:
    """Install the package, editable, with an extra, and dependency groups of pyproject.toml."""
    try:
        needed = nox.project.dependency_groups(PYPROJECT, *groups)
        session.install(*LOCKED, "-e", f".{extra}", *needed)
    except CommandFailed:
        session.error(
            "the packages could not be installed; pip says above which, and why. If an index has "
            "none for this platform or this Python, another Python from 3.11 on may help: nox "
            "runs with the one that made its environment. Run the command again to go on from here."
        )


def run_tests(session: nox.Session, backend: str, *arguments: str) -> None:
    # Several at a time: most of the time goes into compiling, on one core each.
    session.run("pytest", "-n", "auto", *arguments, env={"KERAS_BACKEND": backend})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests on JAX."""
    install(session, "test", extra="[sd3,export]")
    run_tests(session, "jax", "--durations=15", *session.posargs)


@nox.session
def tests_lowest(session: nox.Session) -> None:
    """Run the tests with the lowest version of each package that pyproject.toml allows."""
    allowed = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["test"]]
    # Of a minor version the last patch: a first one may have been withdrawn.
    session.install(*(f"{requirement.replace('>=', '==')}.*" for requirement in allowed))
    session.install("--no-deps", "-e", ".")
    # The packages of the extras ask for newer versions than imagegen itself.
    without = ["--ignore=tests/test_siege.py", "-k", "not sd3 and not exporting"]
    run_tests(session, "jax", *without, *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Write the versions that CI installs: those of the file, renewed where `-- --upgrade` asks."""
    session.install("uv")
    groups = ["test", "tensorflow", "torch", "lint", "site", "docs"]
    session.run(
        *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11.9"),
        *("--all-extras", *(part for group in groups for part in ("--group", group))),
        *("--no-annotate", "--no-emit-index-url", "--output-file", LOCK, *session.posargs),
        "pyproject.toml",
        env={"UV_CUSTOM_COMPILE_COMMAND": "nox -s lock"},
    )


@nox.session
def audit(session: nox.Session) -> None:
    """Look up known vulnerabilities of everything that the package brings along."""
    # In the newest versions, which users install.
    session.install("-e", ".[sd3,export]")
    session.install("pip-audit")
    session.run("pip-audit", "--skip-editable")


@nox.session
def tests_tensorflow(session: nox.Session) -> None:
    """Run the tests of models, schedules and samplers on TensorFlow."""
    install(session, "test", "tensorflow")
    run_tests(session, "tensorflow", *(session.posargs or BACKEND_TESTS))


@nox.session
def tests_torch(session: nox.Session) -> None:
    """Run the tests of models, schedules and samplers on PyTorch."""
    install(session, "test", "torch")
    run_tests(session, "torch", *(session.posargs or BACKEND_TESTS))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, executing every chapter that has changed, and check the built HTML."""
    install(session, "docs", "test", extra="[sd3,export]")
    session.run("pytest", "--quiet", "tests/test_pages.py", "tests/test_chapters.py")
    session.run("python", "docs/_machinery/execute.py")
    # Not `--quiet`: then warnings are not counted, and a strict build lets them pass.
    session.run("mkdocs", "build", env={"NO_MKDOCS_2_WARNING": "1"})
    session.run("python", "docs/_machinery/check_site.py", "site")


@nox.session
def serve(session: nox.Session) -> None:
    """Show the site on this machine at once, and execute its chapters meanwhile, until Ctrl-C."""
    # The same packages as in `docs`, so that each reuses the chapters that the other has executed.
    install(session, "docs", "test", extra="[sd3,export]")
    session.run(
        "mkdocs", "serve", "--livereload", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"}
    )


@nox.session
def site_tests(session: nox.Session) -> None:
    """Look at every page of the site that `docs` built, in Chromium."""
    # With the package, whose results exhibits have to equal.
    install(session, "site")
    session.run("pytest", "-rs", "site_tests", *session.posargs)


@nox.session
def gpu_smoke(session: nox.Session) -> None:
    """Train a few steps on a GPU, and paint with a Stable Diffusion 3 of random weights."""
    if shutil.which("nvidia-smi") is None:
        session.skip("no NVIDIA GPU here: nvidia-smi was not found")
    session.install("-e", ".[sd3]", "jax[cuda13]")
    session.run("python", "tests/gpu_smoke.py", env={"KERAS_BACKEND": "jax"})


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure the project's claims, or those named after `--`, into new rows of the dated table."""
    install(session, "bench", extra="[sd3]")
    folder = Path("benchmarks")
    # What the scripts share is no script.
    shared = {"listings", "report", "turns"}
    names = session.posargs or sorted({path.stem for path in folder.glob("*.py")} - shared)
    table = {"IMAGEGEN_BENCHMARKS_TABLE": str((folder / "README.md").resolve())}
    for name in names:
        session.run("python", str(folder / f"{name}.py"), env=table)
