"""What `serin channel` needs: the writer of a channel, the Lease that it holds, and words.

lease       one writer of a channel at a time, by the Kubernetes API
pods        which pods follow a channel, and which of them are ready
writer      prepare everywhere, then commit; or go back
comparison  both versions' answers, before a commit
shown       a channel in words
after       a training that ends with its version on every replica
served      the platform's status with the versions behind channels
"""
