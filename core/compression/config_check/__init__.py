"""nncf_config checked before anything expensive, and migrated from other versions of NNCF."""

from core.compression.config_check.finding import ERROR, WARNING, Finding
from core.compression.config_check.migrate import Change, migrate
from core.compression.config_check.rules import check_nncf_config, epochs_of, require_valid

__all__ = ["ERROR", "WARNING", "Change", "Finding", "check_nncf_config", "epochs_of", "migrate", "require_valid"]
