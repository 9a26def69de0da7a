"""The verbs of the command `occdepth`, a module each."""
