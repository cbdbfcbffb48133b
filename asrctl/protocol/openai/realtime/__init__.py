"""OpenAI's realtime transcription, as a server speaks it: in its present shape, and in the one before.

`machine` is one socket; `config` is what its session is told to be; `items` is the order in which text comes.
"""
