"""The classifiers of `keras.applications`. Plain data, so that listing and completing names imports no Keras."""

PREFIX = "applications/"

# Name to how its pixels are prepared: "tf" scales to [-1, 1]; "torch" takes off ImageNet's mean and divides by its
# standard deviation, in RGB; "caffe" takes off the mean, in BGR; "inside": the network does it itself.
APPLICATIONS: dict[str, str] = {
    **dict.fromkeys([f"ConvNeXt{size}" for size in ("Base", "Large", "Small", "Tiny", "XLarge")], "inside"),
    **dict.fromkeys(["DenseNet121", "DenseNet169", "DenseNet201"], "torch"),
    **dict.fromkeys([f"EfficientNetB{number}" for number in range(8)], "inside"),
    **dict.fromkeys([f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "L", "M", "S")], "inside"),
    **dict.fromkeys(["InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2"], "tf"),
    **dict.fromkeys(["MobileNetV3Large", "MobileNetV3Small"], "inside"),
    **dict.fromkeys(["NASNetLarge", "NASNetMobile"], "tf"),
    "ResNet101": "caffe",
    "ResNet101V2": "tf",
    "ResNet152": "caffe",
    "ResNet152V2": "tf",
    "ResNet50": "caffe",
    "ResNet50V2": "tf",
    "VGG16": "caffe",
    "VGG19": "caffe",
    "Xception": "tf",
}
