"""What several worker processes have to agree on between steps."""

import functools


class Workers:
    """The processes of a strategy.

    Every worker must make the same calls in the same order.

    Args:
        strategy: A `tf.distribute.Strategy`.
    """

    def __init__(self, strategy):
        import tensorflow as tf

        self.strategy = strategy
        self.several = (
            isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
            and strategy.cluster_resolver is not None
            and len(tf.nest.flatten(strategy.cluster_resolver.cluster_spec().as_dict()))
            > 1
        )

    def any(self, flag: bool) -> bool:
        """Whether it is true in one of the workers."""
        return self._sum(float(flag)) > 0 if self.several else flag

    def agree(self, number: int) -> bool:
        """Whether the number is the same in all workers."""
        if not self.several:
            return True
        return self._sum(float(number)) == number * self.strategy.num_replicas_in_sync

    def wait(self) -> None:
        """Waits until all workers have come here."""
        self.any(False)

    def _sum(self, value: float) -> float:
        import tensorflow as tf

        return float(self._sum_function(tf.constant(value, tf.float64)))

    @functools.cached_property
    def _sum_function(self):
        import tensorflow as tf

        def reduce(value):
            # The copy is on the replica's device, as an all-reduce demands.
            replica = tf.distribute.get_replica_context()
            return replica.all_reduce("sum", tf.identity(value))

        @tf.function
        def sum_over_replicas(value):
            sums = self.strategy.run(reduce, args=(value,))
            return self.strategy.experimental_local_results(sums)[0]

        return sum_over_replicas
