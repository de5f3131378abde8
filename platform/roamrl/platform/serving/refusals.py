"""How requests are refused: a status and a message that says what was expected."""

from __future__ import annotations

from http import HTTPStatus


class Refusal(Exception):
    """A request that cannot be answered as it is.

    Attributes:
        status: HTTP status, 4xx.
        message: What was wrong, and what was expected.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def unfit(message: str) -> Refusal:
    """Return the refusal of a request that is JSON but does not fit the expert."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message)
