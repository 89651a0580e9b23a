"""Gates: where they stand, what they decide, what they guarantee."""
