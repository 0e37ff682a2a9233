"""What is done to training images, as one value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """The random changes of training images and labels. Evaluation has none.

    The defaults are the published recipe: random resized crop and flip.

    Args:
        scale: Range of the crop's part of the image's area. `None`: no random
            crop, the images are prepared as for evaluation.
        ratio: Range of the crop's width by its height; drawn uniformly in its
            logarithm.
        flip: Whether half of the images are mirrored left to right.
        rand_augment: How many operations RandAugment applies to an image; 0 is
            off, the paper's ResNet-50 has 2.
        rand_augment_magnitude: Strength of these operations in 0..1; the paper's 9
            of 30 is 0.3.
        random_erasing: Probability with which a rectangle of an image is erased.
        mixup: Alpha of MixUp in 0..1; 0 is off.
        cutmix: Alpha of CutMix in 0..1; 0 is off. With MixUp, each group of images
            gets one of the two, with equal chances.
        label_smoothing: What is taken from the label and spread over all classes.

    Raises:
        ValueError: If a value is out of its range.
    """

    scale: tuple[float, float] | None = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    rand_augment: int = 0
    rand_augment_magnitude: float = 0.3
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self):
        if self.scale is not None and not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(
                "`scale` must be None or a range within 0..1. "
                f"Received: scale={self.scale}"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(
                "`ratio` must be a range of positive numbers. "
                f"Received: ratio={self.ratio}"
            )
        if self.rand_augment < 0:
            raise ValueError(
                "`rand_augment` must be 0 or a number of operations. "
                f"Received: rand_augment={self.rand_augment}"
            )
        for name in (
            "rand_augment_magnitude",
            "random_erasing",
            "mixup",
            "cutmix",
            "label_smoothing",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` must be in 0..1. Received: {name}={value}")

    @property
    def mixes_images(self) -> bool:
        """Whether an image depends on others of its batch."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def softens_labels(self) -> bool:
        """Whether labels are distributions instead of class indices."""
        return self.mixes_images or self.label_smoothing > 0
