"""RapidOCR as an engine: text is detected in tiles at native size, and each line is read upright.

RapidOCR itself shrinks large pictures, and a classifier turns each line, which turns intact small lines upside down.
Its detection and recognition are used here without both. The models are in its package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rapidocr import RapidOCR

from litellm_image_analysis.vision.local_ocr import lines, tiles
from litellm_image_analysis.vision.local_ocr.engine import Reading

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import GoOn, Pixels
    from litellm_image_analysis.vision.local_ocr.lines import Line, Quads
    from litellm_image_analysis.vision.local_ocr.tiles import Tile

_PARAMS = {
    "Global.log_level": "error",
    "Global.use_cls": False,
    "Global.use_preprocess_img": False,
    "Global.use_vertical_padding": False,
    "Global.text_score": 0.0,
    "Rec.rec_img_shape": [3, 48, 96],
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
_DETECTED_SIDE = 736  # pixels: the shorter side of a picture that the detector was trained for
_MOST_ENLARGED = 1.5
_NETWORK_STEP = 32  # pixels: the network halves its input five times
_AT_ONCE = 2_000_000  # pixels: a larger picture is looked at in half its size first
_ENLARGED_TO = 1_500_000
_MOST_AGAIN = 4_000_000
_SECONDS = 8.0
"""Time for a picture on one core of a usual server. It is counted in pixels, so that a result does not depend on load."""
_SECONDS_OF_A_MEGAPIXEL = 1.0  # to find lines
_SECONDS_OF_A_PIXEL = 75e-6  # of a line that is 48 pixels high, to read it

_DOUBTED_BELOW = 0.85
_UPRIGHT_FROM = 0.93
_SAMPLE = 12


class RapidEngine:
    """RapidOCR with the models of its package.

    All threads share one instance. Only parameters of a call change its state (RapidAI/RapidOCR issue 724), and no call
    has any. Sessions of onnxruntime may run concurrently. Each has one thread: several pictures at once, on one core
    each, are faster than one after the other on several cores, and a gateway needs the other cores.
    """

    def __init__(self) -> None:
        self._engine = RapidOCR(params=_PARAMS)
        self._engine(np.full((64, 64, 3), 255, np.uint8))  # loads the detector
        self._detector: Any = self._engine.text_det
        self._detector.postprocess_op.max_candidates = 3_000

    def read(self, picture: Pixels, go_on: GoOn) -> Reading:
        """Read the text in a picture."""
        quads, scores, seen = self._detect(picture, go_on)
        if len(quads) == 0:
            return Reading()
        quarters = 1 if lines.are_vertical(quads) else 0
        picture, quads = lines.turned(picture, quads, quarters)
        order = lines.downwards(quads)
        quads, scores = quads[order], scores[order]
        crops = [lines.tightened(crop) for crop in self._engine.crop_text_regions(picture, quads)]
        most = lines.within(crops, (_SECONDS - seen * _SECONDS_OF_A_MEGAPIXEL) / _SECONDS_OF_A_PIXEL)
        unread, crops = len(crops) - most, crops[:most]
        found = self._recognise(crops, go_on)
        if self._is_upside_down(crops, found, go_on):
            quarters += 2
            _, quads = lines.turned(picture, quads, 2)
            crops = [upside_down(crop) for crop in crops]
            found = self._recognise(crops, go_on)
        else:
            found = self._read_again(crops, found, go_on)
        return Reading(lines.fragments(quads[:most], scores, crops, found), quarters, unread)

    def _detect(self, picture: Pixels, go_on: GoOn) -> tuple[Quads, Any, float]:
        """Return the boxes of the lines, how sure each is, and the megapixels that were looked at."""
        height, width = picture.shape[:2]
        seen = 0.0
        if height * width > _AT_ONCE:
            half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            text_map = np.zeros(half.shape[:2], np.float32)
            seen += self._look(half, tiles.tiles(half), text_map, go_on)
            coarse, _ = self._boxes(text_map, picture)
            text_map = cv2.resize(text_map, (width, height), interpolation=cv2.INTER_LINEAR)
            again = tiles.to_look_at_again(picture, coarse, _MOST_AGAIN)
            seen += self._look(picture, again, text_map, go_on)
        else:
            scale = min(_MOST_ENLARGED, max(1.0, _DETECTED_SIDE / min(height, width)))
            if scale * scale * width * height > _ENLARGED_TO:
                scale = 1.0
            looked_at = picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale)
            text_map = np.zeros(looked_at.shape[:2], np.float32)
            seen += self._look(looked_at, tiles.tiles(looked_at), text_map, go_on)
        return *self._boxes(text_map, picture), seen

    def _look(self, picture: Pixels, parts: Iterable[Tile], text_map: Any, go_on: GoOn) -> float:
        """Write the probabilities of text to a map. Returns the megapixels that were looked at."""
        pixels = 0
        for own, seen in parts:
            go_on()
            pixels += seen.area
            found = self._text_map(picture[seen.of])
            text_map[own.of] = found[
                own.top - seen.top : own.bottom - seen.top, own.left - seen.left : own.right - seen.left
            ]
        return pixels / 1_000_000

    def _boxes(self, text_map: Any, picture: Pixels) -> tuple[Quads, Any]:
        boxes, scores = self._detector.postprocess_op(text_map[None, None], picture.shape[:2])
        return np.asarray(boxes, np.float32).reshape(-1, 4, 2), np.asarray(scores)

    def _text_map(self, tile: Pixels) -> Any:
        height, width = tile.shape[:2]
        down, right = -height % _NETWORK_STEP, -width % _NETWORK_STEP
        padded = np.pad(tile, ((0, down), (0, right), (0, 0)), mode="edge")
        network_input = (padded[:, :, ::-1].astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        return self._detector.session(np.ascontiguousarray(network_input))[0, 0, :height, :width]

    def _recognise(self, crops: Sequence[Pixels], go_on: GoOn) -> list[Line]:
        found: list[Line] = []
        for start in range(0, len(crops), 24):
            go_on()
            part = [np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops[start : start + 24]]
            result = self._engine.recognize_txt(part)
            found += zip(result.txts, map(float, result.scores), strict=True)
        return found

    def _is_upside_down(self, crops: Sequence[Pixels], found: Sequence[Line], go_on: GoOn) -> bool:
        """Return whether the lines can be read better upside down. Only a page that is read badly is tried."""
        if lines.mean_score(found, crops) >= _UPRIGHT_FROM:
            return False
        sample = sorted(range(len(crops)), key=lambda at: -crops[at].shape[1])[:_SAMPLE]
        turned = self._recognise([upside_down(crops[at]) for at in sample], go_on)
        chosen = [crops[at] for at in sample]
        return lines.mean_score(turned, chosen) > lines.mean_score([found[at] for at in sample], chosen) + 0.02

    def _read_again(self, crops: Sequence[Pixels], found: Sequence[Line], go_on: GoOn) -> list[Line]:
        """Read doubtful lines upside down, and keep what is better: a page may have lines in both directions."""
        doubted = [at for at, (_, score) in enumerate(found) if score < _DOUBTED_BELOW][:_SAMPLE]
        if not doubted:
            return list(found)
        again = self._recognise([upside_down(crops[at]) for at in doubted], go_on)
        better = {at: line for at, line in zip(doubted, again, strict=True) if line[1] > found[at][1] + 0.1}
        return [better.get(at, line) for at, line in enumerate(found)]


def upside_down(crop: Pixels) -> Pixels:
    """Return a picture turned by 180 degrees."""
    return crop[::-1, ::-1]
