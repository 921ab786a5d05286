"""Early fusion as one Keras model: the features of all members, and one classifier on top."""

from collections.abc import Sequence

import keras

from kerastricks.ensemble.combination import Combination
from kerastricks.ensemble.combining import put_combination
from kerastricks.ensemble.fusion import Fusion
from kerastricks.ensemble.inputs import align_classes
from kerastricks.ensemble.member import Member, as_members
from kerastricks.ensemble.outputs import features_and_outputs
from kerastricks.ensemble.shared_pixels import shared_pixels
from kerastricks.errors import EnsembleError


def fuse(
    members: Sequence[Member | keras.Model],
    fusion: Fusion,
    combination: Combination | None = None,
    name: str = "ensemble",
) -> keras.Model:
    """Makes one model of the members' features and a classifier that was fitted to them.

    With a `combination` the fused classifier is one more member behind the others, and their probabilities become
    one: early and late fusion together, for the price of either.

    Args:
        members: two or more; for early fusion alone they need not know the same classes.
        fusion: of `fit_fusion`, on what `member_features` makes of the images.
        combination: of one distribution more than there are members, the last being the fused classifier's; None for
            that one alone.
        name: of the model.

    Returns:
        A functional `keras.Model` from the images of `shared_pixels`, 0 to 255, to float32 probabilities over the
        classes that `fusion` was fitted to; with a `combination` these must be those of `align_classes`.

    Raises:
        EnsembleError: for members that cannot be one model, one without a layer that gets features, or a fusion of
            other features.

    Example:
        >>> import keras, kerastricks, numpy
        >>> def model():
        ...     layers = keras.layers
        ...     return keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2, activation="softmax")])
        >>> members, generator = [model(), model()], numpy.random.default_rng(0)
        >>> rows, labels = generator.normal(size=(40, 3)).astype("float32"), numpy.arange(40) % 2
        >>> features = kerastricks.ensemble.member_features(members).predict_on_batch(rows)
        >>> fusion = kerastricks.ensemble.fit_fusion(features, labels, features, labels, 2)
        >>> kerastricks.ensemble.fuse(members, fusion).output_shape
        (None, 2)

    Reference:
        Xiu-Shen Wei: Must Know Tips/Tricks in Deep Neural Networks, section 8: features of several networks
        concatenated, and a classifier on top.
    """
    members = as_members(members)
    shared = shared_pixels(members)
    pixels = keras.Input(shared.image_shape, dtype="float32", name="pixels")
    found = [
        features_and_outputs(member, f"member_{index}")(shared.for_member(pixels, member))
        for index, member in enumerate(members)
    ]
    features = keras.layers.Concatenate(name="features", dtype="float32")([features for features, _ in found])
    wanted = len(fusion.layers[0][0])
    if features.shape[-1] != wanted:
        raise EnsembleError(
            f"fusion is for {wanted} features. Received: members with {features.shape[-1]}; fit it to "
            "member_features of these members"
        )
    x = features
    for index, (kernel, bias) in enumerate(fusion.layers):
        last = index == len(fusion.layers) - 1
        layer = keras.layers.Dense(
            len(bias),
            activation=None if last else "relu",
            name="fused_logits" if last else f"fused_{index}",
            dtype="float32",
        )
        x = layer(x)
        layer.set_weights([kernel, bias])
    if combination is None:
        return keras.Model(pixels, keras.layers.Softmax(dtype="float32", name="probabilities")(x), name=name)
    alignment = align_classes(members)
    outputs = alignment.align([outputs for _, outputs in found])
    fused = keras.ops.expand_dims(keras.ops.log_softmax(x, axis=-1), axis=1)
    return keras.Model(pixels, put_combination(keras.ops.concatenate([outputs, fused], axis=1), combination), name=name)
