"""Weights: the catalog of known models, the store on disk, the CTranslate2 and ggml formats."""
