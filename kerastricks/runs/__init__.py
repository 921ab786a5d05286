"""Jobs as functions, and the run folders that they write: train, finetune, distill, ensemble, rebalance ..."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = [
    "CandidateReport",
    "ChosenOn",
    "CombinedReport",
    "ComparedReport",
    "DistillationReport",
    "EnsembleReport",
    "EstimateReport",
    "Evaluation",
    "ExportReport",
    "FinetuningReport",
    "GainReport",
    "LevelReport",
    "MeasurementReport",
    "MemberReport",
    "MemberScores",
    "NetworkScores",
    "QualityReport",
    "Rebalanced",
    "RebalancingReport",
    "RebalancingScores",
    "RemedyReport",
    "RunFolder",
    "RunRecord",
    "RunReport",
    "SeriesRecord",
    "StrategyReport",
    "Summary",
    "TrainedStage",
    "TriedReport",
    "distill",
    "ensemble",
    "evaluate",
    "export",
    "find_wrong_labels",
    "finetune",
    "finish",
    "predict",
    "rebalance",
    "report",
    "train",
    "train_series",
]

if TYPE_CHECKING:
    from kerastricks.runs.distillation_run import distill
    from kerastricks.runs.ensemble_run import ensemble
    from kerastricks.runs.evaluation import evaluate
    from kerastricks.runs.exporting import ExportReport, export
    from kerastricks.runs.finetuning_report import (
        ComparedReport,
        FinetuningReport,
        LevelReport,
        MeasurementReport,
        StrategyReport,
        TrainedStage,
        TriedReport,
    )
    from kerastricks.runs.finetuning_run import finetune
    from kerastricks.runs.finishing import finish
    from kerastricks.runs.folder import RunFolder
    from kerastricks.runs.label_run import find_wrong_labels
    from kerastricks.runs.prediction import predict
    from kerastricks.runs.rebalance_run import Rebalanced, rebalance
    from kerastricks.runs.rebalancing_report import RebalancingReport, RebalancingScores, RemedyReport
    from kerastricks.runs.record import Evaluation, RunRecord, SeriesRecord, Summary
    from kerastricks.runs.report_job import RunReport, report
    from kerastricks.runs.reports import (
        CandidateReport,
        ChosenOn,
        CombinedReport,
        DistillationReport,
        EnsembleReport,
        EstimateReport,
        GainReport,
        MemberReport,
        MemberScores,
        NetworkScores,
        QualityReport,
    )
    from kerastricks.runs.series import train_series
    from kerastricks.runs.training_run import train
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "CandidateReport": "reports",
            "ChosenOn": "reports",
            "CombinedReport": "reports",
            "ComparedReport": "finetuning_report",
            "DistillationReport": "reports",
            "EnsembleReport": "reports",
            "EstimateReport": "reports",
            "Evaluation": "record",
            "ExportReport": "exporting",
            "FinetuningReport": "finetuning_report",
            "GainReport": "reports",
            "LevelReport": "finetuning_report",
            "MeasurementReport": "finetuning_report",
            "MemberReport": "reports",
            "MemberScores": "reports",
            "NetworkScores": "reports",
            "QualityReport": "reports",
            "Rebalanced": "rebalance_run",
            "RebalancingReport": "rebalancing_report",
            "RebalancingScores": "rebalancing_report",
            "RemedyReport": "rebalancing_report",
            "RunFolder": "folder",
            "RunRecord": "record",
            "RunReport": "report_job",
            "SeriesRecord": "record",
            "StrategyReport": "finetuning_report",
            "Summary": "record",
            "TrainedStage": "finetuning_report",
            "TriedReport": "finetuning_report",
            "distill": "distillation_run",
            "ensemble": "ensemble_run",
            "evaluate": "evaluation",
            "export": "exporting",
            "find_wrong_labels": "label_run",
            "finetune": "finetuning_run",
            "finish": "finishing",
            "predict": "prediction",
            "rebalance": "rebalance_run",
            "report": "report_job",
            "train": "training_run",
            "train_series": "series",
        },
        former={"confusion_matrix": "is now kerastricks.metrics.confusion_matrix"},
    )
