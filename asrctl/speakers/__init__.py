"""Who spoke, by voice: segmentation and embeddings by small networks, clustering by `policy.clustering`."""
