"""Files over HTTP, beside live audio: uploads, places, and the routes of three dialects."""
