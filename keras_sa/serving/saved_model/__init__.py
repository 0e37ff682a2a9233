"""SavedModels that answer image files, for TF Serving."""
