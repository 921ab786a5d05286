"""Names that an ensemble can be asked for; nothing slow is imported."""

METHODS = ("auto", "mean", "geometric", "vote", "weighted", "greedy", "stack", "soup", "greedy_soup", "fuse")
CLASSIFIERS = ("logistic", "linear", "mlp")
