"""The images that `keras-sa train` trains and validates with."""

import typer

# Which splits are taken for validation, the first one that is there.
VALIDATION_SPLITS = ("validation", "test")


def training_images(
    recipe,
    validation_data=None,
    validation_split=None,
    validation_fraction=0.0,
    **options,
):
    """Opens the images of a training.

    Args:
        recipe: The `ClassifierRecipe`.
        validation_data: The source for validation, if it isn't the recipe's.
        validation_split: Its split, or `"none"`. Defaults to the first of
            `VALIDATION_SPLITS` that the source has.
        validation_fraction: See `keras_sa.data.load`.
        **options: For `keras_sa.data.load`.

    Returns:
        The training's `ImageData`, the validation's, or `None` if there is none, and
        the arguments of `keras_sa.data.load` that say which images these are.

    Raises:
        typer.BadParameter: If there is only one class, or the two don't have the same.
        FileNotFoundError: If the images or a split that was asked for are missing.
    """
    from keras_sa.data import MissingSplitError
    from keras_sa.data import load

    options |= {
        "validation_fraction": validation_fraction,
        "image_size": recipe.image_size,
        "augmentation": recipe.augmentation,
        "channels": recipe.channels,
    }
    images = load(recipe.data, "train", training=True, **options)
    if len(images.class_names) < 2:
        raise typer.BadParameter(
            "a network needs at least two classes to tell apart; the images of "
            f"{recipe.data} have {list(images.class_names)}"
        )
    if validation_split == "none":
        return images, None, None
    source = validation_data or recipe.data
    splits = (validation_split,) if validation_split else VALIDATION_SPLITS
    if validation_data:
        # A folder or a cache of its own needs no splits.
        options["validation_fraction"] = 0.0
        splits = splits if validation_split else (*splits, "all")
    for split in splits:
        try:
            validation = load(source, split, training=False, **options)
        except MissingSplitError:
            if split == splits[-1] and (validation_data or validation_split):
                raise
        else:
            _check_classes(images, validation)
            fraction = options["validation_fraction"]
            chosen = {"source": source, "split": split, "validation_fraction": fraction}
            return images, validation, chosen
    return images, None, None


def _check_classes(images, validation):
    if validation.class_names != images.class_names:
        raise typer.BadParameter(
            f"validation has the classes {list(validation.class_names)[:10]}, "
            f"training {list(images.class_names)[:10]}"
        )
