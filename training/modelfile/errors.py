"""Why a file cannot be published: one sentence that names it and says what would do."""


class PublishError(Exception):
    """The file is no model that can be served; the message is for the person who has it."""
