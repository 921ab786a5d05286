"""The names of data sets that `load` knows, without importing anything."""

BUILTIN_NAMES = ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist")

TFDS_PREFIX = "tfds:"  # data sets of tensorflow_datasets, where it is installed
