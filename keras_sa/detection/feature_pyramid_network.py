"""The feature pyramid network on top of a backbone."""

import keras


@keras.saving.register_keras_serializable(package="keras_sa")
class UpsampleAdd(keras.layers.Layer):
    """Adds a map of half the size, each value repeated for 2x2 positions.

    Maps of odd size are half of one more: the last row and column are cut off.
    Called on `[fine, coarse]`, two maps `(batch, height, width, channels)`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.upsampling = keras.layers.UpSampling2D(2, dtype=self.dtype_policy)

    def call(self, inputs):
        fine, coarse = inputs
        shape = keras.ops.shape(fine)
        return fine + self.upsampling(coarse)[:, : shape[1], : shape[2]]

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def feature_pyramid_network(
    maps: dict, channels: int, extra: str, dtype=None
) -> list[keras.KerasTensor]:
    """Builds the maps of a pyramid in which every level has seen the coarser ones.

    Args:
        maps: The backbone's maps by level, from fine to coarse.
        channels: Channels of the pyramid.
        extra: How the coarser levels are made. `"pool"`: one more, every second
            position of the last. `"convolution"`: two more by convolutions, the
            first of the backbone's last map.
        dtype: The layers' dtype policy.

    Returns:
        One map for each level, with those that are added.

    Reference:

    - [Feature Pyramid Networks for Object Detection](
      https://arxiv.org/abs/1612.03144) (Lin et al., CVPR 2017)
    """
    # Xavier's distribution, as published.
    options = {"kernel_initializer": "glorot_uniform", "dtype": dtype}
    merged = None
    pyramid: list[keras.KerasTensor] = []
    for level, features in reversed(maps.items()):
        lateral = keras.layers.Conv2D(
            channels, 1, name=f"pyramid_{level}_lateral", **options
        )(features)
        if merged is None:
            merged = lateral
        else:
            add = UpsampleAdd(name=f"pyramid_{level}_add", dtype=dtype)
            merged = add([lateral, merged])
        output = keras.layers.Conv2D(
            channels, 3, padding="same", name=f"pyramid_{level}", **options
        )
        pyramid.insert(0, output(merged))
    last = max(int(level[1:]) for level in maps)
    if extra == "pool":
        pooling = keras.layers.MaxPooling2D(
            1, 2, name=f"pyramid_P{last + 1}", dtype=dtype
        )
        pyramid.append(pooling(pyramid[-1]))
    else:
        x = maps[f"P{last}"]
        for level in (last + 1, last + 2):
            padding = keras.layers.ZeroPadding2D(
                1, name=f"pyramid_P{level}_pad", dtype=dtype
            )
            x = keras.layers.Conv2D(
                channels, 3, 2, name=f"pyramid_P{level}", **options
            )(padding(x))
            pyramid.append(x)
    return pyramid
