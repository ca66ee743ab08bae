"""Small tokenizers that the tests train: files as Hugging Face writes them, and the steps that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from roadworthy.preprocess import tokenizer_file
from roadworthy.preprocess.texts import TextSteps
from roadworthy.preprocess.tokenizer_file import TextTable

TEXTS = (
    "a good film about dogs", "a bad film", "good", "bad bad bad film of cats", "Good, very GOOD film!", "",
    "straße naïve ÄÖÜ 你好 emoji 🙂",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen", "don't  stop\tnow\n", "[CLS] is no token [MASK]",
)  # fmt: skip
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_piece(folder: Path, *, length: int | None = 12, **config: Any) -> Path:
    """A tokenizer as BERT has it, in ``folder/tokenizer.json``; ``config`` goes to the file beside it, where there is some."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=list(SPECIAL), show_progress=False))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    if length is not None:
        made.enable_truncation(length)
    return _saved(made, folder, config)


def byte_level(folder: Path, **config: Any) -> Path:
    """A tokenizer as GPT-2 has it: no padding of its own, no limit."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    return _saved(made, folder, config)


def steps(path: Path, **table: Any) -> TextSteps:
    """The steps of the file at ``path``, with values of ``[text]``."""
    return tokenizer_file.read(TextTable(path.name, **table), path.parent).steps


def _saved(made: Any, folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder / "tokenizer.json"
