"""Servers that recognise speech: OpenAI's realtime dialects, vLLM's, Deepgram's, Wyoming, plain HTTP, and
another asrctl."""
