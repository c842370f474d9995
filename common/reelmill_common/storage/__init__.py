"""Clip stores, where finished clips go; `open_store` picks one by URL. Imports settings, jobs and text."""

from reelmill_common.storage.open import open_store
from reelmill_common.storage.store import ClipStore, StoredObject, StoreReport

__all__ = ["ClipStore", "StoreReport", "StoredObject", "open_store"]
