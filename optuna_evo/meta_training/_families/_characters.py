"""Small character language models on English text that scikit-learn carries: no files to fetch.

The text is scikit-learn's descriptions of its data sets (about 40,000 characters), in lower case,
with 32 kinds of characters: letters, space, new line, the usual marks; all others are one. The
first 70 % are trained on, 15 % each are for validation and tests. A model sees 8 characters by
their embeddings, a hidden layer, and predicts the next one (Bengio et al. 2003).
"""

from collections.abc import Mapping
import functools
from importlib import resources
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.meta_training._families._classification import batches
from optuna_evo.meta_training._families._classification import cross_entropies
from optuna_evo.meta_training._families._classification import initial_weights
from optuna_evo.meta_training._families._classification import log_uniform
from optuna_evo.meta_training._families._classification import rows_of
from optuna_evo.meta_training._families._classification import tensors
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._families._family import SplitName
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.rules import Layout


__all__ = ["Characters"]

_KINDS = "abcdefghijklmnopqrstuvwxyz \n.,-"  # and one for all others
_N = len(_KINDS) + 1
_CONTEXT = 8
_BATCHES = 128
_ROWS = 4_096  # windows of a task: a random stretch of the text for each
_SPANS = {"train": slice(0, 2867), "valid": slice(2867, 3481), "test": slice(3481, _ROWS)}


@functools.cache
def _text() -> Tensor:
    """Return the text as numbers of its characters."""
    folder = resources.files("sklearn.datasets") / "descr"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".rst")), key=lambda f: f.name)
    text = "\n".join(f.read_text(encoding="utf-8").lower() for f in files)
    codes = {character: i for i, character in enumerate(_KINDS)}
    return torch.tensor([codes.get(character, _N - 1) for character in text])


class Characters(TaskFamily):
    """Next-character prediction from 8 characters before.

    A task's seed draws which windows of the text it sees, the permutation of characters, the scale
    of the initial weights, the weights, and the order of rows. Windows of training, validation and
    test come from stretches of the text that do not overlap.

    Args:
        width: Neurons of the hidden layer, >= 1.
        embedding: Numbers that stand for a character, >= 1.
        batch_size: Rows of a batch, 1..600.

    Raises:
        UsageError: If a value is outside its range.

    Example:
        >>> Characters(width=16, embedding=4).layout[0]
        (32, 4)
    """

    name = "characters"

    def __init__(self, *, width: int = 32, embedding: int = 8, batch_size: int = 64) -> None:
        if min(width, embedding) < 1 or not 1 <= batch_size <= 600:
            raise UsageError(
                "Characters need width and embedding >= 1 and batch_size in 1..600, got "
                f"{width=}, {embedding=}, {batch_size=}."
            )
        self._width, self._embedding, self._batch_size = width, embedding, batch_size

    @property
    def layout(self) -> Layout:
        """Embeddings, weights and bias of the hidden layer and of the last one."""
        w, e = self._width, self._embedding
        return [(_N, e), (w, _CONTEXT * e), (w,), (_N, w), (_N,)]

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        return {
            "width": self._width,
            "embedding": self._embedding,
            "batch_size": self._batch_size,
        }

    def draw(self, seed: int) -> dict[str, Tensor]:
        """Return one task."""
        random, text = generator(seed), _text()
        n, starts = len(text), []
        for split, (low, high) in _STRETCHES.items():
            n_rows = _SPANS[split].stop - _SPANS[split].start
            first, last = int(low * n), int(high * n) - _CONTEXT - 1
            starts.append(torch.randint(first, last, (n_rows,), generator=random))
        windows = torch.cat(starts).unsqueeze(1) + torch.arange(_CONTEXT + 1)
        codes = torch.randperm(_N, generator=random)[text[windows]]
        init = initial_weights([*self.layout], random) * log_uniform(0.5, 2.0, random)
        init[: _N * self._embedding] = torch.randn(_N * self._embedding, generator=random)
        n_train, n_valid = _SPANS["train"].stop, _SPANS["valid"].stop - _SPANS["valid"].start
        return {
            "x": codes[:, :-1],
            "y": codes[:, -1],
            "init": init,
            "train": batches(n_train, self._batch_size, _BATCHES, random),
            "valid": batches(n_valid, self._batch_size, _BATCHES, random),
        }

    def loss(
        self,
        arrays: Mapping[str, Tensor],
        weights: Tensor,
        batch: Tensor | None,
        split: SplitName,
    ) -> Tensor:
        """Return the mean cross-entropy of each member."""
        x, y = rows_of(arrays, batch, split, _SPANS)
        embeddings, w1, b1, w2, b2 = tensors(weights, [*self.layout])
        n, size = x.shape[:2]
        at = x.reshape(n, -1, 1).expand(-1, -1, self._embedding)
        seen = embeddings.gather(1, at).reshape(n, size, -1)
        hidden = torch.tanh(torch.baddbmm(b1.unsqueeze(1), seen, w1.mT))
        return cross_entropies(torch.baddbmm(b2.unsqueeze(1), hidden, w2.mT), y)


_STRETCHES = {"train": (0.0, 0.7), "valid": (0.7, 0.85), "test": (0.85, 1.0)}
