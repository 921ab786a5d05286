"""CIFAR-10, 32x32 in colour: the default model and schedule.

kerastricks train cifar10                            # downloads it through keras.datasets
kerastricks train cifar10 --set data=cifar10.zip     # or from a zip or folder: train/CLASS/*, test/CLASS/*
"""

CONFIG = {
    "data": "cifar10",
    "model": "plain_cnn",
    "augment": "flip | pad_crop(4)",
    "batch_size": 128,
    "seed": 0,
}
