"""A native model on kserve's own model server: kserve's sklearnserver, line for line.

https://github.com/kserve/kserve/blob/v0.21.0/python/sklearnserver/sklearnserver/model.py with
PREDICT_PROBA=true. Only probabilities are answered, so it does no more than Serin does. kserve has
no server of its own for PyTorch: that model is called as its example of a custom predictor does.
https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/custom-predictor
"""

from pathlib import Path
from typing import Any

import numpy as np
from kserve import model_server
from kserve.model import Model
from kserve.model_server import ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class NativeModel(Model):
    """The artifact's model.joblib or model.pt2, asked for probabilities."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def load(self) -> bool:
        if (self._folder / "model.joblib").exists():
            import joblib

            self._probabilities = joblib.load(self._folder / "model.joblib").predict_proba
        else:
            self._probabilities = _torch(self._folder / "model.pt2")
        self.ready = True
        return self.ready

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """As sklearnserver: kserve's own conversions around one call of the model."""
        probabilities = self._probabilities(get_predict_input(payload))
        return get_predict_response(payload, probabilities, self.name)


def _torch(path: Path) -> Any:
    import torch

    network = torch.export.load(path).module()

    def probabilities(pixels: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(np.asarray(pixels, np.float32))).numpy()

    return probabilities


if __name__ == "__main__":
    model_server.parser.add_argument("--model_dir", type=Path, required=True)
    arguments = model_server.parser.parse_args()
    model = NativeModel(arguments.model_name, arguments.model_dir)
    model.load()
    ModelServer().start([model])
