"""The versions that CI installs are versions that pyproject.toml allows."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = PROJECT["dependency-groups"]
# What CI installs; the other groups are for benchmarks.
WANTED = [
    *PROJECT["project"]["dependencies"],
    *(one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra),
    *(
        one
        for name in ("test", "tensorflow", "torch", "lint", "site", "docs")
        for one in GROUPS[name]
        if isinstance(one, str)
    ),
]
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
PYTHONS = ["3.11.9", "3.12.0", "3.13.0"]


def applies(requirement: Requirement, python: str, platform: str) -> bool:
    environment = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": platform,
        "platform_machine": "arm64" if platform == "darwin" else "x86_64",
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", PYTHONS)
def test_everything_that_is_wanted_has_one_version_that_is_allowed(python, platform):
    locked = {}
    for line in LINES:
        pin = Requirement(line)
        if applies(pin, python, platform):
            assert pin.name not in locked, line
            (specifier,) = pin.specifier
            assert specifier.operator == "==", line
            locked[pin.name] = specifier.version
    for text in WANTED:
        wanted = Requirement(text)
        if applies(wanted, python, platform):
            assert wanted.specifier.contains(locked[wanted.name]), text


def test_where_packages_come_from_is_left_to_who_installs():
    assert not [line for line in LINES if "://" in line or line.startswith("-")]
