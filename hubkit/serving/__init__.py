"""Models behind the Open Inference Protocol: codec, batching, server, client, load generator."""
