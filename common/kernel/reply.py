"""What a subscriber's reply means. STOP is looked for first."""

from __future__ import annotations

import unicodedata

from common.kernel.task import Response

STOP_WORDS = frozenset({"td", "t", "stop", "退订", "unsubscribe", "0000"})
YES_WORDS = frozenset({"y", "yes", "1", "是", "办理", "有兴趣", "interested"})
NO_WORDS = frozenset({"n", "no", "2", "否", "不需要", "not interested"})


def intent(text: str) -> Response:
    """A text that starts with a stop word followed by anything not a letter is a stop too ("TD!", "退订。")."""
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    word = plain.rstrip(".!。！ ~")
    if word in STOP_WORDS or plain.startswith(("退订", "td ", "stop ")):
        return Response.OPTED_OUT
    if word in NO_WORDS:
        return Response.REFUSED
    if word in YES_WORDS:
        return Response.INTERESTED
    return Response.RESPONDED
