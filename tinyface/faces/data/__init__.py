"""Face data sets: their layouts on disk, transforms, loaders, and toy faces that are drawn."""
