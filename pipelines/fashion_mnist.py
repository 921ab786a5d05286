"""Fashion-MNIST, 28x28 grey clothes.

kerastricks train fashion_mnist                      # Debian's package dataset-fashion-mnist, or downloads it
kerastricks train fashion_mnist --set data=FOLDER    # or from a folder with the four IDX files
"""

CONFIG = {
    "data": "fashion_mnist",
    "model": "plain_cnn",
    "augment": "flip | pad_crop(2)",
    "epochs": 6,
    "batch_size": 128,
    "seed": 0,
}
