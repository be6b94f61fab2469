"""Models of transformers that learn as a whole: which are taken, and what a head begins with."""

from pathlib import Path

import pytest

from predictors.nli import LABELS
from training.errors import DataError

pytestmark = pytest.mark.timeout(120)  # importing torch on a busy machine


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_another_form_is_refused_with_those_that_learn(tmp_path: Path, kind: str) -> None:
    """By its name and its form, before any weights are read."""
    pytest.importorskip("torch")
    from training.entailment import whole

    (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    with pytest.raises(DataError, match=f"{tmp_path} is a {kind}: expected a t5, a deberta-v2"):
        whole.pretrained(str(tmp_path))


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        (("CONTRADICTION", "ENTAILMENT", "NEUTRAL"), [1, 2, 0]),
        (("LABEL_0", "LABEL_1", "LABEL_2"), None),
        (("entailment", "not_entailment"), None),
    ],
)
def test_a_head_goes_on_by_the_names_of_its_labels_or_begins_anew(
    tmp_path: Path, labels: tuple[str, ...], rows: list[int] | None
) -> None:
    """Ours, whatever their order; other names tell nothing of what its rows mean."""
    torch = pytest.importorskip("torch")
    from tests.support import tiny_deberta
    from training.entailment import deberta, whole

    tiny_deberta.write(tmp_path, ["A man sleeps.", "He is awake."] * 20, labels)
    model, _ = whole.pretrained(str(tmp_path))
    before = model.classifier.weight.detach().clone()
    deberta.own_head(model)

    expected = torch.zeros(3, before.shape[1]) if rows is None else before[rows]
    assert torch.equal(model.classifier.weight, expected)
    assert tuple(model.config.id2label.values()) == LABELS
    assert model.config.num_labels == len(LABELS)
