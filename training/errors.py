"""What training can fail with before there is a model."""


class DataError(Exception):
    """The data is missing or not what it should be; names the file."""
