"""BERT, DistilBERT and RoBERTa: pretrained where available, else fresh in four sizes.

    size     width   BERT, RoBERTa layers   DistilBERT layers   heads
    tiny       128            2                    2               2
    mini       256            4                    2               4
    base       768           12                    6              12
    large     1024           24                   12              16

Devlin et al. 2019, Turc et al. 2019 (tiny, mini), Sanh et al. 2019, Liu et al. 2019. DistilBERT
was published in base only; the other sizes halve BERT's layers, except tiny, which keeps both.

Shape legend: b rows, t tokens of a row.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import functools
import os
from pathlib import Path
from typing import Any
from typing import Final
from typing import Literal

import torch
from torch import nn
from torch import Tensor

from optuna_evo.errors import DataError
from optuna_evo.errors import UsageError
from optuna_evo.tasks._encoder_tokens import encoder_tokenizer
from optuna_evo.tasks._encoder_tokens import Vocabulary
from optuna_evo.tasks._encoder_tokens import vocabulary
from optuna_evo.tasks._files import one_line
from optuna_evo.tasks._quiet import quiet_transformers
from optuna_evo.tasks._task import Split


__all__ = ["Encoder", "EncoderModel"]

_TITLES: Final = {"bert": "BERT", "distilbert": "DistilBERT", "roberta": "RoBERTa"}
# width, layers of BERT and RoBERTa, of DistilBERT, heads
_SIZES: Final = {
    "tiny": (128, 2, 2, 2),
    "mini": (256, 4, 2, 4),
    "base": (768, 12, 6, 12),
    "large": (1024, 24, 12, 16),
}
_PUBLISHED: Final[Mapping[tuple[str, str], str]] = {
    ("bert", "tiny"): "google/bert_uncased_L-2_H-128_A-2",
    ("bert", "mini"): "google/bert_uncased_L-4_H-256_A-4",
    ("bert", "base"): "google-bert/bert-base-uncased",
    ("bert", "large"): "google-bert/bert-large-uncased",
    ("distilbert", "base"): "distilbert/distilbert-base-uncased",
    ("roberta", "base"): "FacebookAI/roberta-base",
    ("roberta", "large"): "FacebookAI/roberta-large",
}
_LENGTHS: Final = (8, 512)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """An encoder and its tokenizer: the options that all tasks with encoders share.

    Args:
        architecture: "bert", "distilbert" or "roberta".
        size: "tiny", "mini", "base" or "large".
        weights: "auto" (the published ones of this architecture and size where transformers has
            them in its cache on this machine, else fresh ones; never a download), "fresh", or a
            folder or hub name of pretrained ones; `size` is ignored then.
        tokenizer: "auto", "bytes", or a folder or hub name (see `_encoder_tokens`); with
            pretrained weights "auto" is theirs.
        sequence_length: Tokens per row, 8 to 512: longer rows are cut, shorter ones padded.

    Raises:
        UsageError: If an option is out of range or names a folder that does not exist (a
            ValueError).
    """

    architecture: str
    size: str
    weights: str
    tokenizer: str
    sequence_length: int

    def __post_init__(self) -> None:
        _check_one_of("architecture", self.architecture, list(_TITLES))
        _check_one_of("size", self.size, list(_SIZES))
        _check_folder("weights", self.weights, '"fresh"')
        _check_folder("tokenizer", self.tokenizer, '"bytes"')
        low, high = _LENGTHS
        if not isinstance(self.sequence_length, int) or not low <= self.sequence_length <= high:
            raise UsageError(
                f"`task.sequence_length` must be a whole number from {low} to {high}, "
                f"got {self.sequence_length!r}."
            )

    # Cached: "auto" depends on what this machine has downloaded, and must not change in a run.
    @functools.cached_property
    def pretrained(self) -> str | None:
        """Folder or hub name of the weights to start from; None: fresh ones."""
        if self.weights == "fresh":
            return None
        if self.weights != "auto":
            return str(Path(self.weights).expanduser()) if "~" in self.weights else self.weights
        published = _PUBLISHED.get((self.architecture, self.size))
        return published if published and _is_in_cache(published) else None

    @property
    def bfloat16(self) -> Literal["cuda"] | bool:
        """Where bfloat16 may be faster: on GPUs, of models that are not bound by their launches.

        On one core with AVX512-BF16 a step of the fresh encoders took 0.9 to 1.8 times as long in
        bfloat16, of the base size the longest.
        """
        is_large = self.pretrained is not None or self.size in ("base", "large")
        return "cuda" if is_large else False

    @property
    def notes(self) -> dict[str, str]:
        """Which weights the model starts from."""
        title = _TITLES[self.architecture]
        if self.pretrained is None:
            return {"weights": f"fresh {self.size} {title}"}
        return {"weights": f"pretrained {title} {self.pretrained}"}

    def encode(
        self, texts: Sequence[str], seconds: Sequence[str] | None, data_dir: Path | None
    ) -> Tensor:
        """Return the tokens (n, sequence_length) of texts or pairs, cut to fit, then padded.

        Raises:
            DataError: If there is no such tokenizer, or it does not fit the weights.
        """
        tokenizer = self.tokenizer_in(data_dir)
        pairs = (list(texts),) if seconds is None else (list(texts), list(seconds))
        encoded = tokenizer(
            *pairs, truncation=True, max_length=self.sequence_length, padding="max_length"
        )
        return self.checked(torch.tensor(encoded["input_ids"]))

    def checked(self, tokens: Tensor) -> Tensor:
        """Return the tokens; a tokenizer with more tokens than the model has is an error."""
        n_tokens = self.vocabulary.n_tokens
        if int(tokens.max()) >= n_tokens:
            raise DataError(
                f"The tokenizer gives token {int(tokens.max())}, but the model has {n_tokens} "
                "tokens: name the tokenizer's folder by task.tokenizer, not by the data folder."
            )
        return tokens

    def shortest_first(self, split: Split) -> Split:
        """Return the rows sorted by length, so that batches of an evaluation have little padding.

        Rows of equal length stay in their order.
        """
        lengths = (split.inputs != self.vocabulary.pad).sum(dim=1)
        return split.take(lengths.argsort(stable=True))

    def tokenizer_in(self, data_dir: Path | None) -> Any:
        """Return the tokenizer; with "auto" it may be that of the data folder."""
        return encoder_tokenizer(self.architecture, self._tokenizer, data_dir)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """What the model needs to know about the tokens."""
        return vocabulary(self.architecture, self._tokenizer)

    @property
    def _tokenizer(self) -> str:
        return self.pretrained if self.pretrained and self.tokenizer == "auto" else self.tokenizer

    def build(self, head: str, n_labels: int, dropout: float) -> "EncoderModel":
        """Build the model.

        Args:
            head: "SequenceClassification" or "QuestionAnswering".
            n_labels: Outputs of the head.
            dropout: Of hidden values, attention and the head's input, in [0, 1].

        Raises:
            DataError: If there are no such weights.
        """
        import transformers

        auto = getattr(transformers, f"AutoModelFor{head}")
        dropouts = _dropouts(self.architecture, dropout)
        with quiet_transformers():
            if self.pretrained is None:
                model = auto.from_config(self._config(n_labels, dropouts))
            else:
                model = _load(auto, self.pretrained, num_labels=n_labels, **dropouts)
        return EncoderModel(model, self.vocabulary, has_types=self.architecture == "bert")

    def _config(self, n_labels: int, dropouts: Mapping[str, float]) -> Any:
        import transformers

        width, n_layers, n_distilled, n_heads = _SIZES[self.size]
        vocabulary = self.vocabulary
        shared = {
            "vocab_size": vocabulary.n_tokens,
            "pad_token_id": vocabulary.pad,
            "num_labels": n_labels,
            **dropouts,
        }
        if self.architecture == "distilbert":
            return transformers.DistilBertConfig(
                dim=width, n_layers=n_distilled, n_heads=n_heads, hidden_dim=4 * width, **shared
            )
        # RoBERTa numbers positions from pad + 1 on, so its table has that many rows more
        is_bert = self.architecture == "bert"
        make = transformers.BertConfig if is_bert else transformers.RobertaConfig
        return make(
            hidden_size=width,
            num_hidden_layers=n_layers,
            num_attention_heads=n_heads,
            intermediate_size=4 * width,
            max_position_embeddings=512 if is_bert else 513 + vocabulary.pad,
            type_vocab_size=2 if is_bert else 1,
            **shared,
        )


class EncoderModel(nn.Module):
    """An encoder of transformers as a function from tokens (b, t) to a plain tensor.

    Columns that are padding in all rows of a batch are not computed.

    Args:
        model: The model, at `encoder` afterwards.
        vocabulary: Its tokens.
        has_types: Whether it marks the second of two texts by a token type of its own (BERT).
    """

    def __init__(self, model: nn.Module, vocabulary: Vocabulary, *, has_types: bool) -> None:
        super().__init__()
        self.encoder = model
        self.vocabulary = vocabulary
        self.has_types = has_types

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (b, classes), or (b, t, 2) of the start and the end of an answer."""
        t = tokens.shape[1]
        there = tokens != self.vocabulary.pad
        # attention is quadratic in the length: columns that are padding in all rows are cut
        longest = int(there.sum(dim=1).max())
        tokens, there = tokens[:, :longest], there[:, :longest]
        types = {"token_type_ids": self._types(tokens) * there} if self.has_types else {}
        outputs = self.encoder(input_ids=tokens, attention_mask=there.long(), **types)
        if "logits" in outputs:
            logits: Tensor = outputs.logits
            return logits
        spans = torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
        return nn.functional.pad(spans, (0, 0, 0, t - longest), value=_NEVER)

    def _types(self, tokens: Tensor) -> Tensor:
        # 1 after the first separator, clamped because the second text has a separator too
        is_sep = (tokens == self.vocabulary.first_sep).long()
        return (is_sep.cumsum(dim=1) - is_sep).clamp(max=1)


