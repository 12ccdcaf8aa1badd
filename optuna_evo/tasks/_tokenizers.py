"""From text to GPT-2's token numbers: single bytes, or byte-pair encoding from a folder."""

from collections.abc import Iterable
from collections.abc import Sequence
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optuna_evo.errors import DataError
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import find
from optuna_evo.tasks._files import one_line


__all__ = ["encode", "load_tokenizer", "save_tokenizer", "vocabulary_size"]

# The 256 bytes, then the end of a document.
_N_BYTE_TOKENS = 257
_END = 256
_N_GPT2_TOKENS = 50_257
_GPT2 = ["tokenizers/gpt2", "gpt2"]
_GPT2_ON_THE_HUB = "openai-community/gpt2"


def vocabulary_size(name: str) -> int:
    """Return the number of tokens of a tokenizer (see `load_tokenizer`).

    It does not depend on the data folder, so that a model can be built without it; with "auto" a
    model has room for GPT-2's tokens, which are more than the bytes.
    """
    if name == "bytes":
        return _N_BYTE_TOKENS
    if name in ("auto", "gpt2"):
        return _N_GPT2_TOKENS
    return len(load_tokenizer(name))


def encode(documents: Sequence[str], name: str, data_dir: Path | None = None) -> Tensor:
    """Return the token numbers (n,) of all documents, with an end mark between two documents.

    Args:
        documents: Texts.
        name: Tokenizer, see `load_tokenizer`.
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA`.

    Raises:
        DataError: If there is no such tokenizer.
    """
    if not _is_byte_pair(name, data_dir):
        pieces = (np.frombuffer(d.encode(), np.uint8).astype(np.int64) for d in documents)
        return _joined(pieces, _END)
    tokenizer = load_tokenizer(name, data_dir)
    # not verbose: it would warn that the text is longer than a model's context, which is cut later
    encoded = tokenizer(list(documents), verbose=False, return_attention_mask=False)["input_ids"]
    return _joined((np.array(tokens, np.int64) for tokens in encoded), tokenizer.eos_token_id)


def load_tokenizer(name: str, data_dir: Path | None = None) -> Any:
    """Return a tokenizer of transformers.

    Args:
        name: "bytes", "gpt2" (`tokenizers/gpt2` of the data folder, else from the hub), "auto"
            (that of the data folder, else "bytes"), or a folder or hub name of any tokenizer.
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA`.

    Raises:
        DataError: If there is no such tokenizer.
    """
    if not _is_byte_pair(name, data_dir):
        return _byte_tokenizer()
    found = find(data_folder(data_dir), _GPT2) if name in ("auto", "gpt2") else None
    place = str(found or (_GPT2_ON_THE_HUB if name == "gpt2" else Path(name).expanduser()))
    return _load(place)


def save_tokenizer(name: str, folder: Path, data_dir: Path | None = None) -> None:
    """Write a tokenizer into a folder, for `transformers.AutoTokenizer.from_pretrained`."""
    load_tokenizer(name, data_dir).save_pretrained(folder)


def _is_byte_pair(name: str, data_dir: Path | None) -> bool:
    if name == "auto":
        return find(data_folder(data_dir), _GPT2) is not None
    return name != "bytes"


@functools.lru_cache(maxsize=4)
def _load(place: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and others
        reason = "it does not exist" if _is_missing_path(place) else one_line(error)
        raise DataError(
            f"No tokenizer in {place!r}: {reason}. Name a folder with tokenizer files, "
            '"gpt2", or "bytes", which needs no files.'
        ) from error


def _is_missing_path(place: str) -> bool:
    # a hub name has at most one slash
    is_path = place.startswith((".", os.sep)) or place.count("/") > 1
    return is_path and not Path(place).exists()


def _byte_tokenizer() -> Any:
    """Return GPT-2's tokenizer without merges; token b is byte b."""
    from transformers import GPT2Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    vocabulary = {character: byte for byte, character in bytes_to_unicode().items()}
    return GPT2Tokenizer(vocab=vocabulary | {"<|endoftext|>": _END}, merges=[])


def _joined(pieces: Iterable[np.ndarray], end: int) -> Tensor:
    with_ends = [part for piece in pieces for part in (piece, np.array([end]))]
    return torch.from_numpy(np.concatenate(with_ends[:-1] or [np.empty(0, np.int64)]))
