"""Audio in: any file, standard input or a device becomes mono float32 at 16 kHz, chunk by chunk."""
