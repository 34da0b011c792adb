"""Bulk analysis for Rekognition's clients: jobs whose photos and results lie in S3."""
