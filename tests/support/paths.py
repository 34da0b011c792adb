"""The places of the project and of shared files."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
SHARED = ROOT.parent / "shared"
"""Photos, models and programs that lie beside the checkout where the project is developed."""
MODELS, VOC = SHARED / "models", SHARED / "data" / "voc-dev"
