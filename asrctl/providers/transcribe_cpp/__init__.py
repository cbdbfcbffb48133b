"""Recognisers of many families through transcribe.cpp, in worker processes."""
