"""The artifact that passes from training to export: weights, configuration and compression state."""
