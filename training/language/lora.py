"""Fine-tuning by LoRA: a small addition to each matrix is learnt, then added to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from training.errors import DataError
from training.language.matrices import Floats
from training.language.model import LanguageModel
from training.progress import Reporter
from training.publish.checkpoints import Checkpoints

RANK, ALPHA = 8, 16
WINDOW, BATCH = 128, 2  # tokens, and windows a step
PEAK_RATE, WARM_UP = 5e-4, 10  # steps
THREADS = 2  # another number rounds otherwise
CHECKPOINT_STEPS = 20


def tuned(
    model: LanguageModel,
    documents: Sequence[Sequence[int]],
    steps: int,
    seed: int,
    checkpoints: Checkpoints | None,
    report: Reporter,
) -> dict[str, Floats]:
    """Learn text; the weights with what was learnt.

    Args:
        model: of Llama's form; stays as it is.
        documents: their tokens.
        steps: of BATCH windows, each drawn by the seed and the step's number alone, so that a run
            that was killed goes on with the same ones.
        seed: of all that is drawn.
        checkpoints: where to keep the state of a run; None keeps none.
        report: hears of the loss.

    Raises:
        DataError: another form, or too little text.
    """
    if model.config.get("model_type") != "llama":
        raise DataError("fine-tuning takes models of Llama's form only")
    end = sorted(model.ending)[:1]
    tokens = np.array([token for ids in documents for token in (*ids, *end)], np.int64)
    if len(tokens) <= WINDOW:
        raise DataError(f"{len(tokens)} tokens of text: more than {WINDOW} are needed to learn")
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    network = get_peft_model(
        _network(model),
        LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    learnt = {name: part for name, part in network.named_parameters() if part.requires_grad}
    optimizer = torch.optim.AdamW(learnt.values(), lr=PEAK_RATE, weight_decay=0.0)
    done = _resumed(checkpoints, learnt, optimizer, report)
    with report.bar("fine-tuning", steps) as bar:
        for step in range(done + 1, steps + 1):
            drawn = np.random.default_rng([seed, step]).integers(0, len(tokens) - WINDOW, BATCH)
            batch = torch.from_numpy(np.stack([tokens[at : at + WINDOW] for at in drawn]))
            for group in optimizer.param_groups:
                group["lr"] = _rate(step, steps)
            loss = network(input_ids=batch, labels=batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learnt.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            bar.reach(step, samples=BATCH, loss=loss.item())
            if checkpoints and step % CHECKPOINT_STEPS == 0 and step < steps:
                state = {name: part.detach() for name, part in learnt.items()}
                kept = {"step": step, "learnt": state, "optimizer": optimizer.state_dict()}
                checkpoints.save(step, kept)
    merged = network.merge_and_unload().state_dict()
    changed = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in learnt}
    return {
        name: merged[name].numpy() if name.removesuffix(".weight") in changed else matrix
        for name, matrix in model.weights.items()
    }


def _network(model: LanguageModel) -> Any:
    config = dict(model.config)
    config.setdefault(
        "rope_parameters",
        {"rope_type": "default", "rope_theta": config.get("rope_theta", 10_000.0)},
    )
    with torch.device("meta"):
        network: Any = LlamaForCausalLM(LlamaConfig(**config))
    network.to_empty(device="cpu")
    network.model.rotary_emb = type(network.model.rotary_emb)(network.config)
    weights = {name: torch.from_numpy(m.copy()) for name, m in model.weights.items()}
    network.load_state_dict(weights, strict=False)
    network.tie_weights()
    return network


def _resumed(
    checkpoints: Checkpoints | None,
    learnt: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    report: Reporter,
) -> int:
    """Take over the last state of this run; how many steps it has."""
    state = checkpoints.load() if checkpoints else None
    if state is None:
        return 0
    with torch.no_grad():
        for name, part in learnt.items():
            part.copy_(state["learnt"][name])
    optimizer.load_state_dict(state["optimizer"])
    report.say(f"going on after step {state['step']}")
    step: int = state["step"]
    return step


def _rate(step: int, steps: int) -> float:
    """Up for a few steps, then down to nothing."""
    return PEAK_RATE * min(step / WARM_UP, 1 - (step - 1) / steps)
