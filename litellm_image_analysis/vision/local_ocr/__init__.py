"""A vision model that runs in this process: ``local-ocr/rapidocr``.

An image is decoded, turned, tiled, read and laid out. Each step is a file of its own.
"""

from litellm_image_analysis.vision.local_ocr.decode import FORMATS, MAX_PIXELS, PROVIDER
from litellm_image_analysis.vision.local_ocr.provider import MODEL, LocalOCR, available, register

__all__ = ["FORMATS", "MAX_PIXELS", "MODEL", "PROVIDER", "LocalOCR", "available", "register"]
