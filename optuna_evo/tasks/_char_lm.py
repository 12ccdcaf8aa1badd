"""Next-character prediction with a small causal transformer (2 layers, width 128, 4 heads).

The text is `text/tinyshakespeare/input.txt` of the data folder. Without that file it is the source
files of the running Python's standard library, which differ a little between versions of Python;
`Splits.source` tells which text it was. The first 90 % of the text are for training, 5 % for
validation, the last 5 % for the test, cut into windows that do not overlap.

Data: karpathy/char-rnn. Architecture: pre-norm decoder as in GPT-2 (Radford et al. 2019).
"""

import math
from pathlib import Path
import string

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F

from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task
from optuna_evo.tasks._texts import read_text


__all__ = ["char_lm", "Transformer"]

_CONTEXT = 64
# The vocabulary does not depend on the text: a model can be built without data, and no character
# of the test text leaks into it.
_CHARACTERS = "\n " + string.ascii_letters + string.digits + string.punctuation
_OTHER = len(_CHARACTERS)


class Transformer(nn.Module):
    """A causal transformer on characters.

    Args:
        width: Width of the residual stream, a multiple of `n_heads`.
        n_layers: Number of blocks.
        n_heads: Attention heads of a block.
        dropout: Probability to drop a value that enters the residual stream, in [0, 1].

    Raises:
        ValueError: If `width` is not a multiple of `n_heads`.

    Example:
        >>> Transformer()(torch.zeros(2, 64, dtype=torch.long)).shape
        torch.Size([2, 64, 97])
    """

    def __init__(
        self, *, width: int = 128, n_layers: int = 2, n_heads: int = 4, dropout: float = 0.1
    ) -> None:
        if width % n_heads:
            raise ValueError(f"`width` must be a multiple of {n_heads=}, got {width}.")
        super().__init__()
        self.characters = nn.Embedding(_OTHER + 1, width)
        self.positions = nn.Embedding(_CONTEXT, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(_Block(width, n_heads, dropout) for _ in range(n_layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, _OTHER + 1, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                # GPT-2 (section 2.3): two layers of each block add to the residual stream; their
                # weights shrink by the root of the number of such layers, to keep its variance.
                into_stream = name.endswith("out.weight")
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * n_layers if into_stream else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, characters: Tensor) -> Tensor:
        """Return logits (b, length, vocabulary) of what follows each of characters (b, length)."""
        positions = torch.arange(characters.shape[-1], device=characters.device)
        x = self.dropout(self.characters(characters) + self.positions(positions))
        return self.head(self.norm(self.blocks(x)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.attention_in(self.attention_norm(x))  # (b, length, 3 * width)
        q, k, v = qkv.unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (b, head, length, d)
        x = x + self.dropout(self.attention_out(attended.transpose(1, 2).flatten(-2)))
        x = x + self.dropout(self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)))))
        return x


def _load(data_dir: Path | None = None) -> Splits:
    text, source = _read(data_dir)
    return Splits(_windows(text, 0.0, 0.9), _windows(text, 0.9, 0.95), source)


def _load_test(data_dir: Path | None = None) -> Split:
    return _windows(_read(data_dir)[0], 0.95, 1.0)


def _read(data_dir: Path | None) -> tuple[str, str]:
    documents, source = read_text("auto", data_dir)
    return documents[0], source


def _windows(text: str, start: float, stop: float) -> Split:
    """Cut a share of the text into inputs (n, context) and, one character on, targets."""
    code = {character: index for index, character in enumerate(_CHARACTERS)}
    piece = text[int(start * len(text)) : int(stop * len(text))]
    tokens = torch.tensor([code.get(character, _OTHER) for character in piece])
    length = (len(tokens) - 1) // _CONTEXT * _CONTEXT
    return Split(tokens[:length].view(-1, _CONTEXT), tokens[1 : length + 1].view(-1, _CONTEXT))


char_lm = Task(
    name="char_lm",
    kind="language_model",
    build_model=Transformer,
    load=_load,
    load_test=_load_test,
    loss=cross_entropy,
    metric=accuracy,
    batch_size=32,
    bfloat16=True,
)
