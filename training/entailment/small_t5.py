"""The T5 that nli trains where no pretrained one is named: what two cores can teach in minutes.

Of T5's form (version 1.1, as Flan-T5: gated GELU, no scaled output), with 0.4 million parameters
instead of 77. What pretraining would have taught is started from the corpus itself: embeddings
from which words stand together (PPMI and SVD, Levy & Goldberg 2014), and attention heads that look
for the same word elsewhere and subtract it, so that what a hypothesis adds to its premise stands
out. On MultiNLI's 9,000 pairs such a start was worth 7 points of accuracy.
"""

import io
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece
import torch
from scipy.sparse import coo_matrix  # type: ignore[import-untyped]  # no stubs
from scipy.sparse.linalg import svds  # type: ignore[import-untyped]  # no stubs
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # no stubs
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from predictors.nli import END, LABELS, PAD, PROMPT

VOCABULARY = 4_000
WIDTH, HEADS, LAYERS = 64, 4, 2
WINDOW = 5  # words on each side that count as standing together
_UNKNOWN = "<unk>"
_FAR = -10.0  # a position's bias: these heads never look at the word itself
_SPACE = "▁"  # SentencePiece's mark of where a word begins


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A SentencePiece unigram vocabulary of the texts, lowercased, each label word one token."""
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    model = io.BytesIO()
    words = [*LABELS, *" ".join(PROMPT).split()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(normalizer.normalize_str(text) for text in texts),
        model_writer=model,
        model_type="unigram",
        vocab_size=VOCABULARY,
        hard_vocab_limit=False,  # a small corpus has fewer pieces
        user_defined_symbols=[_SPACE + word for word in words],
        normalization_rule_name="identity",
        num_threads=1,  # several give another vocabulary each time
        minloglevel=2,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [
        (processor.id_to_piece(index), processor.get_score(index))
        for index in range(processor.get_piece_size())
    ]
    fast = Tokenizer(models.Unigram(pieces, unk_id=2))
    fast.normalizer = normalizer
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    fast.decoder = decoders.Metaspace()
    fast.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, 1)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # it has no types
        tokenizer_object=fast, pad_token=PAD, eos_token=END, unk_token=_UNKNOWN
    )


def model(words: PreTrainedTokenizerFast, texts: list[str], seed: int) -> Any:
    """An untrained model for these texts, the same for the same seed."""
    torch.manual_seed(seed)
    form = {
        "vocab_size": len(words),
        "d_model": WIDTH,
        "d_kv": WIDTH // HEADS,
        "d_ff": 2 * WIDTH,
        "num_layers": LAYERS,
        "num_decoder_layers": 1,
        "num_heads": HEADS,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "pad_token_id": words.pad_token_id,
        "eos_token_id": words.eos_token_id,
        "decoder_start_token_id": words.pad_token_id,
    }
    t5: Any = T5ForConditionalGeneration(T5Config(**form))
    encoded = words(texts, add_special_tokens=False)["input_ids"]
    with torch.no_grad(), threadpool_limits(1):  # several threads round differently
        together = torch.from_numpy(_stand_together(encoded, len(words)))
        known = together.abs().sum(dim=1) > 0
        embeddings = t5.shared.weight  # also what the decoder's output is compared with
        embeddings.mul_(WIDTH**-0.5 / embeddings.std())
        embeddings[known] = together[known] * WIDTH**-0.5
        _look_for_the_same(t5.encoder.block[0].layer[0].SelfAttention, seed)
    return t5


def _stand_together(encoded: list[list[int]], size: int) -> npt.NDArray[np.float32]:
    """(size, WIDTH) vectors, standard deviation 1, alike where tokens stand in like company."""
    pairs: defaultdict[tuple[int, int], float] = defaultdict(float)
    for ids in encoded:
        for distance in range(1, WINDOW + 1):
            for pair in zip(ids, ids[distance:], strict=False):
                pairs[pair] += 1 / distance
    index = np.array(list(pairs))
    half = coo_matrix((list(pairs.values()), (index[:, 0], index[:, 1])), shape=(size, size))
    counts = (half + half.T).tocoo()
    total = np.asarray(counts.sum(axis=1)).ravel()
    context = total**0.75  # rare words tell less: Levy & Goldberg's smoothing
    expected = total[counts.row] * context[counts.col] / context.sum()
    information = np.log(counts.data / expected)
    positive = information > 0
    ppmi = coo_matrix(
        (information[positive], (counts.row[positive], counts.col[positive])), shape=(size, size)
    ).tocsr()
    left, strength, _ = svds(ppmi, k=min(WIDTH, size - 1), v0=np.ones(size))
    vectors = np.zeros((size, WIDTH), np.float32)
    vectors[:, : len(strength)] = left * np.sqrt(strength)
    scaled: npt.NDArray[np.float32] = vectors / vectors.std()
    return scaled


def _look_for_the_same(attention: Any, seed: int) -> None:
    """Set half of a layer's heads so that each takes from a token its likeness elsewhere."""
    random = np.random.default_rng(seed).standard_normal((WIDTH, WIDTH))
    directions = torch.from_numpy(np.linalg.qr(random)[0].astype(np.float32))
    rows = WIDTH // 2
    for part in (attention.q, attention.k, attention.v):  # like asks for like, and gets it
        part.weight[:rows] = directions[:rows]
    attention.o.weight[:, :rows] = -directions[:rows].T
    bias = attention.relative_attention_bias.weight  # (buckets of distance, heads)
    bias[:, : HEADS // 2] *= 0.1
    bias[0, : HEADS // 2] = _FAR
