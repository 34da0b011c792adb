"""Several looks at one photo in one answer: clusters of boxes, features, calibration."""
