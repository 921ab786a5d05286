"""Handwritten digits, 8x8 grey, from scikit-learn: the smallest complete training.

kerastricks train digits
"""

CONFIG = {
    "data": "digits",
    "model": "plain_cnn",
    "augment": "pad_crop(1)",  # no flips: a mirrored 2 is no 2
    "batch_size": 64,
    "epochs": 40,
    "test": 0.2,
}
