"""One module for each family of heads; its ``FAMILY`` is the adapter. The registry imports every module here."""
