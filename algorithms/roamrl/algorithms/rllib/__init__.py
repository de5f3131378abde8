"""The population engine on RLlib's new API stack: the only room that imports Ray."""
