"""The allow-list of inspection: classes and functions that a model's configuration may name.

Names, not imports: nothing here is looked up in Keras. A test compares the lists with the installed Keras and with what
kerastricks registers, so that a new class is put either here or among `REFUSED`.
"""

import re

_DIGITS = ("1D", "2D", "3D")


def names_in(text: str) -> frozenset[str]:
    """The words of a text; "#" stands for 1D, 2D and 3D."""
    return frozenset(word.replace("#", digit) for word in text.split() for digit in (_DIGITS if "#" in word else ("",)))


# Keras 1 to 3.15: layers, models, optimizers, schedules, losses, metrics, initializers, regularizers, policies.
CLASSES = names_in("""
    AUC AWQConfig AWQDTypePolicy AbsMaxQuantizer Accuracy Activation ActivityRegularization Adadelta Adafactor Adagrad
    Adam AdamW Adamax AdaptiveAveragePooling# AdaptiveMaxPooling# Add AdditiveAttention AlphaDropout Attention AugMix
    AutoContrast Average AveragePooling# AvgPool# BatchNormalization BatchNormalizationV1 BatchNormalizationV2
    Bidirectional BinaryAccuracy BinaryCrossentropy BinaryFocalCrossentropy BinaryIoU CTC CategoricalAccuracy
    CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge
    CategoryEncoding CenterCrop Circle Concatenate ConcordanceCorrelation Constant
    ContrastLimitedAdaptiveHistogramEqualization Conv# Conv#Transpose ConvLSTM# ConvLSTMCell Convolution#
    Convolution#Transpose CosineDecay CosineDecayRestarts CosineSimilarity Cropping# Cross CuDNNGRU CuDNNLSTM CutMix
    DTypePolicy DTypePolicyMap Dense DepthwiseConv# Dice Discretization Dot Dropout ELU EinsumDense Embedding
    Equalization ExponentialDecay F1Score FBetaScore FalseNegatives FalsePositives Feature FeatureSpace Flatten
    Float8QuantizationConfig FloatDTypePolicy Ftrl Functional GPTQConfig GPTQDTypePolicy GRU GRUCell GRUCellV2 GRUV2
    GaussianDropout GaussianNoise GlobalAveragePooling# GlobalAvgPool# GlobalMaxPool# GlobalMaxPooling# GlorotNormal
    GlorotUniform GroupNormalization GroupQueryAttention HashedCrossing Hashing HeNormal HeUniform Hinge Huber
    Identity IdentityInitializer InputLayer Int4DTypePolicy Int4QuantizationConfig Int8QuantizationConfig
    IntegerLookup InverseTimeDecay IoU KLDivergence L1 L1L2 L2 LSTM LSTMCell LSTMCellV2 LSTMV2 Lamb LayerNormalization
    LeakyReLU LecunNormal LecunUniform Lion LocallyConnected# LogCosh LogCoshError LossFunctionWrapper
    LossScaleOptimizer Masking MaxNorm MaxNumBoundingBoxes MaxPool# MaxPooling# Maximum Mean MeanAbsoluteError
    MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanRelativeError MeanSquaredError
    MeanSquaredLogarithmicError MeanTensor MelSpectrogram MinMaxNorm Minimum MixUp Model MultiHeadAttention
    MultiOptimizer Multiply Muon Nadam NonNeg Normalization OneHotIoU OneHotMeanIoU Ones OptimizerMap Orthogonal
    OrthogonalInitializer OrthogonalRegularizer PReLU PearsonCorrelation Permute PiecewiseConstantDecay Pipeline
    Poisson Policy PolynomialDecay Precision PrecisionAtRecall QuantizationConfig QuantizedDTypePolicy
    QuantizedFloat8DTypePolicy R2Score RMSNormalization RMSprop RNN RadialConstraint RandAugment RandomBrightness
    RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing
    RandomFlip RandomFourierFeatures RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
    RandomNormal RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomUniform RandomWidth RandomZoom ReLU Recall RecallAtPrecision RepeatVector Rescaling
    Reshape Resizing ReversibleEmbedding RootMeanSquaredError SGD STFT STFTInitializer STFTSpectrogram
    ScheduleFreeAdamW SeedGenerator SensitivityAtSpecificity SeparableConv# SeparableConvolution# Sequential SimpleRNN
    SimpleRNNCell SlicingOpLambda Softmax Solarization SparseCategoricalAccuracy SparseCategoricalCrossentropy
    SparseTopKCategoricalAccuracy SpatialDropout# SpecificityAtSensitivity SpectralNormalization SquaredHinge
    StackedRNNCells StringLookup Subtract Sum SumOverBatchSizeMetricWrapper SyncBatchNormalization TFOpLambda
    TensorShape TextVectorization ThresholdedReLU TimeDistributed TopKCategoricalAccuracy TrueNegatives TruePositives
    TruncatedNormal Tversky UnitNorm UnitNormalization UpSampling# VarianceScaling ZeroPadding# Zeros
""")

