"""How products are made: steps, pipelines, instruments and the commands that run them."""
