"""Samples of photos: stored answers, ground truth, replay of cascades."""
