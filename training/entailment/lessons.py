"""Learning by steps that can be counted: a run that was killed goes on where its checkpoint says.

Which pairs a step learns from follows from the seed and the step's number, and dropout from torch's
random states, which the checkpoint holds; so on one kind of processor, with the same number of
threads, a resumed run ends with the very bytes of one that was not interrupted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from predictors.nli import Row
from training.progress import Reporter
from training.publish.checkpoints import Checkpoints

WARM_UP_STEPS = 100
_POOL = 20  # batches: sorted by length among so many, so that little is padding
_LARGEST_GRADIENT = 1.0

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lesson:
    """Rows to learn, how often and how fast.

    Attributes:
        rows: tokenised pairs.
        labels: of each.
        epochs: how often each is learnt.
        rate: the learning rate at its highest.
        once: how many rows, the last ones, are learnt in the first epoch only.
    """

    rows: Sequence[Row]
    labels: Rows
    epochs: int
    rate: float
    once: int = 0

    def batches(self, size: int, seed: int, epoch: int) -> list[Rows]:
        """An epoch's rows, in batches of like length, in the order of this seed and epoch."""
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(self.rows) - (self.once if epoch else 0))
        batches = []
        for pool in np.array_split(order, math.ceil(len(order) / (_POOL * size))):
            by_length = sorted(pool, key=lambda row: len(self.rows[row]))
            batches += [np.array(by_length[at : at + size]) for at in range(0, len(pool), size)]
        return [batches[at] for at in rng.permutation(len(batches))]


def learn(
    model: torch.nn.Module,
    lesson: Lesson,
    *,
    batch_size: int,
    accumulation_steps: int,
    seed: int,
    loss: Callable[[Rows], torch.Tensor],
    held_out_loss: Callable[[], float],
    checkpoints: Checkpoints | None,
    checkpoint_steps: int,
    report: Reporter,
) -> None:
    """Teach a model in place; it ends with the weights of the best epoch.

    Args:
        model: as new; a checkpoint's state replaces it.
        lesson: what there is to learn.
        batch_size: rows computed at once.
        accumulation_steps: batches that one step of the optimizer learns from.
        seed: of the rows' order.
        loss: mean over some rows.
        held_out_loss: asked after each epoch.
        checkpoints: where states go; None keeps none.
        checkpoint_steps: how many steps a kill may cost.
        report: says how it goes.

    Raises:
        StoreError: a checkpoint could not be read or kept.
    """
    optimizer = torch.optim.AdamW(model.parameters())
    best: dict[str, Any] = {"loss": math.inf, "weights": model.state_dict()}
    step, resumed = 0, 0
    if checkpoints and (state := checkpoints.load()):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"][0])
        torch.cuda.set_rng_state_all(state["random"][1:])
        best, resumed = state["best"], state["step"]
        report.say(f"run {checkpoints.run} goes on after step {resumed}")
    size = batch_size * accumulation_steps
    epochs = [lesson.batches(size, seed, epoch) for epoch in range(lesson.epochs)]
    steps = sum(map(len, epochs))
    with report.bar("learning", steps) as bar:
        for epoch, batches in enumerate(epochs, 1):
            for batch in batches:
                step += 1
                if step <= resumed:
                    bar.resume(step)
                    continue
                warmth = min(step / WARM_UP_STEPS, (steps - step + 1) / steps)
                optimizer.param_groups[0]["lr"] = lesson.rate * warmth
                optimizer.zero_grad()
                model.train()
                total = 0.0
                for start in range(0, len(batch), batch_size):
                    rows = batch[start : start + batch_size]
                    share = loss(rows) * len(rows) / len(batch)
                    torch.autograd.backward(share)
                    total += share.item()
                torch.nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
                optimizer.step()
                bar.reach(step, samples=len(batch), loss=total)
                if checkpoints and step % checkpoint_steps == 0:
                    random = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
                    state = {"step": step, "best": best, "random": random}
                    state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                    checkpoints.save(step, state)
            # A checkpoint of an epoch's last step was kept before the epoch was judged.
            if step >= resumed:
                model.eval()
                left = held_out_loss()
                report.say(f"epoch {epoch} of {len(epochs)}: loss {left:.4f} on held-out rows")
                if left < best["loss"]:
                    weights = {name: part.clone() for name, part in model.state_dict().items()}
                    best = {"loss": left, "weights": weights}
    model.load_state_dict(best["weights"])
    model.eval()
