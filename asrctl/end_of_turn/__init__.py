"""Whether somebody has finished speaking, by the sound of it, in a process of its own."""
