"""The study's rows over many mountings: the whole chain, from frames whose truth is known to refined structures."""
