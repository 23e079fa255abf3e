"""RapidOCR as an engine: text is detected in tiles at native size, and each line is read upright.

RapidOCR itself shrinks large pictures, and a classifier turns each line, which turns intact small lines upside down.
Its detection and recognition are used here without both. The models are in its package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rapidocr import RapidOCR

from litellm_image_analysis.vision.local_ocr import lines
from litellm_image_analysis.vision.local_ocr.detect import Detector
from litellm_image_analysis.vision.local_ocr.engine import Reading

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import GoOn, Pixels
    from litellm_image_analysis.vision.local_ocr.lines import Line

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
_SECONDS = 7.0
"""Time for a picture on one core of a usual server. It is counted in pixels, so that the load does not matter."""
_LEAST_SECONDS = 3.5  # to read lines, however long it took to find them
_SECONDS_OF_A_MEGAPIXEL = 1.0  # to find lines
_SECONDS_OF_A_PIXEL = 75e-6  # of a line that is 48 pixels high, to read it

_MOST_LINES = 3_000
_BATCH = 24  # lines that are read before the next look at whether the request was cancelled
_SAMPLE = 12  # lines
_UPRIGHT_FROM, _DOUBTFUL_BELOW = 0.93, 0.85
"""The score of a page that is upright, and the score of a line that may not be."""
_READABLE_FROM = 0.85
"""The score of text in a script that the engine knows. What it makes of others tells no direction."""
_CLEARLY, _MUCH = 0.02, 0.1
"""How much better the score of a page and of a line is if it is read upside down."""


class RapidEngine:
    """RapidOCR with the models of its package.

    All threads share one instance. Only parameters of a call change its state (RapidAI/RapidOCR issue 724), and no call
    has any. Sessions of onnxruntime may run concurrently. Each has one thread: several pictures at once, on one core
    each, are faster than one after the other on several cores, and a gateway needs the other cores.
    """

    def __init__(self) -> None:
        self._engine: Any = RapidOCR(params=_PARAMS)
        self._engine(np.full((64, 64, 3), 255, np.uint8))  # loads the detector
        network: Any = self._engine.text_det
        network.postprocess_op.max_candidates = _MOST_LINES
        self._detector = Detector(network)

    def read(self, picture: Pixels, go_on: GoOn) -> Reading:
        """Read the text in a picture."""
        found = self._detector.detect(picture, go_on)
        if not len(found.quads):
            return Reading()
        quarters = 1 if lines.are_vertical(found.quads) else 0
        quads = lines.turned(found.quads, picture.shape[:2], quarters)
        picture = np.ascontiguousarray(np.rot90(picture, quarters))
        order = lines.downwards(quads)
        quads, scores = quads[order], found.scores[order]
        crops = [lines.tightened(crop) for crop in self._engine.crop_text_regions(picture, quads)]
        seconds = max(_SECONDS - found.megapixels * _SECONDS_OF_A_MEGAPIXEL, _LEAST_SECONDS)
        most = lines.within(crops, seconds / _SECONDS_OF_A_PIXEL)
        crops, unread = crops[:most], len(crops) - most
        is_upside_down, read = self._recognise(crops, go_on)
        if is_upside_down:
            quarters += 2
            quads = lines.turned(quads, picture.shape[:2], 2)
            crops = [lines.upside_down(crop) for crop in crops]
        return Reading(lines.fragments(quads[:most], scores, crops, read), quarters, unread)

    def _recognise(self, crops: Sequence[Pixels], go_on: GoOn) -> tuple[bool, list[Line]]:
        """Read lines. The longest tell whether the page is upside down. Returns whether it is, too."""
        longest = sorted(range(len(crops)), key=lambda at: -crops[at].shape[1])[:_SAMPLE]
        sample = [crops[at] for at in longest]
        read = self._texts(sample, go_on)
        score, is_upside_down = lines.mean_score(read, sample), False
        if score < _UPRIGHT_FROM:
            turned = self._texts([lines.upside_down(crop) for crop in sample], go_on)
            turned_score = lines.mean_score(turned, sample)
            if turned_score > score + _CLEARLY and turned_score >= _READABLE_FROM:
                is_upside_down, read = True, turned
                crops = [lines.upside_down(crop) for crop in crops]
        known = dict(zip(longest, read, strict=True))
        others = [at for at in range(len(crops)) if at not in known]
        known |= zip(others, self._texts([crops[at] for at in others], go_on), strict=True)
        return is_upside_down, self._read_again(crops, [known[at] for at in range(len(crops))], go_on)

    def _read_again(self, crops: Sequence[Pixels], read: list[Line], go_on: GoOn) -> list[Line]:
        """Read doubtful lines upside down, and keep what is better: a page may have lines in both directions."""
        doubtful = [at for at, (_, score) in enumerate(read) if score < _DOUBTFUL_BELOW][:_SAMPLE]
        again = self._texts([lines.upside_down(crops[at]) for at in doubtful], go_on)
        better = {at: line for at, line in zip(doubtful, again, strict=True) if line[1] > read[at][1] + _MUCH}
        return [better.get(at, line) for at, line in enumerate(read)]

    def _texts(self, crops: Sequence[Pixels], go_on: GoOn) -> list[Line]:
        found: list[Line] = []
        for start in range(0, len(crops), _BATCH):
            go_on()
            batch = [np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops[start : start + _BATCH]]  # in BGR
            result = self._engine.recognize_txt(batch)
            found += zip(result.txts, map(float, result.scores), strict=True)
        return found
