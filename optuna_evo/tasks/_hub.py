"""Rows of a data set on the Hugging Face hub."""

import logging
from typing import Any


__all__ = ["rows_from_hub"]


def rows_from_hub(name: str, part: str, *, config: str | None = None) -> Any:
    """Return a split of a data set, downloaded or from the library's cache.

    Args:
        name: Name on the hub.
        part: Name of the split.
        config: Name of the data set's configuration, where it has several.

    Raises:
        Exception: Whatever the download raises.
    """
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    # Without a network each of its retries would be a line of its own before our error.
    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)
    try:
        return datasets.load_dataset(name, config, split=part)
    finally:
        hub_logging.set_verbosity(before)
