"""The allow-list of inspection: classes and functions that a model's configuration may name.

Names in names.txt, not imports: nothing here is looked up in Keras.
"""

import re
from pathlib import Path


def names_in(text: str) -> frozenset[str]:
    """The words of a text; "#" stands for 1D, 2D and 3D."""
    return frozenset(word.replace("#", f"{n}D") for word in text.split() for n in ((1, 2, 3) if "#" in word else (0,)))


def _read() -> dict[str, frozenset[str]]:
    """Sections of names.txt, in which lines that begin with ";" are comments."""
    sections: dict[str, str] = {}
    title = ""
    for line in Path(__file__).with_name("names.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            title = line.strip("[]")
        elif not line.startswith(";"):
            sections[title] = f"{sections.get(title, '')} {line}"
    return {name: names_in(text) for name, text in sections.items()}


_SECTIONS = _read()
CLASSES = _SECTIONS["keras classes"]
OPERATIONS = _SECTIONS["keras operations"]
FUNCTIONS = _SECTIONS["keras functions"]
ADDONS = _SECTIONS["tensorflow-addons"]
KERASTRICKS = _SECTIONS["kerastricks"]
DANGEROUS_OPERATIONS = _SECTIONS["operations"]

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
    if module is None and name in OPERATIONS:
        return True
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
