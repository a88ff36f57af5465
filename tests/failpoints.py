"""The failpoints by their numbers in docs/reliability.md: the code names a place in words, the documents number it."""

PLACES = {
    "K0": "before the body is read",
    "K1": "checked, not stored",
    "K2": "stored, not started",
    "K4": "inside the storing transaction",
    "K5": "turn begun, not claimed",
    "K6": "submitted committed, no socket yet",
    "K9": "reply read, not written",
    "K10": "inside a transaction that changes statuses",
    "K11": "result committed, not answered",
    "K12": "pending_cancel committed, no cancel sent yet",
    "K20": "attempt over, goal not looked at",
    "K21": "inside a transaction that pursues goals",
    "K22": "goals pursued, attempts not begun",
    "K30": "entry booked, not protected",
    "K31": "inside a transaction that protects positions",
    "K32": "protected in the books, nothing sent",
    "K17": "task done, not acknowledged",
    "K18": "credentials partly re-encrypted",
}


def armed(points: str) -> str:
    """`K9:1,K5:2:stop` in the words that the setting FAILPOINTS takes."""
    return ";".join(_in_words(*point.split(":", 1)) for point in points.split(",") if point)


def _in_words(number: str, when: str) -> str:
    return f"{PLACES[number]}:{when}"
