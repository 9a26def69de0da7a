"""Execution of networks: device, number format, memory, threads, stage times, and tables by calibration."""
