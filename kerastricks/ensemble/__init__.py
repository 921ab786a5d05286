"""Ensembles of classifiers: members, combinations of their predictions, early fusion, and soups of their weights."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "Alignment",
    "Candidate",
    "Choice",
    "Combination",
    "Cost",
    "EnsembleResult",
    "EnsembleSettings",
    "Fusion",
    "GreedySoup",
    "Member",
    "MemberPredictions",
    "SharedPixels",
    "Stacking",
    "align_classes",
    "build_ensemble",
    "choose",
    "combine",
    "convex_weights",
    "costs",
    "fit_combination",
    "fit_fusion",
    "fit_stacking",
    "fit_temperature",
    "fuse",
    "greedy_selection",
    "greedy_soup",
    "member_features",
    "member_outputs",
    "shared_pixels",
    "uniform_soup",
]

if TYPE_CHECKING:
    from kerastricks.ensemble.build import EnsembleResult, EnsembleSettings, MemberPredictions, build_ensemble
    from kerastricks.ensemble.choosing import Candidate, Choice, choose
    from kerastricks.ensemble.combination import Combination
    from kerastricks.ensemble.combination_fitting import fit_combination
    from kerastricks.ensemble.combining import combine
    from kerastricks.ensemble.cost import Cost, costs
    from kerastricks.ensemble.fusion import Fusion, fit_fusion, fuse
    from kerastricks.ensemble.inputs import Alignment, SharedPixels, align_classes, shared_pixels
    from kerastricks.ensemble.member import Member
    from kerastricks.ensemble.outputs import member_features, member_outputs
    from kerastricks.ensemble.soup import GreedySoup, greedy_soup, uniform_soup
    from kerastricks.ensemble.stacking import Stacking, fit_stacking, fit_temperature
    from kerastricks.ensemble.weights import convex_weights, greedy_selection
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "Alignment": "inputs",
            "Candidate": "choosing",
            "Choice": "choosing",
            "Combination": "combination",
            "Cost": "cost",
            "EnsembleResult": "build",
            "EnsembleSettings": "build",
            "Fusion": "fusion",
            "GreedySoup": "soup",
            "Member": "member",
            "MemberPredictions": "build",
            "SharedPixels": "inputs",
            "Stacking": "stacking",
            "align_classes": "inputs",
            "build_ensemble": "build",
            "choose": "choosing",
            "combine": "combining",
            "convex_weights": "weights",
            "costs": "cost",
            "fit_combination": "combination_fitting",
            "fit_fusion": "fusion",
            "fit_stacking": "stacking",
            "fit_temperature": "stacking",
            "fuse": "fusion",
            "greedy_selection": "weights",
            "greedy_soup": "soup",
            "member_features": "outputs",
            "member_outputs": "outputs",
            "shared_pixels": "inputs",
            "uniform_soup": "soup",
        },
        former={
            "average": 'is now kerastricks.ensemble.combine(members, "mean")',
            "geometric_mean": 'is now kerastricks.ensemble.combine(members, "geometric")',
            "vote": 'is now kerastricks.ensemble.combine(members, "vote")',
            "stack": 'is now kerastricks.ensemble.combine(members, Combination("stack", kernel=..., bias=...))',
            "recompute_batch_norm": "is now kerastricks.layers.recompute_batch_norm",
            "batched": "was removed, it was no faster: use kerastricks.ensemble.combine",
            "quality": "is now kerastricks.metrics.quality",
            "disagreement": "is now kerastricks.metrics.disagreement",
            "mean_disagreement": "is now kerastricks.metrics.mean_disagreement",
        },
    )
