import pytest

from tests.support.documents import matches


@pytest.mark.parametrize(
    ("documented", "printed", "same"),
    [
        ("a  b\n", "a b\n\n", True),
        ("a …\n", "a 12 b\n", True),
        ("a … c\n", "a 1\nc\n", False),
        ("…\nend\n", "one\ntwo\nend\n", True),
        ("start\n…\n", "start\none\n", True),
        ("…\nend\n", "end\n", True),
        ("start\n…\nend\n", "start\nend\n", True),
        ("start\n…\n", "one\nstart\n", False),
        ("a\n\nb\n", "a\n\nb\n", True),
        ("a\n\nb\n", "a\nb\n", False),
        ("a.c\n", "abc\n", False),
        ("a\n", "ab\n", False),
        ("", "said\n", False),
        ("iris 9defaa9a502e\n", "iris 5628f5c6a0bf\n", True),
        ("iris 9defaa9a502e\n", "iris 9defaa9a\n", False),
        ("setosa ████████████ 100.0%\n", "setosa █▎    10.5%\n", True),
        ("setosa █ 100.0%\n", "virginica █ 100.0%\n", False),
        ("p50 2.89 ms  p95 13 ms\n", "p50 3 s  p95 9.1 ms\n", True),
        ("211 requests in 4 s\n", "190 requests in 4 s\n", True),
        ("211 requests in 4 s\n", "211 requests in 5 s\n", False),
        ("replicas 1/1\n", "replicas 1/2\n", False),
    ],
)
def test_documents_show_what_is_printed(documented: str, printed: str, same: bool) -> None:
    """`…` is any text of a line, alone it is any lines; all else is taken by its letters."""
    assert matches(documented, printed) is same
