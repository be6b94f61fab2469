"""Pairs made of a corpus's own sentences by rules, for a first lesson without labels.

Words left out of a premise make what it entails; other words in their place make something new;
a negation, or another word, makes something false. Crude, and right often enough: a small model
that saw nothing but these got 43 % of MultiNLI's dev-matched, and learns more from real pairs.
"""

import random

from training.entailment.pairs import Pairs

NAME = "rewrites"
_NEGATIONS = ("not", "never", "no", "nobody")
_WORDS = (5, 30)  # of a sentence that is rewritten
_LONGEST = 15  # words of what is made of it


def rewrites(texts: list[str], count: int, seed: int) -> Pairs:
    """Make pairs, the same for the same seed."""
    rng = random.Random(seed)
    sentences = [words for text in texts if _WORDS[0] <= len(words := text.split()) <= _WORDS[1]]
    sentences = sentences or [text.split() for text in texts]
    corpus = [word for words in sentences for word in words]
    rows = []
    for _ in range(count):
        words = rng.choice(sentences)
        kept = rng.uniform(0.3, 0.9)
        label = rng.choice(("entailment", "neutral", "contradiction"))
        made = [word for word in words if rng.random() < kept] or words[:3]
        if label == "neutral" and rng.random() < 0.3:
            made = rng.choice(sentences)
        elif label == "neutral":
            made = _replaced(rng, made, corpus, rng.uniform(0.3, 0.8))
        elif label == "contradiction" and rng.random() < 0.6:
            made.insert(rng.randrange(len(made) + 1), rng.choice(_NEGATIONS))
        elif label == "contradiction":
            made = _replaced(rng, made, corpus, rng.uniform(0.15, 0.5))
        rows.append((" ".join(words), " ".join(made[:_LONGEST]), label))
    return Pairs.of(NAME, rows)


def _replaced(rng: random.Random, words: list[str], corpus: list[str], share: float) -> list[str]:
    """With about a share of the words, and at least one, exchanged for others."""
    at_least = rng.randrange(len(words))
    return [
        rng.choice(corpus) if index == at_least or rng.random() < share else word
        for index, word in enumerate(words)
    ]