_NEVER: Final = -1e4  # the logit of a place that cannot be an answer; finite in half precision


def _dropouts(architecture: str, dropout: float) -> dict[str, float]:
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1), got {dropout}.")
    names = ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"]
    if architecture == "distilbert":
        names = ["dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"]
    return dict.fromkeys(names, dropout)


def _load(auto: Any, place: str, **options: Any) -> nn.Module:
    try:
        model: nn.Module = auto.from_pretrained(place, dtype=torch.float32, **options)
    except Exception as error:  # OSError, ValueError, and what the download libraries raise
        raise DataError(
            f"No weights in {place!r} ({one_line(error)}): name a folder written by "
            '`save_pretrained` or a hub name, or set task.weights = "fresh".'
        ) from error
    return model


def _is_in_cache(hub_name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    # both forms of weights count, since older uploads have only the second
    files = ("config.json", "model.safetensors", "pytorch_model.bin")
    config, *weights = (isinstance(try_to_load_from_cache(hub_name, f), str) for f in files)
    return config and any(weights)


def _check_folder(name: str, place: str, instead: str) -> None:
    """Refuse a path that is no folder; other names may be the hub's, which is asked at use."""
    if place.startswith((".", "~", os.sep)) and not Path(place).expanduser().is_dir():
        raise UsageError(
            f"`task.{name}` names the folder {place!r}, which does not exist; what needs no files "
            f"is {instead}."
        )


def _check_one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"`task.{name}` must be one of {', '.join(allowed)}; got {value!r}.")
