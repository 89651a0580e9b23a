"""Skip-Convolutions for any network; knows no video, no task and no model by name."""
