"""Worker processes: each holds one loaded model and decodes windows; a pool schedules them."""
