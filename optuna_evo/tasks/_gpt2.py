"""GPT-2 as a language-model task: fresh in three sizes, or pretrained, on any text.

The first 90 % of the tokens are for training, the next 5 % for validation, the last 5 % for the
test, each packed into full sequences that do not overlap. The metric is the validation loss, the
mean cross entropy per token in nats; its exponential is the perplexity.

Architecture: Radford et al. 2019, by `transformers.GPT2LMHeadModel`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.errors import DataError
from optuna_evo.errors import UsageError
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import one_line
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._quiet import quiet_transformers
from optuna_evo.tasks._task import check_rows
from optuna_evo.tasks._task import partition
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task
from optuna_evo.tasks._texts import read_text
from optuna_evo.tasks._tokenizers import encode
from optuna_evo.tasks._tokenizers import save_tokenizer
from optuna_evo.tasks._tokenizers import vocabulary_size


__all__ = ["gpt2", "Gpt2"]


@dataclass(frozen=True, kw_only=True)
class _Size:
    width: int
    n_layers: int
    n_heads: int
    context: int
    batch_size: int
    valid_tokens: int
    tokenizer: str


# Parameters with the default tokenizer: 1.4, 10.8 and 124 million.
_SIZES: Mapping[str, _Size] = {
    "tiny": _Size(
        width=192,
        n_layers=3,
        n_heads=6,
        context=64,
        batch_size=16,
        valid_tokens=16_384,
        tokenizer="bytes",
    ),
    "mini": _Size(
        width=384,
        n_layers=6,
        n_heads=6,
        context=256,
        batch_size=32,
        valid_tokens=65_536,
        tokenizer="bytes",
    ),
    "small": _Size(
        width=768,
        n_layers=12,
        n_heads=12,
        context=1024,
        batch_size=8,
        valid_tokens=131_072,
        tokenizer="auto",
    ),
}
_PRETRAINED = _SIZES["small"]
_SHARES = {"train": (0.0, 0.9), "valid": (0.9, 0.95), "test": (0.95, 1.0)}


class Gpt2(nn.Module):
    """A `GPT2LMHeadModel` that gives logits as a plain tensor.

    Args:
        model: The model, at `gpt2` afterwards.
        tokenizer: Name of the tokenizer that goes with it.
    """

    def __init__(self, model: nn.Module, tokenizer: str) -> None:
        super().__init__()
        self.gpt2 = model
        self.tokenizer = tokenizer

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (b, length, vocabulary) of what follows each of tokens (b, length)."""
        # cached keys and values serve generation only
        logits: Tensor = self.gpt2(input_ids=tokens, use_cache=False).logits
        return logits

    def save_pretrained(self, folder: Path, *, data_dir: Path | None = None) -> None:
        """Write model and tokenizer for `GPT2LMHeadModel.from_pretrained` and `AutoTokenizer`."""
        with quiet_transformers():
            self.gpt2.save_pretrained(folder)  # type: ignore[operator]
        save_tokenizer(self.tokenizer, folder, data_dir)


def gpt2(
    *,
    size: str = "tiny",
    text: str = "auto",
    tokenizer: str | None = None,
    weights: str | None = None,
    sequence_length: int | None = None,
    train_rows: int | None = None,
    valid_tokens: int | None = None,
) -> Task:
    """Make the task; in a spec: `task = { size = "mini", text = "imdb" }`.

    Args:
        size: Fresh weights: "tiny" (3 layers of width 192), "mini" (6 of 384) or "small" (12 of
            768, as published).
        text: "auto", "tinyshakespeare", "imdb", "stdlib", or the path of a text or parquet file
            (see `read_text`); "auto" needs no download.
        tokenizer: "bytes", "gpt2", "auto" (GPT-2's where the data folder has it, else bytes), a
            folder or a hub name. None: that of `weights`; "auto" for "small"; "bytes" else.
        weights: Folder or hub name of pretrained weights; `size` is ignored then.
        sequence_length: Tokens per row; None: 64, 256, 1024 by size.
        train_rows: Largest number of training rows, drawn at random, the same always; None: all.
        valid_tokens: Largest number of tokens in the validation rows, which are spread evenly over
            the held-out text; None: 16,384, 65,536, 131,072 by size.

    Raises:
        UsageError: If an option is out of range.

    Example:
        >>> from optuna_evo import tasks
        >>> task = tasks.get("gpt2", size="tiny", text="stdlib")
        >>> task.load(None).train.inputs.shape[1]
        64
    """
    if size not in _SIZES:
        raise UsageError(f"`task.size` must be one of {', '.join(_SIZES)}; got {size!r}.")
    shape = _PRETRAINED if weights else _SIZES[size]
    length = shape.context if sequence_length is None else sequence_length
    if length < 2 or (length > shape.context and not weights):
        raise UsageError(
            f"`task.sequence_length` must be from 2 to {shape.context}, got {length}."
        )
    n_valid = shape.valid_tokens if valid_tokens is None else valid_tokens
    if n_valid < length:
        raise UsageError(
            f"`task.valid_tokens` must be at least the sequence length, {length}; got {n_valid}."
        )
    check_rows(train_rows=train_rows)
    name = tokenizer or weights or shape.tokenizer  # pretrained weights come with their tokenizer
    cut = functools.partial(_cut, text=text, tokenizer=name, length=length)
    return Task(
        name="gpt2",
        kind="language_model",
        build_model=functools.partial(_pretrained, weights, name, length)
        if weights
        else functools.partial(_fresh, size, name),
        load=functools.partial(_load, cut, train_rows, n_valid),
        load_test=lambda data_dir: cut(data_dir, "test")[0],
        loss=cross_entropy,
        metric=cross_entropy,
        batch_size=shape.batch_size,
        higher_is_better=False,
        bfloat16=True,
        notes={"weights": weights or f"fresh {size} GPT-2"},
    )


