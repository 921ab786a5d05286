"""Who proposes trials: keras-tuner's oracles, the chief that shares them, and its workers."""
