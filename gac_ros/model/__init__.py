"""The Generative Actor Critic model: prior, trajectory generator, return predictor, one joint."""
