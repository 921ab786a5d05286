"""Handwritten digits, 8x8 grey, from scikit-learn: the smallest complete training.

kerastricks train digits

Test accuracy 99.2 % +- 0.6 (mean and standard deviation of seeds 0 to 4, 359 test images, 98.6 to 100), 7 seconds of
training on two cores without a GPU.
"""

CONFIG = {
    "data": "digits",
    "model": "plain_cnn",
    "augment": "pad_crop(1)",  # no flips: a mirrored 2 is no 2
    "batch_size": 64,
    "epochs": 40,
    "test": 0.2,
    "seed": 0,
}
