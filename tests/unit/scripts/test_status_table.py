from scripts.show import table


def test_a_model_without_a_version_has_a_row() -> None:
    """It has no host yet: its address is a dash, and its reason is there."""
    model = {
        "version": "",
        "target_version": "",
        "replicas_ready": 0,
        "replicas_wanted": 0,
        "hosts": [],
        "state": "Unpublished",
        "reason": "s3://models/iris has none",
    }
    (row,) = table.rows({"gateway_port": 8080, "models": {"iris": model}})

    assert row == ("iris", "–", "0/0", "–", "Unpublished", "s3://models/iris has none")
