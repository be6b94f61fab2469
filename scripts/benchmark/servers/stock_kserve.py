"""A scikit-learn model on kserve's own model server: kserve's sklearnserver, line for line.

https://github.com/kserve/kserve/blob/v0.21.0/python/sklearnserver/sklearnserver/model.py with
PREDICT_PROBA=true. Only probabilities are answered, so it does no more than Serin does.
"""

from pathlib import Path
from typing import Any

import joblib
from kserve import model_server
from kserve.model import Model
from kserve.model_server import ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class SklearnModel(Model):
    """The artifact's model.joblib, asked for probabilities."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def load(self) -> bool:
        self._model = joblib.load(self._folder / "model.joblib")
        self.ready = True
        return self.ready

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """As sklearnserver: kserve's own conversions around one call of the model."""
        probabilities = self._model.predict_proba(get_predict_input(payload))
        return get_predict_response(payload, probabilities, self.name)


if __name__ == "__main__":
    model_server.parser.add_argument("--model_dir", type=Path, required=True)
    arguments = model_server.parser.parse_args()
    model = SklearnModel(arguments.model_name, arguments.model_dir)
    model.load()
    ModelServer().start([model])
