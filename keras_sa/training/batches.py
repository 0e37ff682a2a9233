"""Spreading batches over the replicas of a strategy."""

from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol
from typing import TypeAlias
from typing import runtime_checkable

import keras

from keras_sa import keras_hooks

if TYPE_CHECKING:
    import tensorflow as tf


@runtime_checkable
class EpochData(Protocol):
    """Batches that are a function of epoch and step, such as `keras_sa.data` makes."""

    @property
    def batch_size(self) -> int:
        """The global batch."""

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""

    def input_fn(
        self, epoch: int = 0, step: int = 0, epochs: int | None = None
    ) -> Callable[["tf.distribute.InputContext"], "tf.data.Dataset"]:
        """For `strategy.distribute_datasets_from_function`."""


# What a training takes, see `Batches`.
TrainingData: TypeAlias = (
    "EpochData | tf.data.Dataset | Callable[[int], tf.data.Dataset]"
)


class Batches:
    """The batches of a training or an evaluation, spread over replicas.

    Args:
        data: `EpochData`; or a `tf.data.Dataset` of global batches; or a function
            that makes one of the epoch's number, counted from 0.
        strategy: The `tf.distribute.Strategy`.
        class_weight: Weight of the loss by class number, 1 for those not named.
        steps_per_execution: How many batches are taken from an iterator at once.

    Raises:
        ValueError: If the data is of another kind, not in batches, or the global
            batch is not a multiple of the number of replicas.
    """

    def __init__(
        self,
        data: TrainingData,
        strategy: "tf.distribute.Strategy",
        class_weight: dict[int, float] | None = None,
        steps_per_execution: int = 1,
    ) -> None:
        import tensorflow as tf

        if not isinstance(data, EpochData | tf.data.Dataset | Callable):
            raise ValueError(
                "`data` must be of `keras_sa.data.load`, a `tf.data.Dataset` of "
                "batches or a function of the epoch that makes one. "
                f"Received: {type(data)}"
            )
        self.data = data
        self.strategy = strategy
        self.weigh = class_weight and _weigher(class_weight)
        self._one_iterator = steps_per_execution == 1
        self._endless = None
        if not isinstance(data, EpochData):
            _check_batched(self._dataset(0))
        check_batch_size(self.batch_size, strategy)

    @property
    def batch_size(self) -> int | None:
        """The global batch, if known."""
        if isinstance(self.data, EpochData):
            return self.data.batch_size
        return keras_hooks.global_batch_size(self._dataset(0))

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has, if known."""
        if isinstance(self.data, EpochData):
            return self.data.steps_per_epoch
        import tensorflow as tf

        steps = int(self._dataset(0).cardinality())
        if steps == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "The data set never ends, so its epochs don't either: take as many "
                "batches as an epoch has, `data.take(steps)`. "
                f"Received: data={self.data}"
            )
        return steps if steps >= 0 else None

    def epoch(self, epoch: int, step: int = 0):
        """An iterator over an epoch's batches from a step on.

        Epochs are to be asked for in ascending order.
        """
        if isinstance(self.data, EpochData):
            if not self._one_iterator:
                # Several steps at once must not run into the next epoch.
                return iter(self._distribute(self.data, epoch, step, 1))
            # One pipeline for all epochs, which reads on while others are busy.
            if self._endless is None:
                self._endless = iter(self._distribute(self.data, epoch, step, None))
            return self._endless
        dataset = self._dataset(epoch)
        return iter(self._spread(dataset.skip(step) if step else dataset))

    def all(self):
        """The batches of one epoch, for `model.evaluate` and `model.predict`."""
        if isinstance(self.data, EpochData):
            return self._distribute(self.data, 0, 0, 1)
        return self._spread(self._dataset(0))

    def _dataset(self, epoch):
        return self.data(epoch) if callable(self.data) else self.data

    def _distribute(self, data, epoch, step, epochs):
        input_fn = data.input_fn(epoch, step, epochs)

        def weighed(context):
            dataset = input_fn(context)
            return dataset.map(self.weigh) if self.weigh else dataset

        return self.strategy.distribute_datasets_from_function(weighed)

    def _spread(self, dataset):
        import tensorflow as tf

        options = tf.data.Options()
        policy = dataset.options().experimental_distribute.auto_shard_policy
        if policy in (None, tf.data.experimental.AutoShardPolicy.AUTO):
            # Each worker takes its rows of every batch, whatever the source is.
            options.experimental_distribute.auto_shard_policy = (
                tf.data.experimental.AutoShardPolicy.DATA
            )
        dataset = dataset.with_options(options)
        if self.weigh:
            dataset = dataset.map(self.weigh)
        return self.strategy.experimental_distribute_dataset(dataset)


def _check_batched(dataset):
    import tensorflow as tf

    specs = tf.nest.flatten(dataset.element_spec)
    if any(isinstance(spec, tf.TensorSpec) and spec.shape.rank == 0 for spec in specs):
        raise ValueError(
            "The data set must be one of batches: `data.batch(size)`. "
            f"Received: elements of {dataset.element_spec}"
        )


def check_batch_size(batch_size: int | None, strategy) -> None:
    """Refuses a global batch that can't be shared out evenly.

    Raises:
        ValueError: If it is not a multiple of the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size is not None and batch_size % replicas:
        raise ValueError(
            "The global batch must be a multiple of the number of replicas. "
            f"Received: batch_size={batch_size}, replicas={replicas}"
        )


def _weigher(class_weight: dict[int, float]) -> Callable[..., tuple[Any, Any, Any]]:
    """Multiplies sample weights by the weight of the class.

    Labels that are distributions over the classes get the mean of their weights.
    """
    import tensorflow as tf

    if not isinstance(class_weight, dict) or not all(
        isinstance(number, Integral) and number >= 0 for number in class_weight
    ):
        raise ValueError(
            "`class_weight` must be a dict of class numbers to weights. "
            f"Received: class_weight={class_weight}"
        )

    def weigh(*data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if not tf.is_tensor(y):
            raise ValueError(
                "`class_weight` needs data with labels of one output. "
                f"Received: labels={y}"
            )
        sparse = y.shape.rank == 1 or y.shape[-1] == 1
        classes = max(class_weight) + 1 if sparse else y.shape[-1]
        table = tf.constant([float(class_weight.get(i, 1.0)) for i in range(classes)])
        if sparse:
            label = tf.reshape(tf.cast(y, tf.int64), [-1])
            # Classes behind the last one that is named have the weight 1.
            weight = tf.where(
                label < classes, tf.gather(table, tf.minimum(label, classes - 1)), 1.0
            )
        else:
            weight = tf.linalg.matvec(tf.cast(y, tf.float32), table)
        if sample_weight is not None:
            weight *= tf.cast(sample_weight, tf.float32)
        return x, y, weight

    return weigh
