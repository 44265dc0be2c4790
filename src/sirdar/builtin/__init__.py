"""Applications that come with Sirdar: a folder each, with its ``sirdar.yaml``. Servers publish them when they start
(``sirdar.services.builtin``); nothing here is imported."""
