"""Accuracy against ground truth: readers of labelled clips, COCO's measures, and intervals by bootstrap."""
