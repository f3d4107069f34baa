"""How scorers learn: skies with known changes, the pipeline on them, labels, training, and the card of a model."""
