"""Where a picture is looked at, and at which size. The network is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("cv2")

import numpy as np

from litellm_image_analysis.vision.local_ocr.detect import Detector

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels

LARGE = [[100, 100], [1_900, 100], [1_900, 400], [100, 400]]
SMALL = [[100, 700], [1_900, 700], [1_900, 712], [100, 712]]


class Network:
    """Answers with a probability of its own for each call, and keeps the maps that boxes are made of."""

    def __init__(self, *boxes: list[list[int]]) -> None:
        self.boxes = boxes
        self.shapes: list[tuple[int, int]] = []
        self.maps: list[Any] = []

    def session(self, network_input: Any) -> Any:
        self.shapes.append(network_input.shape[2:])
        return np.full((1, 1, *self.shapes[-1]), len(self.shapes) / 100, np.float32)

    def postprocess_op(self, prediction: Any, size: tuple[int, int]) -> tuple[Any, list[float]]:
        del size
        self.maps.append(prediction[0, 0])
        return np.array(self.boxes), [0.9] * len(self.boxes)


def busy(height: int, width: int) -> Pixels:
    """Stripes, which are still there at half the size."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[np.arange(height) // 4 % 2 == 0] = 255
    return picture


def test_a_small_picture_is_enlarged_and_looked_at_once() -> None:
    network = Network(LARGE)
    found = Detector(network).detect(busy(200, 400), lambda: None)
    assert network.shapes == [(320, 608)]  # 1.5 times, and then to a multiple of 32
    assert (found.quads.shape, found.scores.tolist(), found.megapixels) == ((1, 4, 2), [0.9], 300 * 600 / 1e6)


def test_a_picture_of_usual_size_is_looked_at_without_a_seam() -> None:
    network = Network()
    Detector(network).detect(busy(900, 2_000), lambda: None)
    assert network.shapes == [(928, 2_016)]


def test_in_a_large_picture_small_text_is_looked_at_again_and_large_text_keeps_its_first_look() -> None:
    network = Network(LARGE, SMALL)
    Detector(network).detect(busy(1_200, 2_000), lambda: None)
    first, again = network.maps
    assert first.shape == (600, 1_000)
    assert again.shape == (1_200, 2_000)
    assert np.allclose(again[150:350, 200:1_800], 0.01)  # a seam between tiles would divide large letters
    assert (again[600:, :] > 0.015).all()


def test_nothing_is_looked_at_after_a_request_was_cancelled() -> None:
    class CancelledError(Exception):
        pass

    def go_on() -> None:
        raise CancelledError

    network = Network()
    with pytest.raises(CancelledError):
        Detector(network).detect(busy(100, 100), go_on)
    assert network.shapes == []
