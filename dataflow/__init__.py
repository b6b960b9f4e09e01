"""The training pipeline: Beam transforms over the pure functions of `omakase.core`, and the loop that runs them."""