FUNCTIONS = names_in("""
    KLD MAE MAPE MSE MSLE abs_max_quantize abs_max_quantize_grouped_with_zero_point accuracy binary_accuracy
    binary_crossentropy binary_focal_crossentropy categorical_accuracy categorical_crossentropy
    categorical_focal_crossentropy categorical_generalized_cross_entropy categorical_hinge celu circle
    concordance_correlation constant cosine_similarity ctc dice elu exponential fake_quant_with_min_max_vars gelu
    glorot_normal glorot_uniform glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh he_normal he_uniform
    hinge huber identity kl_divergence kld kullback_leibler_divergence l1 l1_l2 l2 leaky_relu lecun_normal
    lecun_uniform linear log_cosh log_sigmoid log_softmax logcosh mae mape max_norm mean_absolute_error
    mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error min_max_norm mish mse msle
    non_neg ones orthogonal orthogonal_regularizer pearson_correlation poisson quantize_and_dequantize
    radial_constraint random_normal random_uniform relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign
    sparse_categorical_accuracy sparse_categorical_crossentropy sparse_plus sparse_sigmoid
    sparse_top_k_categorical_accuracy sparsemax squared_hinge squareplus stft swish tanh tanh_shrink threshold
    top_k_categorical_accuracy truncated_normal tversky unit_norm variance_scaling zeros
""")

# What tensorflow-addons 0.23 registers as "Addons>NAME".
ADDONS = names_in("""
    AdaBelief AdamW AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D
    AdaptiveMaxPooling2D AdaptiveMaxPooling3D COCOB CRF CRFModelWrapper CohenKappa ConditionalGradient ContrastiveLoss
    CorrelationCost CyclicalLearningRate ESN ESNCell EmbeddingBag ExponentialCyclicalLearningRate F1Score FBetaScore
    FilterResponseNormalization GELU GIoULoss GeometricMean GroupNormalization HarmonicMean InstanceNormalization
    KendallsTauB KendallsTauC LAMB LayerNormLSTMCell LayerNormSimpleRNNCell LazyAdam LiftedStructLoss Lookahead
    MatthewsCorrelationCoefficient MaxUnpooling2D MaxUnpooling2DV2 Maxout MovingAverage MultiHeadAttention
    MultiOptimizer NASCell NetVLAD NoisyDense NovoGrad NpairsLoss NpairsMultilabelLoss PearsonsCorrelation
    PeepholeLSTMCell PinballLoss PoincareNormalize PolynomialCrossing ProximalAdagrad RSquare RectifiedAdam SGDW SWA
    SigmoidFocalCrossEntropy Snake Sparsemax SparsemaxLoss SpatialPyramidPooling2D SpearmansRank SpectralNormalization
    StochasticDepth TLU Triangular2CyclicalLearningRate TriangularCyclicalLearningRate TripletHardLoss
    TripletSemiHardLoss WeightNormalization WeightedKappaLoss Yogi contrastive_loss gelu giou_loss hardshrink
    lifted_struct_loss lisht mish npairs_loss npairs_multilabel_loss pinball_loss rrelu sigmoid_focal_crossentropy
    snake softshrink sparsemax sparsemax_loss sparsemax_loss_from_logits tanhshrink triplet_hard_loss
    triplet_semihard_loss
""")

# What `import kerastricks` registers as "kerastricks>NAME".
KERASTRICKS = names_in("""
    Augment BalancedAccuracy Centering ChannelBias CombineMembers CosineRestarts DeltaOrthogonal Dirac
    DistillationLoss ExponentialCyclical FanIn FancyPCA FocalCrossentropy HeNormal HeUniform InverseSqrt KerasFunction
    LDAMLoss LSUV LabelAwareSmoothing LabelSmoothingCrossentropy LinearDecay LinearWarmup LogitAdjustedCrossentropy
    MacroF1 Maxout OneCycle PCAWhitening PadShortcut PatchWhitening RReLU RandomCrop RandomHSV RandomResizedCrop
    RangeScaling SmallNormal SmallUniform SpatialPyramidPooling StepDecay StochasticDepth Triangular Triangular2
    Warmup WarmupLinear WeightNormalization XavierNormal XavierUniform ZCAWhitening
""")

