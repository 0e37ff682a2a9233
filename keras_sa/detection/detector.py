"""What the detectors have in common."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_sa import keras_hooks

# Of the network: lists of maps, a map for each pyramid level.
Outputs = dict[str, list[tf.Tensor]]


class Detector(keras.Model):
    """Base of the detectors: a network over a backbone, losses and detections.

    Calling the model gives what the losses are made of. `fit` and `evaluate` take
    batches as `keras_sa.detection` says; `predict` gives detections.

    A subclass sets `network`, defines `losses_of` and `detections`, and calls
    `finish_building` at the end of its `__init__`.

    Args:
        backbone: A `keras_sa.detection.PyramidBackbone`. Its layers are shared.
        classes: Number of classes.
        train_batch_norms: Whether the batch norms of the backbone are in training
            mode in training. Published as `False`: batches of few large images have
            no good statistics.
        score_threshold: The score that a detection must exceed.
        nms_threshold: Of two detections of a class whose intersection over union is
            larger, the better one is kept.
        max_detections: The largest number of detections in an image.
        loss_names: Names of the parts of the loss.
        **kwargs: Base model keyword arguments.
    """

    # For `keras_sa.training`: see `compute_loss`.
    loss_is_of_replica = True

    def __init__(
        self,
        backbone: keras.Model,
        classes: int,
        train_batch_norms: bool,
        score_threshold: float,
        nms_threshold: float,
        max_detections: int,
        loss_names: Sequence[str],
        **kwargs: Any,
    ) -> None:
        check_environment()
        super().__init__(**kwargs)
        check_options(classes, score_threshold, nms_threshold, max_detections)
        self.classes = classes
        self.train_batch_norms = train_batch_norms
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.max_detections = max_detections
        # Non-maximum suppression can't be compiled by XLA.
        self.supports_jit = False
        self.backbone = backbone
        self.loss_parts = [keras.metrics.Mean(name=name) for name in loss_names]

    def finish_building(self) -> None:
        """To be called when all layers have been made."""
        # Under a strategy Keras would add the replicas' targets up, flags as well.
        keras_hooks.set_building(self)
        self.built = True

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: None = None,
        **kwargs: Any,
    ) -> None:
        """Like `keras.Model.compile`, without a loss: the detector has its own.

        Raises:
            ValueError: If a loss is given.
        """
        if loss is not None:
            raise ValueError(
                "A detector has its own losses: compile it without one. "
                f"Received: loss={loss!r}"
            )
        super().compile(optimizer=optimizer, **kwargs)
        if not self.optimizer.built:
            # Else the training step is traced twice, which takes a while.
            self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def backbone_maps(self, levels: Sequence[str]) -> dict[str, keras.KerasTensor]:
        """Symbolic tensors like the backbone's maps of these levels.

        Raises:
            ValueError: If a level is missing or has another stride than its own.
        """
        outputs = getattr(self.backbone, "pyramid_outputs", {})
        missing = [level for level in levels if level not in outputs]
        if missing:
            raise ValueError(
                f"`backbone` must have the `pyramid_outputs` {list(levels)}, as "
                "`keras_sa.applications.feature_pyramid` makes them. "
                f"Received: backbone={self.backbone.name!r} with {list(outputs)}"
            )
        check_strides(self.backbone, levels)
        return {
            level: keras.Input(
                outputs[level].shape[1:], dtype=outputs[level].dtype, name=level
            )
            for level in levels
        }

    def call(self, images: tf.Tensor, training: bool | None = None) -> Outputs:
        # Not as a part of the network: there `training=False` would be overridden.
        of_backbone = training if self.train_batch_norms else False
        maps = self.backbone(images, training=of_backbone)
        levels = self.network.input
        return self.network({level: maps[level] for level in levels}, training=training)

    def losses_of(
        self,
        outputs: Outputs,
        targets: dict[str, tf.Tensor],
        weights: tf.Tensor,
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        """The parts of the loss, in the order of `loss_names`."""
        raise NotImplementedError

    def detections(self, outputs: Outputs, size: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predictions, see `keras_sa.detection`.

        Args:
            outputs: What calling the model gives.
            size: Height and width of the images, `(2,)`.
        """
        raise NotImplementedError

    def compute_loss(
        self,
        x: tf.Tensor,
        y: dict[str, tf.Tensor],
        y_pred: Outputs,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The loss of a batch.

        Under a strategy it is this replica's part: the sum over the replicas is the
        loss that one device has for the whole batch.
        """
        batch = tf.shape(x)[0]
        size = tf.cast(tf.shape(x)[1:3], tf.float32)
        targets = dict(y)
        targets.setdefault("image_size", tf.tile(size[tf.newaxis], [batch, 1]))
        if sample_weight is None:
            weights = tf.ones([batch])
        else:
            # Of arrays Keras makes a copy of the images' weights for each target.
            weights = tf.nest.flatten(sample_weight)[0]
            weights = tf.reshape(tf.cast(weights, tf.float32), [batch])
        step = keras.ops.cast(getattr(self.optimizer, "iterations", 0), "int32")
        losses = self.losses_of(y_pred, targets, weights, step)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for metric, loss in zip(self.loss_parts, losses, strict=True):
            metric.update_state(loss * replicas, sample_weight=batch)
        # Regularisers are the same in all replicas.
        return tf.add_n([*losses, *(loss / replicas for loss in self.losses)])

    def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.detections(self(images, training=False), tf.shape(images)[1:3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "classes": self.classes,
            "train_batch_norms": self.train_batch_norms,
            "score_threshold": self.score_threshold,
            "nms_threshold": self.nms_threshold,
            "max_detections": self.max_detections,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "Detector":
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects
        )
        return cls(**{**config, "backbone": backbone})


def flatten_levels(maps, values: int) -> list:
    """Maps `(batch, height, width, anchors * values)` in the order of the anchors.

    Returns:
        float32 `(batch, height * width * anchors, values)` of each level.
    """
    return [
        tf.reshape(tf.cast(level, tf.float32), (tf.shape(level)[0], -1, values))
        for level in maps
    ]


def check_environment():
    """Raises an error where TensorFlow's image operations can't be used."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Detectors need Keras' TensorFlow backend. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Detectors need maps of the format channels_last. Received: "
            f"image_data_format={keras.config.image_data_format()!r}"
        )


