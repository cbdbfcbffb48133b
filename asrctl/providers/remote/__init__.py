"""Servers that recognise speech: OpenAI's realtime dialects, vLLM's, plain HTTP, and another asrctl."""