def _fresh(size: str, tokenizer: str, *, dropout: float = 0.1) -> Gpt2:
    from transformers import GPT2Config
    from transformers import GPT2LMHeadModel

    shape, n_tokens = _SIZES[size], vocabulary_size(tokenizer)
    config = GPT2Config(
        vocab_size=n_tokens,
        n_positions=shape.context,
        n_embd=shape.width,
        n_layer=shape.n_layers,
        n_head=shape.n_heads,
        # the end of a document is the last token, in the bytes' and in GPT-2's vocabulary
        bos_token_id=n_tokens - 1,
        eos_token_id=n_tokens - 1,
        **_dropouts(dropout),
    )
    return Gpt2(GPT2LMHeadModel(config), tokenizer)


def _pretrained(weights: str, tokenizer: str, length: int, *, dropout: float = 0.1) -> Gpt2:
    from transformers import GPT2LMHeadModel

    try:
        with quiet_transformers():
            model = GPT2LMHeadModel.from_pretrained(
                Path(weights).expanduser() if Path(weights).expanduser().exists() else weights,
                dtype=torch.float32,
                **_dropouts(dropout),
            )
    except Exception as error:
        raise DataError(
            f"No GPT-2 weights in {weights!r} ({one_line(error)}): name a folder written by "
            "`save_pretrained`, or leave `task.weights` out for fresh ones."
        ) from error
    if length > model.config.n_positions:
        raise UsageError(
            f"`task.sequence_length` must be at most {model.config.n_positions}, the context of "
            f"{weights!r}; got {length}."
        )
    return Gpt2(model, tokenizer)


def _dropouts(dropout: float) -> dict[str, float]:
    return dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)


def _load(
    cut: Any, train_rows: int | None, valid_tokens: int, data_dir: Path | None = None
) -> Splits:
    train, source = cut(data_dir, "train")
    if train_rows is not None and train_rows < len(train):
        train = train.take(partition(len(train), train_rows)[0])
    valid, _ = cut(data_dir, "valid")
    # spread, not the first rows: a text changes along its way, and so does its loss
    n_rows = min(len(valid), valid_tokens // valid.inputs.shape[1])
    rows = torch.arange(n_rows) * len(valid) // n_rows
    return Splits(train, valid.take(rows), source)


def _cut(
    data_dir: Path | None, part: str, *, text: str, tokenizer: str, length: int
) -> tuple[Split, str]:
    """Return a part of the text as inputs (n, length) and, one token on, targets."""
    tokens, source = _tokens(text, tokenizer, data_folder(data_dir))
    start, stop = (int(share * len(tokens)) for share in _SHARES[part])
    piece = tokens[start:stop]
    n_rows = (len(piece) - 1) // length
    if n_rows < 1:
        raise DataError(
            f"The text is too short: {source} has {len(tokens)} tokens, of which {len(piece)} "
            f"for the {part} rows; a row needs {length + 1}. Name a longer text, or set a "
            "shorter task.sequence_length."
        )
    end = n_rows * length
    return Split(piece[:end].view(-1, length), piece[1 : end + 1].view(-1, length)), source


# Training, validation and test rows are cut from the same tokens: tokenise once.
@functools.lru_cache(maxsize=2)
def _tokens(text: str, tokenizer: str, folder: Path | None) -> tuple[Tensor, str]:
    documents, source = read_text(text, folder)
    return encode(documents, tokenizer, folder), source
