"""What keeps a page from being shown, as one tree.

WebError
├── Refused          the API answered with an error
├── LoggedOut        the page needs a session and there is none
├── NoSuchPage       nothing is at this address
├── ForeignForm      a form was posted from another site
└── FormTooLarge     a form has more bytes than the console reads
"""

from __future__ import annotations

FORM_BYTES_MAX = 256 * 1024


class WebError(Exception):
    """Any refusal of the console; its text is fit for the visitor to read."""

    status = 500

    def __str__(self) -> str:
        return super().__str__() or (type(self).__doc__ or "")


class Refused(WebError):
    """The cloud refused this."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LoggedOut(WebError):
    """The session has ended; log in again."""

    status = 401


class NoSuchPage(WebError):
    """There is no page at this address."""

    status = 404


class ForeignForm(WebError):
    """The form was sent from a page of another site; open the console and send it from there."""

    status = 403


class FormTooLarge(WebError):
    """The form is too large."""

    status = 413

    def __init__(self) -> None:
        super().__init__(
            f"A form may have {FORM_BYTES_MAX // 1024} KiB; send larger inputs through the API."
        )
