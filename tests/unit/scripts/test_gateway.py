import pytest

from scripts.client.errors import UsageError
from scripts.client.gateway import Gateway


@pytest.mark.parametrize(
    ("url", "dialled", "authority"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "iris-models.localhost"),
        ("localhost:9", "127.0.0.1:9", "iris-models.localhost"),
        ("a-models.localhost:9", "127.0.0.1:9", "a-models.localhost"),
        ("http://[::1]:8080/", "[::1]:8080", "iris-models.localhost"),
        ("http://10.0.0.7", "10.0.0.7:80", "iris-models.localhost"),
        (
            "https://iris-models.example.com",
            "iris-models.example.com:443",
            "iris-models.example.com",
        ),
    ],
)
def test_a_number_is_asked_for_the_models_host_and_a_name_for_itself(
    url: str, dialled: str, authority: str
) -> None:
    """What is dialled comes from the URL; the Host header is KServe's where the URL has no name."""
    gateway = Gateway.parse(url)

    assert gateway.dialled == dialled
    assert gateway.authority("iris") == authority


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1", "http://", "http://h:99999", "http://h/v2"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """Only http(s)://host[:port] is an address."""
    with pytest.raises(UsageError, match="is not an address"):
        Gateway.parse(url)
