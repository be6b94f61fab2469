"""Train mnist-cnn: a handwritten digit, by a small convolutional network (PyTorch).

    python -m training.mnist_cnn                               # scikit-learn's digits, a minute
    python -m training.mnist_cnn --data ../shared/data/mnist   # real MNIST, a few minutes
    python -m training.mnist_cnn --output /tmp/cnn             # or only look at the artifact

Two convolutions and two dense layers. Each digit is turned, sheared, scaled and moved a little,
anew in each epoch: nobody writes twice alike.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import predictors.mnist_cnn
from predictors.mnist_cnn import MnistCnnModel
from training import script
from training.digits import models
from training.digits.data import BUNDLED, MNIST, SIDE
from training.export import pytorch
from training.progress import Reporter
from training.publish.artifact import Destination

MIN_ACCURACY = {MNIST: 0.99, BUNDLED: 0.97}
EPOCHS = {MNIST: 5, BUNDLED: 30}
BATCH = 128  # digits
PEAK_LEARNING_RATE = 4e-3
THREADS = 2  # fixed, since the order of additions decides the last bits of a version


class Network(nn.Module):
    """(batch, 1, 28, 28) float32, 0 paper … 1 ink, to (batch, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            nn.MaxPool2d(2),
            *(nn.Conv2d(16, 32, 5, padding=2, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *(nn.Dropout(0.3), nn.Linear(32 * 7 * 7, 96), nn.ReLU()),
            *(nn.Dropout(0.3), nn.Linear(96, 10)),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(pixels)
        return logits


def main() -> None:
    """Data, fit, evaluate, export, publish; raises where a gate stays closed."""
    # --- Flags ----------------------------------------------------------------------------------
    parser = models.flags("training.mnist_cnn", __doc__, MIN_ACCURACY)
    parser.add_argument(
        "--epochs",
        type=int,
        choices=[-1, *range(1, 1001)],
        default=-1,
        metavar="N",
        help="times that each digit is looked at (default: 5 for --data, 30 for bundled)",
    )
    args = parser.parse_args()
    destination = Destination("mnist-cnn", args.output)
    report = Reporter("mnist-cnn")
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(THREADS)

    # --- Data -----------------------------------------------------------------------------------
    digits = models.data(args)
    epochs = args.epochs
    if args.smoke:
        epochs = 1
    elif epochs == -1:
        epochs = EPOCHS[digits.name]
    pixels = torch.from_numpy(digits.train_pixels).reshape(-1, 1, SIDE, SIDE)
    labels = torch.from_numpy(digits.train_labels)
    test_pixels = digits.test_pixels.reshape(-1, 1, SIDE, SIDE)
    report.say(f"{digits.name}: {len(labels)} digits to learn, {len(test_pixels)} to test")

    # --- Fit ------------------------------------------------------------------------------------
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=PEAK_LEARNING_RATE, total_steps=max(steps, 1)
    )
    network.train()
    with report.bar("learning", steps) as bar:
        for epoch in range(epochs):
            losses = []
            for rows in torch.split(torch.randperm(len(labels)), BATCH):
                optimizer.zero_grad()
                loss = functional.cross_entropy(network(distorted(pixels[rows])), labels[rows])
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
                bar.reach(schedule.last_epoch, samples=len(rows), loss=losses[-1])
            report.say(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}")
    served = nn.Sequential(network, nn.Softmax(dim=1)).eval()

    # --- Evaluate -------------------------------------------------------------------------------
    with torch.inference_mode():
        chunks = torch.split(torch.from_numpy(test_pixels), 1000)
        probabilities = torch.cat([served(chunk) for chunk in chunks]).numpy()  # (rows, 10)
    answers = {"digit": probabilities.argmax(axis=1), "probabilities": probabilities}
    metrics = {
        **models.evaluate(digits, answers["digit"], args, MIN_ACCURACY, report),
        "epochs": epochs,
        "parameters": sum(weights.numel() for weights in network.parameters()),
    }

    with destination.folder() as folder:
        # --- Export: ONNX to serve, a torch.export program for people ----------------------------
        report.say("exporting to ONNX …")
        sample = torch.from_numpy(test_pixels[:2])
        pytorch.save(served, sample, "pixels", "probabilities", folder)
        report.say(f"model.onnx {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB")

        # --- Manifest, parity: what will be served answers as what was trained ------------------
        models.complete(
            *(folder, "mnist-cnn", MnistCnnModel, digits, answers, report),
            metrics=metrics,
            settings={"seed": args.seed},
            sources=(__file__, pytorch.__file__, predictors.mnist_cnn.__file__),
            libraries=pytorch.LIBRARIES,
        )

        # --- Publish ----------------------------------------------------------------------------
        print(destination.deliver(folder))


def distorted(pixels: torch.Tensor) -> torch.Tensor:
    """Each digit as another hand might write it: turned up to 13°, sheared, scaled, moved 2 pixels.

    Args:
        pixels: (batch, 1, 28, 28), 0 paper … 1 ink.

    Returns:
        As many; what is moved in from beyond an edge is paper.
    """

    def about(centre: float, spread: float) -> torch.Tensor:
        return torch.empty(len(pixels)).uniform_(centre - spread, centre + spread)

    angle, scale, shear = about(0, 0.22), about(1, 0.12), about(0, 0.15)
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    across, down = about(0, 0.12), about(0, 0.12)  # of half the side
    rows = [torch.stack(row, 1) for row in ((cosine, shear - sine, across), (sine, cosine, down))]
    grid = functional.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)


if __name__ == "__main__":
    script.run(main)
