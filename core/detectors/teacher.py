"""Detectors that learn from a second one, which MMDetection keeps beside the modules of the first."""

from core.detectors.patches import TRAINING_ONLY, Patch

_BESIDE = f"the teacher {TRAINING_ONLY}"

TEACHER = (
    Patch("KnowledgeDistillationSingleStageDetector", "teacher_model.extract_feat", _BESIDE),
    Patch("KnowledgeDistillationSingleStageDetector", "teacher_model.bbox_head.forward", _BESIDE),
    Patch("KnowledgeDistillationSingleStageDetector", "teacher_model.bbox_head.get_label_assignment", _BESIDE),
    Patch("LAD", "extract_teacher_feat", _BESIDE),
)
"""Of a student."""
