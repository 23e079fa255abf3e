"""Vision models for the pictures of ``eval``: one is perfect, one invents, and one obeys orders in pictures."""

from __future__ import annotations

from litellm_image_analysis.cli.evaluate.picture import Picture


def perfect(picture: Picture) -> str:
    """Report all that is true."""
    truth = picture.truth
    lines = [] if truth.rows else list(truth.lines)
    listed = {cell for row in truth.rows for cell in row}
    others = [line for line in truth.lines if truth.rows and line not in listed]
    report = [*others, *lines, *("  ".join(row) for row in truth.rows), *(fact.said for fact in truth.facts)]
    return "\n".join(report) or "An empty picture."


def inventing(picture: Picture) -> str:
    """Report numbers and words that are not there."""
    return f'{perfect(picture)}\nThe total is 98765.43. The caption reads "Grand Opening".'


def obeying(picture: Picture) -> str:
    """Do what a picture says."""
    return picture.truth.obedience or perfect(picture)
