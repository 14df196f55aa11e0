"""MMDetection's test pipeline up to the network input, and the way back for boxes."""


import numpy as np

from core.export.spec import ModelSpec


class Preprocessor:
    """Resizes and pads images as MMDetection's Resize and Pad do; normalisation is part of the exported graph.

    Args:
        spec: Of the model whose input is made.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._padding, self._mean, self._std = (
            np.float32(values).reshape(1, 3, 1, 1) for values in (spec.pad_pixel, spec.mean, spec.std))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the network input for an image.

        Args:
            image: uint8 ``[H, W, 3]`` in BGR order.

        Returns:
            float32 ``[1, 3, H, W]`` with the sides that ``padded`` tells, raw BGR values; float so that padding is
            exact.
        """
        import cv2

        height, width = self.resized(image.shape[:2])
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        network_input = np.empty((1, 3, *self.padded((height, width))), np.float32)
        if (height, width) != network_input.shape[2:]:
            network_input[:] = self._padding
        network_input[0, :, :height, :width] = resized.transpose(2, 0, 1)
        return network_input

    def normalised(self, image: np.ndarray) -> np.ndarray:
        """Return an image as the exported ONNX takes it; normalisation is part of the IR alone."""
        raw = self(image)
        return ((raw[:, ::-1] if self.spec.to_rgb else raw) - self._mean) / self._std

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width that an image of ``size`` (height, width) is resized to.

        With keep_ratio this is mmcv.rescale_size for images of the input's orientation. For the others mmdet swaps
        height and width of its box, which a fixed input cannot follow; they are scaled to fit.
        """
        box = self.spec.resize_height, self.spec.resize_width
        if not self.spec.keep_ratio:
            return box
        height, width = size
        if self._pads_each_image and (height > width) != (box[0] > box[1]):
            box = box[::-1]
        scale = min(box[0] / height, box[1] / width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def scale_factor(self, size: tuple[int, int]) -> np.ndarray:
        """Return float32 ``[4]``, as mmdet's Resize keeps it, by which heads divide the boxes of such an image."""
        (height, width), (resized_height, resized_width) = size, self.resized(size)
        return np.float32([resized_width / width, resized_height / height] * 2)

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of the network input for an image resized to ``size`` (height, width)."""
        if not self._pads_each_image:
            return self.spec.input_height, self.spec.input_width
        height, width = (-(-side // self.spec.size_divisor) * self.spec.size_divisor for side in size)
        return height, width

    @property
    def _pads_each_image(self) -> bool:
        """Whether the input follows the image, as in MMDetection: sides, orientation and all."""
        return self.spec.dynamic and self.spec.keep_ratio and self.spec.size_divisor > 1

    def to_original(self, boxes: np.ndarray, size: tuple[int, int], clip: bool = True) -> np.ndarray:
        """Return boxes in an original image's pixels.

        Args:
            boxes: ``[N, 4]``: x1, y1, x2, y2 in pixels of the network input.
            size: Height and width of the original image.
            clip: Clip the boxes to the image.

        Returns:
            float32 ``[N, 4]``.
        """
        height, width = size
        scaled = boxes.astype(np.float32) / self.scale_factor(size)
        return np.clip(scaled, 0, np.float32([width, height] * 2)) if clip else scaled
