"""The model card that lies in an artifact: what this is, whose it is, and what was measured."""

from typing import Any

from training.language.model import LanguageModel


def model_card(model: LanguageModel, metrics: dict[str, Any], tuned_on: str) -> str:
    """Markdown, for people."""
    origin = "\n".join(f"- {name}: {value}" for name, value in model.origin.items())
    measured = "\n".join(f"- {name}: {value}" for name, value in metrics.items())
    licence = model.licence.strip().splitlines()
    tuned = f"Fine-tuned here by LoRA on {tuned_on}." if tuned_on else "Published as it is."
    return (
        f"# {model.origin.get('model', 'A language model')}\n\n{tuned}\n\n"
        f"## Where it is from\n\n{origin}\n\n"
        f"## Licence\n\n{licence[0].strip() if licence else 'not told by its source'}"
        f"{', in full in LICENSE' if len(licence) > 1 else ''}\n\n"
        f"## Measured before it was published\n\n{measured}\n\n"
        "It continues text and, where it has a chat template, answers messages. A model of this "
        "size writes fluently and knows little: what it says is not to be relied on.\n"
    )
