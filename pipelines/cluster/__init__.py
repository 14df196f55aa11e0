"""The pipeline on a Kubeflow Pipelines cluster: submit, follow, schedule."""
