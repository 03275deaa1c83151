"""Trains the classic convolutional networks side by side, fairly and fast, and says which differences are real."""
