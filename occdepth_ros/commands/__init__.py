"""The verbs of the command `occdepth`, one module each."""
