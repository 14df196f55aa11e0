"""Programs that set up the project's environments and keep their locks."""
