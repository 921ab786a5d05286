"""EfficientNet-Lite in PyTorch, with the names of the published weights: what the zoo's model is compared with.

Written from the paper's table and the names and padding of the package efficientnet-lite-pytorch: each convolution pads
as TensorFlow's "same" does for the size of image that the network was made for.
"""

from math import ceil

try:
    from torch import nn
except ImportError:  # the tests that need it are skipped
    OriginalEfficientNetLite = None
else:
    # blocks, kernel, stride, expansion, filters
    TABLE = [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ]

    class Convolution(nn.Conv2d):
        """Pads by numbers that are fixed when it is made."""

        def __init__(self, inputs, outputs, kernel, size, stride=1, groups=1):
            super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
            total = max((ceil(size / stride) - 1) * stride + kernel - size, 0)
            before, after = total // 2, total - total // 2
            self.pad = nn.ZeroPad2d((before, after, before, after))

        def forward(self, x):
            return super().forward(self.pad(x))

    def norm(channels):
        return nn.BatchNorm2d(channels, eps=1e-3)

    class Block(nn.Module):
        def __init__(self, inputs, outputs, kernel, stride, expansion, size):
            super().__init__()
            wide = inputs * expansion
            if expansion > 1:
                self._expand_conv = Convolution(inputs, wide, 1, size)
                self._bn0 = norm(wide)
            self._depthwise_conv = Convolution(wide, wide, kernel, size, stride, groups=wide)
            self._bn1 = norm(wide)
            self._project_conv = Convolution(wide, outputs, 1, ceil(size / stride))
            self._bn2 = norm(outputs)
            self.relu6 = nn.ReLU6()
            self.expands = expansion > 1
            self.shortcut = stride == 1 and inputs == outputs

        def forward(self, inputs):
            x = self.relu6(self._bn0(self._expand_conv(inputs))) if self.expands else inputs
            x = self.relu6(self._bn1(self._depthwise_conv(x)))
            x = self._bn2(self._project_conv(x))
            return x + inputs if self.shortcut else x

    class OriginalEfficientNetLite(nn.Module):
        """Normalised (batch, 3, image_size, image_size) to 1000 logits."""

        def __init__(self, width, depth, image_size, dropout=0.0):
            super().__init__()
            size = ceil(image_size / 2)
            self._conv_stem = Convolution(3, 32, 3, image_size, 2)
            self._bn0 = norm(32)
            blocks, inputs = [], 32
            for stage, (count, kernel, stride, expansion, filters) in enumerate(TABLE):
                outputs = int(filters * width + 4) // 8 * 8
                outputs += 8 if outputs < 0.9 * filters * width else 0
                repeats = count if stage in (0, 6) else ceil(count * depth)
                for repeat in range(repeats):
                    step = stride if repeat == 0 else 1
                    blocks.append(Block(inputs, outputs, kernel, step, expansion, size))
                    inputs, size = outputs, ceil(size / step)
            self._blocks = nn.ModuleList(blocks)
            self._conv_head = Convolution(inputs, 1280, 1, size)
            self._bn1 = norm(1280)
            self._dropout = nn.Dropout(dropout)
            self._fc = nn.Linear(1280, 1000)
            self.relu6 = nn.ReLU6()

        def forward(self, x):
            x = self.relu6(self._bn0(self._conv_stem(x)))
            for block in self._blocks:
                x = block(x)
            x = self.relu6(self._bn1(self._conv_head(x)))
            return self._fc(self._dropout(x.mean((2, 3))))
