"""Train mnist-forest: a handwritten digit, by the votes of a random forest over its pixels.

    python -m training.mnist_forest                            # scikit-learn's digits, seconds
    python -m training.mnist_forest --data ../shared/data/mnist   # real MNIST, a minute
    python -m training.mnist_forest --output /tmp/forest       # or only look at the artifact

Trees are grown to the end: on MNIST pruning them (depth 16, or 3 digits a leaf) cost 0.2 to 0.4
points of accuracy and made a row no faster to answer. Moved copies of the digits help where digits
are few (bundled: 97.9 → 99.3 %, mean of three seeds); on MNIST they double time and size for half a
point.
"""

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

import predictors.mnist_forest
from predictors.mnist_forest import MnistForestModel
from training import script
from training.digits import models
from training.digits.data import BUNDLED, MNIST, with_shifts
from training.export import scikit
from training.progress import Reporter
from training.publish.artifact import Destination

MIN_ACCURACY = {MNIST: 0.965, BUNDLED: 0.97}
SMOKE_TREES = 10
CHUNK = 5  # trees fitted between two looks at the progress bar


def main() -> None:
    """Data, fit, evaluate, export, publish; raises where a gate stays closed."""
    # --- Flags ----------------------------------------------------------------------------------
    parser = models.flags("training.mnist_forest", __doc__, MIN_ACCURACY)
    parser.add_argument(
        "--trees",
        type=int,
        choices=range(1, 1001),
        default=100,
        metavar="N",
        help="1 … 1000; size and time of an answer grow with it (default: %(default)s)",
    )
    parser.add_argument(
        "--shifts",
        type=int,
        choices=range(-1, 4),
        default=-1,
        metavar="PIXELS",
        help="also learn each digit moved up, down, left and right by 1 … PIXELS, at most 3 "
        "(default: 1 for bundled digits, 0 for --data)",
    )
    args = parser.parse_args()
    destination = Destination("mnist-forest", args.output)
    report = Reporter("mnist-forest")

    # --- Data -----------------------------------------------------------------------------------
    digits = models.data(args)
    shifts = int(args.data is None) if args.shifts == -1 else args.shifts
    trees = args.trees
    if args.smoke:
        shifts, trees = 0, min(trees, SMOKE_TREES)
    pixels, labels = with_shifts(digits.train_pixels, digits.train_labels, shifts)
    report.say(f"{digits.name}: {len(labels)} digits to learn, {len(digits.test_labels)} to test")

    # --- Fit: tree by tree, the same forest as in one go ----------------------------------------
    forest = RandomForestClassifier(n_jobs=-1, random_state=args.seed, warm_start=True)
    with report.bar("growing trees", trees) as bar:
        for grown in range(min(CHUNK, trees), trees + CHUNK, CHUNK):
            forest.set_params(n_estimators=min(grown, trees)).fit(pixels, labels)
            bar.reach(forest.n_estimators)
    forest.set_params(n_jobs=1)  # several threads add up votes in any order; answers must repeat

    # --- Evaluate -------------------------------------------------------------------------------
    probabilities = forest.predict_proba(digits.test_pixels)  # (rows, 10)
    answers = {
        "digit": forest.classes_[probabilities.argmax(axis=1)],
        "probabilities": probabilities.astype(np.float32),
    }
    metrics = {
        **models.evaluate(digits, answers["digit"], args, MIN_ACCURACY, report),
        "trees": trees,
        "nodes": sum(tree.tree_.node_count for tree in forest.estimators_),
    }

    with destination.folder() as folder:
        # --- Export: ONNX to serve, joblib for people -------------------------------------------
        report.say("exporting to ONNX …")
        graph = scikit.to_onnx(forest, "mnist-forest", features=("pixels", 784))
        scikit.drop_zero_votes(graph)
        scikit.save(graph, folder / "model.onnx")
        joblib.dump(forest, folder / "model.joblib", compress=3)
        report.say(f"model.onnx {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB")

        # --- Manifest, parity: what will be served answers as what was trained ------------------
        models.complete(
            *(folder, "mnist-forest", MnistForestModel, digits, answers, report),
            metrics=metrics,
            settings={"seed": args.seed, "shifts_pixels": shifts},
            sources=(__file__, scikit.__file__, predictors.mnist_forest.__file__),
        )

        # --- Publish ----------------------------------------------------------------------------
        print(destination.deliver(folder))


if __name__ == "__main__":
    script.run(main)
