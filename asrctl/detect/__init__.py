"""What this machine is, what it can run, and how fast: probes, calibration, and the config made from them."""
