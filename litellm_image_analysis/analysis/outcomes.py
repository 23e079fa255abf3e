"""The outcome of one image: ``Analysed`` or ``Failed``. Failures are values, which later code may raise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

_SEND_A_FILE = "Send it as PNG, JPEG, WEBP or GIF."
_SEND_DATA = "Send the image as a data: URI with base64."
_ASK_THE_OPERATOR = "Trying again does not help: the gateway's operator finds the cause in its log."


class FailureReason(Enum):
    """The reason why an image has no analysis.

    Attributes:
        code: name of the reason, for logs and errors.
        status_code: HTTP status of a rejected request.
        clause: a neutral description for the text model and the caller, without a provider's text, a URL or data.
        advice: what the caller can do, as a sentence.
    """

    TIMEOUT = ("timeout", 504, "the vision model did not answer in time", "Try again.")
    RATE_LIMITED = ("rate_limited", 429, "the vision model is over its rate limit", "Try again later.")
    UNAVAILABLE = ("unavailable", 502, "the vision model is not available", "Try again later.")
    MISCONFIGURED = ("misconfigured", 502, "the gateway's vision model is not set up correctly", _ASK_THE_OPERATOR)
    NOT_ROUTED = (
        "not_routed",
        403,
        "no deployment of the vision model serves the request's tags and region",
        "Change the tags, or ask the gateway's operator.",
    )
    CIRCUIT_OPEN = (
        "circuit_open",
        503,
        "the vision model keeps failing, so calls to it are paused",
        "Try again later.",
    )
    BUSY = ("busy", 503, "too many vision calls are waiting in the gateway", "Try again later.")
    EMPTY = ("empty", 502, "the vision model returned no text", "Try again, or name another vision model.")
    OUT_OF_TOKENS = (
        "max_output_tokens",
        502,
        "the vision model reached max_output_tokens before it wrote any text",
        "Trying again does not help: the gateway's operator has to raise max_output_tokens.",
    )
    NOT_FETCHED = (
        "not_fetched",
        400,
        "the image could not be fetched from its URL",
        "Send the image as a data: URI with base64, or check the URL.",
    )
    REFUSED = (
        "refused",
        400,
        "the vision model refused to look at the image",
        "Send another image, or name another vision model.",
    )
    BAD_IMAGE = ("bad_image", 400, "the vision model could not read the image", _SEND_A_FILE)
    REJECTED = (
        "rejected",
        400,
        "the vision model's provider rejected the call",
        "Trying again does not help: ask the gateway's operator, or name another vision model.",
    )
    TOO_LARGE = ("too_large", 413, "the image is too large for the vision model", "Send a smaller one.")
    TOO_LONG = (
        "too_long",
        400,
        "the image and the text with it are too long for the vision model",
        "Send less text with the image.",
    )
    MALFORMED = (
        "malformed",
        400,
        "the image part holds no image",
        "Send a data: URI with base64 or an http(s) URL.",
    )
    UNSUPPORTED_SOURCE = (
        "unsupported_source",
        400,
        "the image is neither a data: URI of an image type with base64 nor an http(s) URL",
        "Send it as one of these.",
    )
    UNSUPPORTED_TYPE = ("unsupported_type", 400, "the image's type is not supported", _SEND_A_FILE)
    MISLABELLED = ("mislabelled", 400, "the image's data is not an image", _SEND_A_FILE)
    DAMAGED = ("damaged", 400, "the image's data is not the base64 of a complete image", "Send the file again.")
    NOT_HELD = (
        "not_held",
        400,
        "the image is a file at a provider that does not serve the vision model",
        "Send the image itself or a URL.",
    )
    URL_HAS_BLANKS = (
        "url_has_blanks",
        400,
        "the image's URL has a blank or an invisible character in it",
        "Write it as %20 or leave it out.",
    )
    URL_NOT_PUBLIC = ("url_not_public", 400, "the image's URL does not plainly name a public host", _SEND_DATA)
    URL_NOT_ALLOWED = ("url_not_allowed", 400, "this gateway does not accept the image's URL", _SEND_DATA)
    FILE_NOT_ALLOWED = ("file_not_allowed", 400, "this gateway does not accept files at a provider", _SEND_DATA)
    NOT_LOOKED_AT = ("not_looked_at", 400, "older image, not looked at", "Send it again in a new message.")
    BUDGET_EXCEEDED = (
        "budget_exceeded",
        429,
        "the budget for vision calls is used up",
        "Try again when it is reset, or ask the gateway's operator.",
    )
    DISABLED = (
        "disabled",
        403,
        "image analysis is switched off for this key",
        "Ask the gateway's operator to switch it on, or send the request without images.",
    )
    INTERNAL = (
        "internal",
        500,
        "image analysis failed within the gateway",
        "Try again, or ask the gateway's operator.",
    )

    def __init__(self, code: str, status_code: int, clause: str, advice: str) -> None:
        self.code = code
        self.status_code = status_code
        self.clause = clause
        self.advice = advice

    @property
    def error_code(self) -> str:
        """The code of a rejected request's error."""
        return f"image_analysis_{self.code}"

    @property
    def is_the_images(self) -> bool:
        """Whether the image is the cause, so that its sender can correct it."""
        return self.status_code in (400, 413) and self is not FailureReason.REJECTED

    @property
    def not_cacheable(self) -> bool:
        """Whether there was no vision call, for a reason that may not apply to the next request."""
        return self in (
            FailureReason.NOT_ROUTED,
            FailureReason.CIRCUIT_OPEN,
            FailureReason.BUSY,
            FailureReason.BUDGET_EXCEEDED,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What LiteLLM reports about one vision call, for metrics and traces. The cache does not store it.

    Attributes:
        input_tokens: tokens of the prompt and the images. ``None`` if unknown.
        output_tokens: tokens of the answer. ``None`` if unknown.
        provider: LiteLLM's name of the provider, such as ``openai``. ``None`` if unknown.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Analysed:
    """The vision model's text about one image.

    Attributes:
        text: the text, unchanged.
        truncated: whether it reached ``max_output_tokens``.
        cost: USD of the vision call, 0 without a call, ``None`` if LiteLLM knows no price.
        call_id: id of the call's spend-log row.
        cached: whether the request made no vision call for it.
        usage: the usage of the vision call. ``None`` without a call.
    """

    text: str
    truncated: bool = False
    cost: Decimal | None = None
    call_id: str | None = None
    cached: bool = False
    usage: Usage | None = field(default=None, compare=False)

    def as_cached(self) -> Analysed:
        """Return the same outcome for a request that did not make the call."""
        return replace(self, cost=Decimal(0), call_id=None, cached=True, usage=None)


@dataclass(frozen=True, slots=True)
class Failed:
    """An image without an analysis.

    Attributes:
        reason: the reason for the failure.
        cost: USD of the vision call, if the provider charged it.
        call_id: id of the call's spend-log row.
        retry_after_seconds: seconds until a new attempt makes sense, if known.
        limit: the limit of a request that excludes the image, such as ``max_images is 20``.
        cure: the problem and what the operator has to do, for the log. ``None`` if the operator cannot correct it.
        blames_model: whether the vision model, its provider or the network may be the cause, and not the request.
        is_callers_own: whether the rules of the caller may be the cause. Another caller's call may then succeed.
        usage: the usage of the vision call, if it was answered.
    """

    reason: FailureReason
    cost: Decimal | None = Decimal(0)
    call_id: str | None = None
    retry_after_seconds: int | None = None
    limit: str | None = None
    cure: str | None = field(default=None, compare=False)
    blames_model: bool = field(default=True, compare=False)
    is_callers_own: bool = field(default=False, compare=False)
    usage: Usage | None = field(default=None, compare=False)

    @property
    def is_left_out(self) -> bool:
        """Whether a limit of the request excludes the image. It then gets a note, whatever ``on_failure`` says."""
        return self.limit is not None

    @property
    def is_shared(self) -> bool:
        """Whether the failure also applies to other requests with the same question."""
        return not (self.reason.not_cacheable or self.is_callers_own)

    @property
    def clause(self) -> str:
        """A neutral description for the text model and the caller."""
        return self.reason.clause if self.limit is None else f"{self.reason.clause}: {self.limit}"

    def as_cached(self) -> Failed:
        """Return the same outcome for a request that did not make the call."""
        return replace(self, cost=Decimal(0), call_id=None, usage=None)


Outcome: TypeAlias = Analysed | Failed
