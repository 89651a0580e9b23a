"""Settings: one frozen dataclass a command, out of which its options are made, and the one place where their values are looked up."""