def check_options(classes, score_threshold, nms_threshold, max_detections):
    if classes < 1 or max_detections < 1:
        raise ValueError(
            "`classes` and `max_detections` must be at least 1. "
            f"Received: classes={classes}, max_detections={max_detections}"
        )
    if not (0 <= score_threshold < 1 and 0 <= nms_threshold <= 1):
        raise ValueError(
            "`score_threshold` and `nms_threshold` must be in 0..1. Received: "
            f"score_threshold={score_threshold}, nms_threshold={nms_threshold}"
        )


def check_strides(backbone, levels):
    """Raises an error if a level has another stride than its own."""
    side = 256
    shape = (1, side, side, backbone.inputs[0].shape[-1])
    images = keras.KerasTensor(shape)
    fixed = backbone.inputs[0].shape[1:3]
    if None not in fixed:
        images = keras.KerasTensor((1, *fixed, shape[-1]))
    height = images.shape[1]
    maps = backbone.compute_output_spec(images)
    for level in levels:
        expected = -(-height // 2 ** int(level[1:]))
        if maps[level].shape[1] != expected:
            raise ValueError(
                f"The level {level} must have the stride {2 ** int(level[1:])}: for "
                f'small images take the stem "imagenet" all the same. Received: '
                f"backbone={backbone.name!r}, whose level {level} has the shape "
                f"{maps[level].shape} for the input {images.shape}"
            )