# Classes of Keras that run code, read files or call another framework, and why they are refused.
REFUSED = {
    "Lambda": "is Python code, which runs when the model is loaded",
    "TFSMLayer": "loads a TensorFlow graph from another folder",
    "TorchModuleWrapper": "unpickles a PyTorch module, which can run any code",
    "JaxLayer": "calls a JAX function that the file names",
    "FlaxLayer": "calls a Flax module that the file names",
    "TensorFlowOpLayer": "runs a TensorFlow operation from a stored graph node",
    "ClassMethod": "calls a method that the file names",
    "InstanceMethod": "calls a method that the file names",
    "__lambda__": "is Python code, which runs when the model is loaded",
    "__typespec__": "names a TensorFlow type to construct",
}
# Values of configurations that are no objects: tensors, arrays, slices, tuples, descriptions of inputs.
PLAIN = names_in(
    "__keras_tensor__ __tensor__ __numpy__ __bytes__ __ellipsis__ __slice__ __tuple__ TensorShape TypeSpec InputSpec"
)
# TFOpLambda: operations on tensors, without those that read, write or call Python.
TENSOR_OPERATION = re.compile(
    r"(math|nn|linalg|signal|bitwise|__operators__|keras\.(backend|activations))\.\w+"
    r"|image\.(resize\w*|flip\w*|rgb\w*|grayscale\w*|adjust\w*|per_image\w*|\w*crop\w*|pad\w*|transpose|rot90)"
    r"|compat\.v1\.(math|nn|image|transpose|squeeze|expand_dims|shape|pad|gather)[\w.]*"
    r"|(cast|concat|stack|unstack|split|reshape|transpose|squeeze|expand_dims|shape|size|rank|pad|tile|repeat|reverse"
    r"|roll|gather|gather_nd|where|slice|strided_slice|boolean_mask|one_hot|clip_by_value|broadcast_to|identity"
    r"|zeros_like|ones_like|zeros|ones|fill|range|eye|stop_gradient|einsum|tensordot|convert_to_tensor|constant"
    r"|random\.(normal|uniform|truncated_normal)|debugging\.check_numerics|meshgrid|sequence_mask|searchsorted"
    r"|tensor_scatter_nd_(update|add|sub)|batch_to_space|space_to_batch|ensure_shape|unique|norm)"
)
_KERAS = re.compile(r"(keras|tf_keras|tensorflow\.(python\.)?keras)(\.[\w.]+)?")
_OPERATIONS = re.compile(r"keras(\.src)?\.ops(\.\w+)?")


def known_class(name: str, module: str | None, registered: str | None) -> bool:
    """Whether a class is one of Keras, tensorflow-addons 0.23 or kerastricks; see `is_custom`.

    Args:
        name: `class_name`, in Keras 2 with its package before ">".
        module: the module that the configuration names.
        registered: the registered name, which Keras prefers to module and class.
    """
    package, _, bare = (registered or name).rpartition(">")
    if package == "Addons":
        return bare in ADDONS and (module is None or module.startswith("tensorflow_addons."))
    if package == "kerastricks":
        return bare in KERASTRICKS and (module is None or module.startswith("kerastricks."))
    if (package and package != "Custom") or (registered and ">" not in registered and registered != name):
        return False
    if module and _OPERATIONS.fullmatch(module):
        return name.isidentifier() and name[0].isupper()
    # Keras 2 registers its own optimizers as "Custom>Adam".
    return name.rpartition(">")[2] in CLASSES and (module is None or _KERAS.fullmatch(module) is not None)


def known_function(name: str, module: str | None) -> bool:
    """Whether a function is an activation, loss, metric or the like of Keras or tensorflow-addons."""
    package, _, bare = name.rpartition(">")
    if package or (module or "").startswith("tensorflow_addons"):
        return package in ("", "Addons") and bare in ADDONS and (not module or not _KERAS.fullmatch(module))
    return bare in FUNCTIONS and (module in (None, "builtins") or _KERAS.fullmatch(module or "") is not None)


def is_custom(name: str) -> bool:
    """Whether a registered name, such as "Addons>Mish", is no class of Keras's own."""
    return ">" in name and not name.startswith("Custom>")
