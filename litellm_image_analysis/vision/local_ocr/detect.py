"""Find the lines of text in a picture: at native size, in tiles, within a bounded number of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from litellm_image_analysis.vision.local_ocr import tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from litellm_image_analysis.vision.local_ocr.engine import GoOn, Pixels
    from litellm_image_analysis.vision.local_ocr.lines import Quads
    from litellm_image_analysis.vision.local_ocr.tiles import Tile

_USUAL_SIDE = 736  # pixels: the shorter side of a picture that the network was trained for
_MOST_ENLARGED = 1.5
_ENLARGED_TO = 1_500_000  # pixels
_AT_ONCE = 2_000_000  # pixels: a larger picture is looked at in half its size first
_MOST_AGAIN = 3_000_000  # pixels of it that are then looked at in native size
_NETWORK_STEP = 32  # pixels: the network halves its input five times


@dataclass(frozen=True, slots=True)
class Found:
    """Lines that were found.

    Attributes:
        quads: their boxes.
        scores: how sure the network is that each is text (0 to 1).
        megapixels: what it looked at.
    """

    quads: Quads
    scores: NDArray[np.float64]
    megapixels: float


class Detector:
    """Finds lines of text.

    Args:
        network: RapidOCR's detector, with its session and the step from probabilities to boxes.
    """

    def __init__(self, network: Any) -> None:
        self._network = network

    def detect(self, picture: Pixels, go_on: GoOn) -> Found:
        """Return the lines in a picture.

        A large one is looked at in half its size, and again in native size where text may have been missed.
        """
        height, width = picture.shape[:2]
        if height * width <= _AT_ONCE:
            seen, text_map = self._look(_enlarged(picture), go_on)
            return Found(*self._boxes(text_map, picture), seen)
        half = np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
        seen, text_map = self._look(half, go_on)
        coarse, _ = self._boxes(text_map, picture)
        coarse_map = np.asarray(cv2.resize(text_map, (width, height)), np.float32)
        text_map = coarse_map.copy()
        seen += self._look_at(picture, tiles.to_look_at_again(picture, coarse, _MOST_AGAIN), text_map, go_on)
        is_large = np.zeros((height, width), np.uint8)
        cv2.fillPoly(is_large, list(np.round(tiles.large(coarse)).astype(np.int32)), 1)
        text_map = np.where(is_large, coarse_map, text_map)  # a seam between tiles may divide large letters
        return Found(*self._boxes(text_map, picture), seen)

    def _look(self, picture: Pixels, go_on: GoOn) -> tuple[float, NDArray[np.float32]]:
        text_map = np.zeros(picture.shape[:2], np.float32)
        return self._look_at(picture, tiles.tiles(picture), text_map, go_on), text_map

    def _look_at(self, picture: Pixels, parts: Iterable[Tile], text_map: NDArray[np.float32], go_on: GoOn) -> float:
        """Write the probabilities of text in some tiles to a map. Returns the megapixels that were looked at."""
        pixels = 0
        for own, seen in parts:
            go_on()
            pixels += seen.area
            down, across = own.top - seen.top, own.left - seen.left
            found = self._probabilities(picture[seen.of])
            text_map[own.of] = found[down : down + own.bottom - own.top, across : across + own.right - own.left]
        return pixels / 1_000_000

    def _probabilities(self, tile: Pixels) -> NDArray[np.float32]:
        height, width = tile.shape[:2]
        padding = ((0, -height % _NETWORK_STEP), (0, -width % _NETWORK_STEP), (0, 0))
        in_bgr = np.pad(tile, padding, mode="edge")[:, :, ::-1]
        network_input = np.ascontiguousarray((in_bgr.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])
        return np.asarray(self._network.session(network_input)[0, 0, :height, :width], np.float32)

    def _boxes(self, text_map: NDArray[np.float32], picture: Pixels) -> tuple[Quads, NDArray[np.float64]]:
        boxes, scores = self._network.postprocess_op(text_map[None, None], picture.shape[:2])
        return np.asarray(boxes, np.float32).reshape(-1, 4, 2), np.asarray(scores, np.float64)


def _enlarged(picture: Pixels) -> Pixels:
    """Enlarge a small picture, in which letters are often too small for the network."""
    height, width = picture.shape[:2]
    scale = min(_MOST_ENLARGED, _USUAL_SIDE / min(height, width))
    if scale <= 1 or scale * scale * width * height > _ENLARGED_TO:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale), np.uint8)
