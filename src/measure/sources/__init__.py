"""Sources of energy: codecarbon made quiet and offline, and how much each figure is worth."""
