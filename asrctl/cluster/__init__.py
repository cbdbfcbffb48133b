"""Recordings transcribed by many machines: tasks on a Ray cluster (extra `ray`), each with a warm recogniser.

A recording of up to a quarter of an hour is one task. A longer one is read, and cut into utterances and
windows, by one task that is a `FileTranscription` as on one machine; only its windows are decoded elsewhere,
in pieces of about ten minutes. So nothing depends on where pieces are cut: windows, languages and the account
are those of one machine. Pieces carry their samples, so that a recording is read once, whatever its format.
"""
