"""Keras's own ways to save a model, made safe: a file is there whole, or as it was before."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from imagegen._contracts import checked
from imagegen._files import whole_file


class SavedWhole:
    """Lets a Keras model replace an earlier file only when it is written to its end.

    No model itself: of a class that is built as a functional model, Keras changes the bases, and
    all others that share them would be functional, too.
    """

    @checked
    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        zipped: bool | None = None,
        **options: Any,
    ) -> None:
        """Writes the model to a `.keras` file: see `keras.Model.save`.

        A file that is there already stays until the new one is whole.

        Args:
            filepath: Where the file goes. Missing folders are made.
            overwrite: Whether to replace a file without asking.
            zipped: As of `keras.Model.save`.
            **options: As of `keras.Model.save`.

        Raises:
            ValueError: If `filepath` has another ending.
            OSError: If the file can't be written.
        """
        with _whole(filepath, ".keras", overwrite and zipped is not False) as target:
            super().save(target, overwrite, zipped, **options)  # type: ignore[misc]

    @checked
    def save_weights(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        max_shard_size: float | None = None,
    ) -> None:
        """Writes the weights to a `.weights.h5` file: see `keras.Model.save_weights`.

        A file that is there already stays until the new one is whole.

        Args:
            filepath: Where the file goes. Missing folders are made.
            overwrite: Whether to replace a file without asking.
            max_shard_size: As of `keras.Model.save_weights`.

        Raises:
            ValueError: If `filepath` has another ending.
            OSError: If the file can't be written.
        """
        with _whole(filepath, ".weights.h5", overwrite and max_shard_size is None) as target:
            super().save_weights(target, overwrite, max_shard_size)  # type: ignore[misc]


def _whole(
    filepath: str | os.PathLike[str], suffix: str, safe: bool
) -> AbstractContextManager[str | os.PathLike[str]]:
    """Where to write. Folders, questions, and addresses in a network are Keras's affair."""
    name = os.fspath(filepath)
    local = "://" not in name and name.endswith(suffix)
    return whole_file(Path(name)) if safe and local else nullcontext(filepath)
