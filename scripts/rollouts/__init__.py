"""What `serin rollout` needs: which cluster, an engine, and words for what happens."""
